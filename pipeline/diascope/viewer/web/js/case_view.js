/** One case on the page: picture on the left, what was found on the right, the verdict below it. */

import { formatAddress, pointOf } from "./address.js";
import { caseActions } from "./case_actions.js";
import { imageText, middleOf, onImage, spoken } from "./case_facts.js";
import { caseFrame } from "./case_frame.js";
import { fill } from "./dom.js";
import { displayAffine, toIjk } from "./geometry.js";
import { rgbOf } from "./label_layer.js";
import { Editing } from "./editing.js";
import { OverlayState, corners3d } from "./overlay_state.js";
import { findingsPanel } from "./panel_findings.js";
import { labelsPanel } from "./panel_labels.js";
import { factsPanel, mapsPanel, predictionsPanel } from "./panel_maps.js";
import { verdictPanel } from "./panel_verdict.js";
import { Picture, isHuge } from "./picture.js";
import { Prior } from "./prior.js";
import { VerdictDraft } from "./verdict_draft.js";

/** Keeps the address in step, but not at every slice of a scroll. */
const ADDRESS_DELAY_MS = 250;

export class CaseView {
  /** @param {any} app api, session, volumes, drafts, say, go, listQuery */
  constructor(app) {
    Object.assign(this, { app, api: app.api, caseData: null, selectedId: null, labelSearch: "" });
    this.picture = new Picture(app.api, app.volumes);
    this.overlays = new OverlayState();
    this.actions = caseActions(this);
    this.editing = new Editing(this);
    this.prior = new Prior(this);
    this.frame = caseFrame(this);
    this.node = this.frame.node;
    this.picture.onChange = () => this.#moved();
    this.picture.onShown = () => this.#loadMaps();
    this.picture.sceneOf = () => this.#scene();
    this.picture.sliceQuery = () => this.overlays.sliceQuery(this.caseData, this.imageId, this.picture.isHuge);
  }

  get session() {
    return this.app.session;
  }

  get isReadOnly() {
    return this.api.isReadOnly || this.session.role === "reader";
  }

  get canEdit() {
    return !this.isReadOnly && Boolean(this.editing.canEdit());
  }

  get findings() {
    return onImage(this.caseData.findings, this.imageId);
  }

  get selected() {
    return this.findings.find((one) => one.finding_id === this.selectedId) || null;
  }

  /** Show a case; the one that follows is read meanwhile. */
  async open(out, caseId, query) {
    const turn = (this.turn = `${out}/${caseId}`);
    await this.picture.useStage(new URLSearchParams(location.search).get("renderer") || "auto");
    const caseData = await this.app.caseOf(out, caseId);
    if (this.turn !== turn) return;
    this.editing.leave();
    this.prior.close();
    this.picture.tool = null;
    this.caseData = caseData;
    this.draft = this.app.drafts.get(turn) || new VerdictDraft(caseData);
    this.app.drafts.set(turn, this.draft);
    this.labelSearch = "";
    if (query.ov !== undefined) this.#showOnly(query.ov.split(","));
    this.selectedId = query.finding || null;
    this.picture.windows = new Map();
    const found = (caseData.findings || []).find((one) => one.finding_id === query.finding);
    // The next case is read when this one is there: it must not wait for the other.
    this.showImage(query.image || found?.image_id || firstImage(caseData), query).finally(() => this.turn === turn && this.app.prefetchAfter(caseData));
  }

  /** Show an image of this case: the one with results first. */
  async showImage(imageId, query = {}) {
    this.imageId = imageId;
    this.image = this.caseData.images.find((one) => one.image_id === imageId) || null;
    const affine = this.image?.shape_ijk ? displayAffine(this.image) : null;
    const cursor = affine ? pointOf(query, (mm) => toIjk(affine, mm)) : null;
    if (!this.selected) this.selectedId = this.findings[0]?.finding_id ?? null;
    this.render();
    await this.picture.open(this.caseData, imageId, { cursor: cursor || (this.selected ? middleOf(this.selected.box_ijk) : null) });
    const wl = (query.wl || "").split(",").map(Number);
    if (wl.length === 2 && wl.every(Number.isFinite)) this.picture.setLimits(wl[0], wl[1]);
    if (this.caseData.failure) this.picture.fail(this.caseData.failure);
  }

  /** Read ahead what `open` will show of a case. */
  async prefetch(caseData) {
    const imageId = firstImage(caseData);
    const { overlays } = this;
    const image = caseData.images.find((one) => one.image_id === imageId);
    if (!image?.shape_ijk) return;
    const isTooLarge = isHuge(image.shape_ijk);
    if (!isTooLarge) this.app.volumes.prefetch(overlays.labelUrls(caseData, imageId));
    const [finding] = onImage(caseData.findings, imageId);
    const query = overlays.sliceQuery(caseData, imageId, isTooLarge);
    await this.picture.prefetch(caseData, imageId, { cursor: finding ? middleOf(finding.box_ijk) : null, query });
  }

