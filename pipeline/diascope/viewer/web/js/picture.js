/** The picture of a case: image, maps and marks, on whichever stage this machine can draw. */

import { clampToShape, displayAffine, rescaledAffine, spacingOf, toIjk, toMm, viewOf } from "./geometry.js";
import { drawMarks } from "./canvas_marks.js";
import { el } from "./dom.js";
import { cellsOf } from "./layout.js";
import { percentileWindow, setFrame, valueAt } from "./nifti.js";
import { listenToPointer } from "./pointer.js";
import { aheadOf, localCutter } from "./slice_stage.js";
import { SliceStore } from "./slice_store.js";
import { openStage } from "./stages.js";
import { lengthText } from "./tools.js";
import { GreyWindow } from "./windows.js";

/** Files above this size, in bytes, are preceded by their preview. */
const PREVIEW_ABOVE = 4 * 2 ** 20;

/** Above this many voxels a graphics card may run out of memory: slices are cut by the server. */
const MOST_VOXELS = 250e6;

export class Picture {
  /** @param {any} api @param {import("./volumes.js").Volumes} volumes */
  constructor(api, volumes) {
    Object.assign(this, { api, volumes, stage: null, tool: null, measured: [], draftBox: null, windows: new Map() });
    this.slices = new SliceStore(api);
    this.marks = el("canvas", { class: "marks", tabindex: "-1", "aria-label": "image of the case" });
    this.message = el("div", { class: "stage-message", role: "status", hidden: true });
    this.node = el("div", { class: "stage" }, this.marks, this.message);
    this.view = { cursor: [0, 0, 0], focus: "axial", isSingle: false, has3d: false };
    /** Called when crosshair, window or renderer changed. */
    this.onChange = () => {};
    /** Gives what lies over the image: see `Scene` in canvas_marks.js. */
    this.sceneOf = () => ({ labelMaps: [], boxes: [], lines: [], brush: null });
    /** Maps that the page itself paints into slices: see paintMaps in local_maps.js. */
    this.localMaps = [];
    /** What the server burns into slices, as parameters of their address. */
    this.sliceQuery = () => ({});
    listenToPointer(this.marks, this);
  }

  get canvas() {
    return this.marks;
  }

  /** Take the stage that this machine can draw; made once. @param {"auto"|"webgl"|"slices"} asked */
  async useStage(asked = "auto") {
    const wish = this.isLost ? "slices" : asked;
    if (this.stage && (this.wish === wish || this.stage.kind === wish)) return;
    this.wish = wish;
    this.stage?.canvas.remove();
    const { stage, note } = await openStage(wish, this.node, (request) => this.cut(request));
    this.stage = stage;
    this.note = note;
    stage.onDraw = () => this.refresh();
    stage.onLost = () => this.onLost();
  }

  /** The graphics context was lost: go on with slices, and say so. */
  async onLost() {
    this.isLost = true;
    await this.useStage("slices");
    await this.open(this.caseData, this.image.image_id, { cursor: this.view.cursor });
    this.say("The graphics card stopped drawing. The picture goes on as slices; reload the page to try the card again.");
  }

  /**
   * Show an image of a case: its preview at once if it is large, itself as soon as it has come.
   * @param {any} caseData @param {string} imageId @param {{cursor?: number[]|null}} [wish]
   */
  async open(caseData, imageId, wish = {}) {
    const image = caseData.images.find((one) => one.image_id === imageId);
    Object.assign(this, { caseData, image, nifti: null, measured: [], draftBox: null, localMaps: [] });
    this.say("");
    this.#blank(true);
    if (!image?.url) return this.fail(image?.error);
    this.affine = displayAffine(image);
    this.shape = image.shape_ijk;
    this.spacing = spacingOf(this.affine);
    this.hasMm = image.space !== "index";
    this.view.cursor = startIn(this.shape, wish.cursor);
    this.view.isSingle = this.shape[2] === 1;
    if (this.view.isSingle) Object.assign(this.view, { focus: "axial", has3d: false });
    this.grey = this.windows.get(imageId) || new GreyWindow(image, image.display_window);
    this.windows.set(imageId, this.grey);
    this.isHuge = isHuge(this.shape);
    if (this.isHuge) {
      await this.useStage("slices");
      this.say("A very large volume: the server cuts the slices.");
    }
    return this.#load(image);
  }

