/**
 * Correcting a label map: brush and eraser in mm, shown at once, confirmed by the server.
 *
 * The server keeps the draft, stroke by stroke, so that a crash loses nothing. The page paints the same voxels
 * by the same rule (a voxel belongs to a stroke if its centre is within the radius, in mm, of a point of it);
 * where the server's count differs, the page takes the server's draft.
 */

import { newKey } from "./api.js";
import { button, dropDown, el } from "./dom.js";
import { colourTable } from "./label_layer.js";
import { spoken } from "./case_facts.js";
import { readNifti } from "./nifti.js";
import { paintedVoxels } from "./brush.js";

const RADII_MM = [0.5, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30];

export class Editing {
  /** @param {any} view the case view */
  constructor(view) {
    Object.assign(this, { view, name: "edit", isOpen: false, radiusMm: 4, shape: "ball", op: "paint", at: null, points: [] });
    this.bar = el("div", { class: "edit-bar", hidden: true });
  }

  canEdit() {
    return Boolean(this.view.caseData && this.#maps().some((map) => map.url));
  }

  async toggle() {
    if (this.isOpen) return this.leave();
    if (!this.canEdit()) return this.view.app.say("There is no segmentation here to correct.");
    return this.#begin(this.#maps().find((map) => map.url));
  }

  #maps() {
    return this.view.overlays.segmentations(this.view.caseData, this.view.imageId);
  }

  /** Stop painting; the draft stays on the server until it is saved or discarded. */
  leave() {
    if (!this.isOpen) return;
    Object.assign(this, { isOpen: false, data: null, at: null });
    this.bar.hidden = true;
    if (this.view.picture.tool === this) this.view.picture.tool = null;
    this.view.picture.refresh();
  }

  resize(step) {
    const at = RADII_MM.findIndex((one) => one >= this.radiusMm);
    this.radiusMm = RADII_MM[Math.min(Math.max(at + step, 0), RADII_MM.length - 1)];
    this.#render();
    this.view.picture.refresh();
  }

  /** Undo or redo on the server, and show what it then has. */
  async step(kind) {
    if (!this.isOpen) return;
    await this.#ask(kind, {}, true);
  }

  /** The draft in place of the map it corrects. */
  withDraft(maps) {
    if (!this.isOpen || !this.data) return maps;
    const alpha = this.view.overlays.opacity.seg;
    const rgba = colourTable(this.map.labels, (label) => (label.value === this.label ? Math.min(1, alpha + 0.15) : alpha));
    const draft = { key: "draft", data: this.data, shape: this.view.picture.shape, rgba, isFilled: true, isOutlined: true };
    return [...maps.filter((map) => map.key !== this.map.url), draft];
  }

  brush() {
    if (!this.isOpen || !this.at) return null;
    const colour = this.op === "erase" ? "#ffffff" : this.map.labels.find((label) => label.value === this.label)?.colour || "#ffffff";
    return { ...this.at, radiusMm: this.radiusMm, colour };
  }

  // As a tool of the picture.

  hover(tile, at) {
    this.at = tile ? { plane: tile.plane, x: at.x, y: at.y } : null;
    this.view.picture.refresh();
  }

  down(tile, at) {
    this.points = [];
    this.tile = tile;
    this.before = this.data.slice();
    this.changed = 0;
    this.#add(tile, at);
  }

  move(tile, at) {
    this.hover(tile, at);
    this.#add(tile, at);
  }

  async up(tile) {
    const stroke = { op: this.op, label: this.label, shape: this.shape, radius_mm: this.radiusMm, points_ijk: this.points, plane: tile.plane, normal: tile.normal };
    await this.#ask("stroke", { ...stroke, key: newKey() }, false);
  }

  async #begin(map) {
    const { view } = this;
    try {
      const answer = await view.api.post(this.#path("draft"), { ...which(map), base: String(map.version || "ai") });
      const url = answer.draft?.url || map.url;
      const nifti = await readNifti(await view.api.bytes(url));
      Object.assign(this, { isOpen: true, map: { ...map, labels: answer.draft?.labels || map.labels }, data: nifti.data.slice(), draft: answer.draft || {} });
      this.label = this.label && this.map.labels.some((one) => one.value === this.label) ? this.label : this.map.labels[0].value;
      view.picture.tool = this;
      view.overlays.show.seg = true;
      this.#render();
      view.changed();
    } catch (error) {
      view.app.sayProblem(error);
    }
  }