  /** Draw the panels anew; they are small, and no state is in them. */
  render() {
    if (!this.caseData) return;
    const { scrollTop } = this.frame.panels;
    const typed = document.activeElement?.classList.contains("comment") ? document.activeElement.selectionStart : null;
    fill(this.frame.panels, findingsPanel(this), predictionsPanel(this), labelsPanel(this), mapsPanel(this), factsPanel(this));
    fill(this.frame.verdict, verdictPanel(this));
    this.frame.update();
    this.frame.panels.scrollTop = scrollTop;
    if (typed !== null) this.focusComment(typed);
  }

  /** Something over the image changed: panels, marks and what the graphics card draws. */
  changed({ maps = false } = {}) {
    this.render();
    this.picture.refresh();
    if (maps) this.#loadMaps();
    this.#moved();
  }

  focusComment(at) {
    const field = this.frame.verdict.querySelector(".comment");
    field?.focus();
    if (at !== undefined) field?.setSelectionRange(at, at);
  }

  select(findingId) {
    this.selectedId = findingId;
    if (this.selected) this.jumpToBox(this.selected.box_ijk);
    const explained = this.overlays.heatmaps(this.caseData, this.imageId).find((one) => one.finding_id === findingId);
    if (explained) this.overlays.heat.key = explained.key;
    this.changed({ maps: this.picture.view.has3d || Boolean(explained) });
    this.frame.panels.querySelector(".finding.is-selected")?.scrollIntoView({ block: "nearest" });
  }

  jumpToBox(box) {
    this.picture.moveTo(middleOf(box));
  }

  jumpToSlice(k) {
    const { cursor } = this.picture.view;
    this.picture.moveTo([cursor[0], cursor[1], k]);
  }

  judge(findingId, verdict) {
    this.draft.setFinding(findingId, { verdict });
    this.selectedId = findingId;
    this.changed();
  }

  classesOf(finding) {
    const known = new Set([finding.label, ...(this.caseData.classes?.[finding.bundle] || [])]);
    for (const one of this.caseData.findings || []) if (one.bundle === finding.bundle) known.add(one.label);
    for (const map of onImage(this.caseData.segmentations, this.imageId)) {
      if (map.bundle === finding.bundle) for (const label of map.labels || []) known.add(label.name);
    }
    return [...known];
  }

  setClass(findingId, label) {
    const finding = this.findings.find((one) => one.finding_id === findingId);
    this.draft.setFinding(findingId, { label: label === finding.label ? null : label });
    this.changed();
  }

  judgeLabel(bundle, label, verdict) {
    this.draft.setLabel(bundle, label, verdict);
    this.changed();
  }

  addMissed(box) {
    const label = this.selected?.label || this.findings[0]?.label || "lesion";
    this.draft.missed.push({ image_id: this.imageId, label, box_ijk: box });
    this.picture.tool = null;
    this.changed();
  }

  removeMissed(at) {
    this.draft.missed.splice(at, 1);
    this.changed();
  }

  toggleReason(key) {
    if (!this.draft.reasons.delete(key)) this.draft.reasons.add(key);
    this.changed();
  }