  /**
   * Read ahead what `open` will show first of a case: on slices the planes at the crosshair and their neighbours.
   * @param {any} caseData @param {string} imageId @param {{cursor: number[]|null, query: Record<string, any>}} wish
   */
  async prefetch(caseData, imageId, { cursor, query }) {
    const image = caseData.images.find((one) => one.image_id === imageId);
    if (!image?.url) return;
    const isCut = !this.api.isReadOnly && (this.stage.kind === "slices" || isHuge(image.shape_ijk));
    if (!isCut) return this.volumes.prefetch([(image.bytes || 0) > PREVIEW_ABOVE ? image.preview_url : null, image.url]);
    const limits = image.display_window || (await this.slices.windowOf(caseData, imageId));
    const [affine, at] = [displayAffine(image), startIn(image.shape_ijk, cursor)];
    // As `open` will have it: one plane of a flat image, else three, the large one first.
    const isSingle = image.shape_ijk[2] === 1;
    const focus = this.view.large || (isSingle ? "axial" : this.view.focus);
    const planes = cellsOf({ focus, isSingle, has3d: false }).map((cell) => cell.plane);
    const wanted = planes.map((plane) => ({ plane, index: at[viewOf(plane, affine).normal] }));
    const normal = viewOf(planes[0], affine).normal;
    for (const index of aheadOf(at[normal], undefined, image.shape_ijk[normal])) wanted.push({ plane: planes[0], index });
    for (const one of wanted) {
      // One after the other: what is looked at now comes first at the server.
      await this.slices.get(this.slices.address(caseData, imageId, { ...one, limits, query })).catch(() => {});
    }
    return undefined;
  }

  /** Say why there is no picture. @param {{reason: string, cure?: string}} [problem] */
  fail(problem) {
    this.nifti = null;
    this.affine = null;
    this.say(problem ? `${problem.reason}${problem.cure ? `. ${problem.cure}` : ""}` : "This case has no image to show.", true);
    this.refresh();
  }

  say(text, isProblem = false) {
    this.message.textContent = text;
    this.message.hidden = !text;
    this.message.classList.toggle("is-problem", isProblem);
  }

  tiles() {
    return this.stage && this.affine && !this.isBlank ? this.stage.tiles() : [];
  }

