/**
 * The prior study beside the current one: slices that follow the crosshair by their place in mm. It is drawn
 * as slices, so that the page keeps to one WebGL context.
 */

import { clampToShape, displayAffine, toIjk } from "./geometry.js";
import { drawMarks } from "./canvas_marks.js";
import { el, fill } from "./dom.js";
import { sizeText, spoken } from "./case_facts.js";
import { SliceStage, localCutter } from "./slice_stage.js";

export class Prior {
  /** @param {any} view the case view */
  constructor(view) {
    this.view = view;
    this.isOpen = false;
    this.canvas = el("canvas", { class: "picture" });
    this.marks = el("canvas", { class: "marks" });
    this.title = el("div", { class: "prior-title" });
    this.node = el("div", { class: "prior" }, this.title, el("div", { class: "stage" }, this.canvas, this.marks));
    this.stage = new SliceStage(this.canvas, (request) => localCutter(this.nifti, this.stage.views, this.image.is_inverted)(request));
    this.stage.onDraw = () => this.#drawMarks();
    this.stage.start();
  }

  async toggle() {
    if (this.isOpen) return this.close();
    const { prior } = this.view.caseData;
    if (!prior) return this.view.app.say("There is no earlier study of this patient in this folder.");
    this.isOpen = true;
    this.view.frame.beside.replaceChildren(this.node);
    this.view.frame.beside.classList.add("is-open");
    try {
      await this.#load(prior);
    } catch (error) {
      fill(this.title, `The prior cannot be shown: ${error.message}`);
    }
    return this.view.changed();
  }

  close() {
    this.isOpen = false;
    this.view.frame.beside.classList.remove("is-open");
    this.view.frame.beside.replaceChildren();
    if (this.view.caseData) this.view.changed();
  }

  /** Follow crosshair, plane and window of the current study. */
  follow() {
    if (!this.isOpen || !this.nifti) return;
    const { picture } = this.view;
    const mm = picture.cursorMm();
    const cursor = mm && this.image.space === "grid" ? toIjk(this.affine, mm) : picture.view.cursor;
    this.cursor = clampToShape(cursor.map(Math.round), this.image.shape_ijk);
    this.stage.cells = [{ plane: picture.view.large || "axial", x: 0, y: 0, width: 1, height: 1 }];
    this.stage.limits = picture.grey?.limits || [0, 255];
    this.stage.setCursor(this.cursor);
  }

  async #load(prior) {
    const caseData = await this.view.api.get(`case/${prior.out}/${prior.case_id}`);
    this.caseData = caseData;
    this.image = caseData.images.find((one) => one.image_id === prior.image_id) || caseData.images.find((one) => one.url);
    this.affine = displayAffine(this.image);
    this.nifti = await this.view.app.volumes.get(this.image.url);
    this.stage.setGeometry(this.affine, this.image.shape_ijk);
    const days = prior.days_before ?? (this.view.image?.facts?.days_since_first ?? 0) - (this.image.facts?.days_since_first ?? 0);
    const first = (caseData.findings || [])[0];
    fill(this.title, el("strong", {}, "Prior"), days > 0 ? ` ${days} days before` : days < 0 ? ` ${-days} days after` : "", first ? el("span", {}, ` · ${spoken(first.label)} ${sizeText(first)}`) : "");
    this.follow();
  }

  #drawMarks() {
    if (!this.image) return;
    Object.assign(this.marks, { width: this.canvas.width, height: this.canvas.height });
    const boxes = (this.caseData.findings || []).filter((one) => one.image_id === this.image.image_id).map((one, at) => ({ box: one.box_ijk, slices: one.slice_boxes_ijk, colour: "#c9a6ff", text: `${at + 1}` }));
    drawMarks(this.marks, this.stage.tiles(), {
      affine: this.affine, shape: this.image.shape_ijk, hasMm: this.image.space !== "index", hasFrame: this.image.space === "grid",
      cursor: this.cursor, focus: "", labelMaps: [], boxes: this.view.overlays.show.box && !this.view.overlays.isHidden ? boxes : [], lines: [], brush: null,
      caption: (tile) => `Prior   ${this.cursor[tile.normal] + 1} / ${this.image.shape_ijk[tile.normal]}`,
    });
  }
}