  toggleLabel(key) {
    this.overlays.toggleLabel(key);
    this.changed({ maps: this.#isBurnt() });
  }

  setAllLabels(isShown) {
    this.overlays.setAllLabels(this.caseData, this.imageId, isShown);
    this.changed({ maps: this.#isBurnt() });
  }

  setLabelOpacity(key, value) {
    this.overlays.labelOpacity.set(key, value);
    this.picture.refresh();
  }

  setVersion(name, version) {
    this.overlays.versions.set(name, version);
    this.changed({ maps: true });
  }

  setOpacity(kind, value) {
    this.overlays.opacity[kind] = value;
    this.picture.refresh();
    if (kind !== "seg" || this.#isBurnt()) this.#loadMaps();
  }

  setHeat(change) {
    Object.assign(this.overlays.heat, change);
    if ("threshold" in change) this.#loadMaps();
    else this.changed({ maps: true });
  }

  setUncertainty(change) {
    Object.assign(this.overlays.uncertainty, change);
    // A slider that is being moved must not be replaced by a new one.
    if ("threshold" in change) this.#loadMaps();
    else this.changed({ maps: true });
  }

  allowHeat(key) {
    this.overlays.heat.allowed.add(key);
    Object.assign(this.overlays.heat, { key });
    this.overlays.show.heat = true;
    this.changed({ maps: true });
  }

  /** A link to what is seen now. */
  address() {
    const mm = this.picture.cursorMm();
    const [i, j, k] = this.picture.view.cursor;
    const { show } = this.overlays;
    const grey = this.picture.grey;
    return formatAddress({ page: "case", out: this.caseData.out, caseId: this.caseData.case_id, query: {
      image: this.imageId,
      ...(mm ? { x: mm[0].toFixed(1), y: mm[1].toFixed(1), z: mm[2].toFixed(1) } : { i, j, k }),
      finding: this.selectedId || "",
      wl: grey?.kind === "manual" ? grey.limits.map((value) => value.toFixed(1)).join(",") : "",
      ov: Object.keys(show).filter((key) => show[key]).join(","),
    } });
  }

  statusText() {
    const bundles = (this.caseData.bundles || []).map((one) => `${spoken(one.name)} ${one.version}`).join(", ");
    return { image: this.image ? imageText(this.image) : "", bundles };
  }

  /** Whether label maps are drawn by another hand than the page's own canvas. */
  #isBurnt() {
    return this.picture.view.has3d || this.picture.isHuge;
  }

  #showOnly(names) {
    for (const key of Object.keys(this.overlays.show)) this.overlays.show[key] = names.includes(key);
  }

  #scene() {
    const { overlays, caseData, imageId } = this;
    if (!caseData) return { labelMaps: [], boxes: [], lines: [], brush: null };
    // With the 3-D view on, the graphics card has the label maps and draws them in the planes too.
    const maps = overlays.labelMaps(caseData, imageId, (url) => overlays.maps.get(url) || null, { withSegmentation: !this.picture.view.has3d });
    return {
      labelMaps: this.editing.withDraft(maps),
      boxes: overlays.boxes(this.findings, this.draft, this.selectedId),
      lines: overlays.lines(this.selected, this.picture.affine),
      brush: this.editing.brush() || null,
    };
  }

  /** Read the maps that are wanted now and put them over the image. */
  async #loadMaps() {
    const { overlays, caseData, imageId } = this;
    const isStill = () => this.caseData === caseData && this.imageId === imageId;
    const read = (url) => this.app.volumes.get(url).then(
      (nifti) => overlays.maps.set(url, nifti),
      (error) => this.app.say(`An overlay cannot be shown: ${error.message}`, "bad"),
    );
    const wantedMaps = this.picture.isHuge ? [] : overlays.labelUrls(caseData, imageId);
    const missing = wantedMaps.filter((url) => !overlays.maps.has(url));
    await Promise.all(missing.map(read));
    if (!isStill()) return;
    this.picture.refresh();
    const isCutHere = this.picture.stage.kind === "slices";
    if (isCutHere && !this.api.isReadOnly) return void this.picture.recut();
    try {
      const volumeAt = (url) => this.app.volumes.get(url).then((nifti) => this.picture.placed(nifti));
      const wanted = await overlays.gpuOverlays(caseData, imageId, volumeAt, this.picture.view.has3d);
      if (!isStill()) return;
      if (isCutHere) {
        this.picture.localMaps = wanted;
        return void this.picture.recut();
      }
      await this.picture.stage.setOverlays(wanted);
      if (this.picture.view.has3d) this.#boxesIn3d();
    } catch (error) {
      this.app.say(`A map cannot be shown: ${error.message}`, "bad");
    }
    this.picture.refresh();
  }

  #boxesIn3d() {
    const shown = this.overlays.show.box ? this.findings : [];
    this.picture.stage.setBoxes3d(shown.map((one) => ({
      corners: corners3d(one, this.picture.affine),
      colour: [...rgbOf(one.finding_id === this.selectedId ? "#ffe27a" : "#ff6b6b"), 255],
    })));
  }

  #moved() {
    this.frame.status();
    // The drop-down shows which window it is, whoever set it.
    const shown = `${this.picture.image?.image_id} ${this.picture.grey?.name} ${this.picture.tool?.name} ${this.picture.view.isSingle}`;
    if (shown !== this.shown && this.caseData) this.frame.update();
    this.shown = shown;
    this.prior.follow();
    clearTimeout(this.addressTimer);
    this.addressTimer = setTimeout(() => this.caseData && this.app.setAddress(this.address()), ADDRESS_DELAY_MS);
  }
}

/** The image of a case that is shown first: one with results. */
function firstImage({ images, findings, segmentations, heatmaps }) {
  const withResult = [...(findings || []), ...(segmentations || []), ...(heatmaps || [])].map((one) => one.image_id);
  return (images.find((one) => withResult.includes(one.image_id) && one.url) || images.find((one) => one.url) || images[0])?.image_id;
}