  #add(tile, at) {
    const { picture } = this.view;
    const point = tile.toIjk(at.x, at.y, picture.view.cursor).map((value) => Number(value.toFixed(3)));
    const last = this.points.at(-1);
    if (last && last.every((value, axis) => Math.abs(value - point[axis]) < 0.25)) return;
    this.points.push(point);
    const stroke = { from: last || point, to: point, radiusMm: this.radiusMm, plane: this.shape === "disc" ? tile.normal : null };
    const value = this.op === "paint" ? this.label : 0;
    for (const voxel of paintedVoxels(stroke, picture.affine, picture.shape)) {
      if (this.op === "erase" && this.data[voxel] !== this.label) continue;
      if (this.data[voxel] === value) continue;
      this.data[voxel] = value;
      this.changed += 1;
    }
    picture.refresh();
  }

  async #ask(kind, body, isReload) {
    const { view, map } = this;
    const path = kind === "stroke" ? "stroke" : `draft/${kind}`;
    try {
      const answer = await view.api.post(this.#path(path), { ...which(map), ...body });
      this.draft = answer.draft || this.draft;
      const differs = kind === "stroke" && answer.changed_voxels !== undefined && answer.changed_voxels !== this.changed;
      if ((isReload || differs) && this.isOpen) await this.#reload();
      this.#render();
    } catch (error) {
      if (kind === "stroke" && this.before) this.data = this.before;
      view.app.sayProblem(error);
    }
    view.picture.refresh();
  }

  async #reload() {
    if (!this.draft.url) return;
    this.data = (await readNifti(await this.view.api.bytes(this.draft.url))).data.slice();
    this.view.picture.refresh();
  }

  async #finish(kind) {
    const { view } = this;
    try {
      const answer = await view.api.post(this.#path(`draft/${kind}`), which(this.map));
      view.app.say(kind === "save" ? `Saved as version ${answer.version ?? ""}: the network's own is kept.` : "The draft is gone.", kind === "save" ? "good" : "fair");
      this.leave();
      view.app.forgetCase(view.caseData);
      await view.app.refreshCase();
    } catch (error) {
      view.app.sayProblem(error);
    }
  }

  #path(action) {
    const { out, case_id: caseId } = this.view.caseData;
    return `case/${out}/${caseId}/${action}`;
  }

  #render() {
    if (!this.isOpen) return;
    const { map } = this;
    const pick = (key, value, text, title) => el("button", { type: "button", class: "tool", title, "aria-pressed": String(this[key] === value), on: { click: () => {
      this[key] = value;
      this.#render();
    } } }, text);
    this.bar.hidden = false;
    this.bar.replaceChildren(
      dropDown(map.labels.map((label) => [String(label.value), spoken(label.name)]), String(this.label), (value) => {
        this.label = Number(value);
        this.#render();
      }, { "aria-label": "label to paint" }),
      el("span", { class: "group" }, pick("op", "paint", "Paint"), pick("op", "erase", "Erase")),
      el("span", { class: "group" }, pick("shape", "ball", "Ball", "in three dimensions"), pick("shape", "disc", "Disc", "in this slice only")),
      el("span", { class: "group" }, button("−", () => this.resize(-1), { class: "tool", title: "smaller (Shift+↓)" }), el("span", { class: "radius" }, `${this.radiusMm} mm`), button("+", () => this.resize(1), { class: "tool", title: "larger (Shift+↑)" })),
      el("span", { class: "group" },
        button("Undo", () => this.step("undo"), { class: "tool", title: "Ctrl+Z", disabled: this.draft.undo === 0 }),
        button("Redo", () => this.step("redo"), { class: "tool", title: "Ctrl+Y", disabled: this.draft.redo === 0 })),
      el("span", { class: "spacer" }),
      button("Discard", () => this.#finish("discard"), { class: "quiet" }),
      button("Save as a new version", () => this.#finish("save"), { class: "go" }));
  }
}

/** How the server knows a label map; a corrected version belongs to the map it corrects. */
function which(map) {
  return { name: map.corrects || map.name, bundle: map.bundle, image_id: map.image_id, part: map.part };
}