  /** Draw the marks at the next frame. */
  refresh() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.#drawMarks();
    });
  }

  /** Cut a slice: by the server, in an exported page by the page itself. */
  async cut({ plane, index, limits, isHidden }) {
    if (this.api.isReadOnly) {
      const maps = isHidden ? [] : this.localMaps || [];
      return localCutter(this.nifti, this.stage.views, this.image.is_inverted, maps)({ plane, index, limits });
    }
    const query = isHidden ? {} : this.sliceQuery();
    return this.slices.get(this.slices.address(this.caseData, this.image.image_id, { plane, index, limits, query }));
  }

  /** Have slices cut anew if something else is to be burnt into them. */
  recut() {
    const burnt = JSON.stringify([this.image?.image_id, this.sliceQuery(), (this.localMaps || []).map((map) => map.colormap)]);
    if (burnt !== this.burnt) this.stage.forget();
    this.burnt = burnt;
  }

  // What pointer and keys do.

  moveTo(ijk) {
    if (!this.affine) return;
    this.view.cursor = clampToShape(ijk, this.shape).map((value) => Math.round(value));
    this.stage.setCursor(this.view.cursor);
    this.refresh();
    this.onChange();
  }

  scroll(steps, plane = this.view.focus) {
    const tile = this.tiles().find((one) => one.plane === plane);
    if (!tile) return;
    const axis = tile.normal;
    // Towards head, front or the patient's right, whichever way the voxels run.
    const world = { axial: 2, coronal: 1, sagittal: 0 }[plane];
    const sense = this.affine[world][axis] >= 0 ? 1 : -1;
    this.moveTo(this.view.cursor.map((value, at) => (at === axis ? value + sense * steps : value)));
  }

  setFocus(plane) {
    this.view.focus = plane;
    this.refresh();
  }

  /** Make the next plane the large one. */
  nextPlane() {
    if (this.shape?.[2] === 1) return;
    const planes = ["axial", "coronal", "sagittal"];
    this.view.focus = planes[(planes.indexOf(this.view.focus) + 1) % 3];
    this.view.large = this.view.focus;
    this.arrange();
  }

  toggleSingle(plane = this.view.focus) {
    if (this.shape?.[2] === 1) return;
    this.view.isSingle = !this.view.isSingle;
    this.view.large = plane;
    this.arrange();
  }

  toggle3d() {
    if (!this.stage.has3d || this.shape?.[2] === 1) return this.say("There is no 3-D view of this image on this machine.");
    Object.assign(this.view, { has3d: !this.view.has3d, isSingle: false });
    this.arrange();
    return undefined;
  }

  arrange() {
    this.stage.setCells(cellsOf({ ...this.view, focus: this.view.large || this.view.focus }));
    this.refresh();
    this.onChange();
  }

  zoom(factor) {
    this.stage.zoomBy(factor);
  }

  pan(tile, dx, dy) {
    if (tile) this.stage.panBy(tile, dx, dy);
  }

  rotate(dx, dy) {
    if (this.view.has3d) this.stage.rotateBy(dx, dy);
  }

  resetView() {
    this.stage.resetView();
  }

  chooseWindow(number) {
    this.grey?.choose(number);
    this.#applyWindow();
  }

  /** Right to widen, down to brighten: the whole picture is about three widths. */
  dragWindow(dx, dy) {
    if (!this.grey?.limits) return;
    const [lower, upper] = this.grey.limits;
    const [width, level] = [upper - lower, (upper + lower) / 2];
    const scale = Math.max(width, 1e-3) / 300;
    const [newWidth, newLevel] = [Math.max(width + dx * scale, width / 50), level - dy * scale];
    this.grey.set(newLevel - newWidth / 2, newLevel + newWidth / 2);
    this.#applyWindow();
  }

  setLimits(lower, upper) {
    this.grey.set(lower, upper);
    this.#applyWindow();
  }

  lengthText(from, to) {
    return lengthText(this.affine, this.hasMm, from, to);
  }

  /** The number under the crosshair; null while only the preview is here. */
  value() {
    return this.nifti && !this.isPreview ? valueAt(this.nifti, this.view.cursor) : null;
  }

  /** Where the crosshair is, in RAS mm; null without a frame. */
  cursorMm() {
    return this.image?.space === "grid" && this.affine ? toMm(this.affine, this.view.cursor) : null;
  }

  /** Put a map in the place where it is drawn: off a patient frame it covers its image from edge to edge. */
  placed(nifti) {
    if (this.image.space !== "grid" && !nifti.hasFrame) setFrame(nifti, rescaledAffine(this.affine, this.shape, nifti.shape));
    return nifti;
  }

  toIjk(mm) {
    return toIjk(this.affine, mm);
  }

  async #load(image) {
    const isStill = () => this.image === image;
    if (this.stage.kind === "slices" && !this.api.isReadOnly) {
      return this.#showSlices(image).catch((error) => isStill() && this.fail({ reason: `The image cannot be shown: ${error.message}`, cure: error.cure }));
    }
    if (image.preview_url && (image.bytes || 0) > PREVIEW_ABOVE) {
      try {
        const preview = await this.volumes.get(image.preview_url);
        if (!isStill()) return undefined;
        await this.#show(preview, { isPreview: true });
      } catch {
        // The full image follows.
      }
    }
    try {
      const nifti = await this.volumes.get(image.url);
      if (isStill()) await this.#show(nifti, { isPreview: false });
    } catch (error) {
      if (isStill()) this.fail({ reason: `The image cannot be shown: ${error.message}`, cure: error.cure });
    }
    return undefined;
  }

  async #show(nifti, { isPreview }) {
    const isSame = this.nifti !== null;
    const { image } = this;
    if (!nifti.hasFrame || image.space !== "grid") {
      setFrame(nifti, isPreview ? rescaledAffine(this.affine, this.shape, nifti.shape) : this.affine);
    }
    Object.assign(this, { nifti, isPreview });
    if (!isPreview) this.grey.suggest(percentileWindow(nifti));
    const limits = isPreview ? [0, 255] : this.grey.limits;
    if (this.stage.kind === "slices") return void (await this.#showSlices(image));
    const isShown = await this.stage.setImage(nifti, { affine: this.affine, limits, isInverted: image.is_inverted, isSame });
    if (isShown && this.image === image) this.#place();
    return undefined;
  }

  async #showSlices(image) {
    if (!this.grey.limits) {
      const limits = await this.slices.windowOf(this.caseData, image.image_id);
      if (this.image !== image) return;
      this.grey.suggest(limits);
    }
    this.stage.limits = this.grey.limits;
    this.stage.setGeometry(this.affine, this.shape);
    this.#place();
  }

  /** Until an image has come nothing is shown: never another case's picture below this one's marks. */
  #blank(isBlank) {
    this.isBlank = isBlank;
    if (this.stage) this.stage.canvas.style.visibility = isBlank ? "hidden" : "visible";
    this.refresh();
  }

  #place() {
    this.#blank(false);
    this.arrange();
    this.stage.setCursor(this.view.cursor);
    this.onShown?.();
  }

  #applyWindow() {
    if (!this.grey?.limits || this.isPreview) return;
    this.stage.setWindow(this.grey.limits);
    this.refresh();
    this.onChange();
  }

  #drawMarks() {
    const canvas = this.stage?.canvas;
    if (!canvas) return;
    if (this.marks.width !== canvas.width || this.marks.height !== canvas.height) {
      Object.assign(this.marks, { width: canvas.width, height: canvas.height });
    }
    const { affine, shape, hasMm, view } = this;
    const scene = this.sceneOf();
    if (this.draftBox) scene.boxes.push({ box: this.draftBox, colour: "#7ee0ff", isSelected: true, text: "missed", isDashed: true });
    scene.lines.push(...this.measured);
    const hasFrame = this.image?.space === "grid";
    drawMarks(this.marks, this.tiles(), {
      affine, shape, hasMm, hasFrame, cursor: view.cursor, focus: view.focus, caption: (tile) => this.#caption(tile), ...scene,
    });
  }

  #caption(tile) {
    const slice = Math.round(this.view.cursor[tile.normal]);
    const count = this.shape[tile.normal];
    const name = this.image.space === "pixels" ? this.image.facts?.view || "Image" : tile.plane[0].toUpperCase() + tile.plane.slice(1);
    if (count === 1) return name;
    const mm = this.cursorMm();
    const world = { axial: 2, coronal: 1, sagittal: 0 }[tile.plane];
    return `${name}   ${slice + 1} / ${count}${mm ? `   ${mm[world].toFixed(1)} mm` : ""}`;
  }
}

/** Whether a graphics card may run out of memory on an image. */
export function isHuge(shape) {
  return shape.reduce((product, count) => product * count, 1) > MOST_VOXELS;
}

/** Where the crosshair stands at first: where one wishes, else in the middle. */
function startIn(shape, wish) {
  return clampToShape(wish || shape.map((count) => Math.floor((count - 1) / 2)), shape);
}
