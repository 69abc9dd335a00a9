/**
 * Draws slices that were cut elsewhere, on a plain canvas: where there is no WebGL2, or where it is
 * computed on the processor. The server cuts; in an exported page the page itself does.
 */

import { Tile, spacingOf, viewOf } from "./geometry.js";
import { cellsInPx } from "./layout.js";
import { paintMaps } from "./local_maps.js";

/** Which slices are asked for before they are wanted, in the direction of scrolling. */
const AHEAD = [1, 2, 3, 4, -1];

/** Pictures kept for scrolling back. */
const KEPT = 200;

export class SliceStage {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(request: {plane: string, index: number, limits: [number, number]}) => Promise<CanvasImageSource>} cut
   */
  constructor(canvas, cut) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.kind = "slices";
    this.has3d = false;
    this.onDraw = () => {};
    this.onLost = () => {};
    this.cut = cut;
    this.cells = [];
    /** The voxel in the middle of each cell. */
    this.centre = [0, 0, 0];
    this.zoom = 1;
    this.generation = 0;
    this.latest = {};
    this.lastIndex = {};
    this.pictures = new Map();
    this.cursor = [0, 0, 0];
    this.isHidden = false;
    this.observer = new ResizeObserver(() => this.draw());
  }

  async start() {
    this.observer.observe(this.canvas);
    return this;
  }

  setGeometry(affine, shape) {
    this.affine = affine;
    this.shape = shape;
    this.views = Object.fromEntries(["axial", "coronal", "sagittal"].map((plane) => [plane, viewOf(plane, affine)]));
    this.latest = {};
    this.#newGeneration();
    this.resetView();
  }

  /** Pictures with another overlay or window are other pictures. */
  forget() {
    this.#newGeneration();
    this.draw();
  }

  setWindow(limits) {
    this.limits = limits;
    this.draw();
  }

  setOverlaysHidden(isHidden) {
    this.isHidden = isHidden;
    this.draw();
  }

  setCursor(ijk) {
    this.cursor = ijk;
    this.draw();
  }

  setCells(cells) {
    this.cells = cells.filter((cell) => cell.plane !== "3d");
    this.draw();
  }

  setBoxes3d() {}

  async setOverlays() {}

  rotateBy() {}

  finish() {}

  /** Larger or smaller about the crosshair. */
  zoomBy(factor) {
    const zoom = Math.min(Math.max(this.zoom * factor, 1), 20);
    if (zoom === 1) return this.resetView();
    this.centre = this.centre.map((value, axis) => this.cursor[axis] + ((value - this.cursor[axis]) * this.zoom) / zoom);
    this.zoom = zoom;
    return this.draw();
  }

  panBy(tile, dx, dy) {
    this.centre[tile.horizontal] -= dx / tile.pxPerI;
    this.centre[tile.vertical] -= dy / tile.pxPerJ;
    this.draw();
  }

  resetView() {
    this.zoom = 1;
    this.centre = this.shape.map((count) => (count - 1) / 2);
    this.draw();
  }

  tiles() {
    if (!this.affine) return [];
    return cellsInPx(this.cells, this.canvas.width, this.canvas.height).map((cell) => this.#tile(cell));
  }

  draw() {
    this.#fit();
    const { context } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    for (const tile of this.tiles()) this.#drawTile(tile);
    this.onDraw();
  }

  #fit() {
    const ratio = globalThis.devicePixelRatio || 1;
    const [width, height] = [Math.round(this.canvas.clientWidth * ratio), Math.round(this.canvas.clientHeight * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
  }

  #tile(cell) {
    const view = this.views[cell.plane];
    const spacing = spacingOf(this.affine);
    const [across, down] = [this.shape[view.horizontal] * spacing[view.horizontal], this.shape[view.vertical] * spacing[view.vertical]];
    const pxPerMm = Math.min(cell.width / across, cell.height / down) * this.zoom;
    const pxPerI = view.horizontalSense * spacing[view.horizontal] * pxPerMm;
    const pxPerJ = view.verticalSense * spacing[view.vertical] * pxPerMm;
    const map = {
      x0: cell.x + cell.width / 2 - pxPerI * this.centre[view.horizontal],
      y0: cell.y + cell.height / 2 - pxPerJ * this.centre[view.vertical],
      pxPerI,
      pxPerJ,
    };
    return new Tile(cell.plane, cell, view, map);
  }

  #drawTile(tile) {
    const index = Math.min(Math.max(Math.round(this.cursor[tile.normal]), 0), this.shape[tile.normal] - 1);
    const request = { plane: tile.plane, index, limits: this.limits, isHidden: this.isHidden };
    const { picture, isLate } = this.#picture(request);
    if (!picture) return;
    const { context } = this;
    const [width, height] = [Math.abs(tile.pxPerI) * this.shape[tile.horizontal], Math.abs(tile.pxPerJ) * this.shape[tile.vertical]];
    const left = Math.min(tile.x0, tile.x0 + tile.pxPerI * (this.shape[tile.horizontal] - 1)) - Math.abs(tile.pxPerI) / 2;
    const top = Math.min(tile.y0, tile.y0 + tile.pxPerJ * (this.shape[tile.vertical] - 1)) - Math.abs(tile.pxPerJ) / 2;
    context.save();
    context.beginPath();
    context.rect(tile.cell.x, tile.cell.y, tile.cell.width, tile.cell.height);
    context.clip();
    // Another slice until this one has come: dim, so that nobody reads it.
    context.globalAlpha = isLate ? 0.35 : 1;
    context.drawImage(picture, left, top, width, height);
    context.restore();
  }

  /** The picture of a slice; the last one of this plane, said to be late, until it has come. */
  #picture(request) {
    const key = JSON.stringify(request);
    const known = this.pictures.get(key);
    if (known === undefined) {
      this.pictures.set(key, null);
      this.#ask(key, request);
    }
    this.#askAhead(request);
    if (known) this.latest[request.plane] = known;
    return { picture: known || this.latest[request.plane], isLate: !known };
  }

  async #ask(key, request) {
    const { generation } = this;
    const picture = await this.cut(request).catch(() => null);
    // What was asked for another image, or with other overlays, must never be shown for this one.
    if (generation !== this.generation) return;
    if (!picture) return void this.pictures.delete(key);
    this.pictures.set(key, picture);
    if (this.pictures.size > KEPT) this.pictures.delete(this.pictures.keys().next().value);
    this.draw();
  }

  /** The slices that come next in the direction of scrolling, and the one before, so that nobody waits for them. */
  #askAhead(request) {
    const last = this.lastIndex[request.plane];
    if (last === request.index) return;
    this.lastIndex[request.plane] = request.index;
    for (const index of aheadOf(request.index, last, this.shape[this.views[request.plane].normal])) {
      const key = JSON.stringify({ ...request, index });
      if (this.pictures.has(key)) continue;
      this.pictures.set(key, null);
      this.#ask(key, { ...request, index });
    }
  }

  #newGeneration() {
    this.generation += 1;
    this.lastIndex = {};
    this.pictures.clear();
  }
}

/** Which slices are wanted next: first those in the direction one came. */
export function aheadOf(index, last, count) {
  const sense = last === undefined || last < index ? 1 : -1;
  return AHEAD.map((step) => index + sense * step).filter((next) => next >= 0 && next < count);
}

/** Cut a slice in the page itself, out of a volume that it holds; `maps` as in paintMaps. */
export function localCutter(nifti, views, isInverted, maps = []) {
  return async ({ plane, index, limits }) => {
    const view = views[plane];
    const strides = [1, nifti.shape[0], nifti.shape[0] * nifti.shape[1]];
    const [width, height] = [nifti.shape[view.horizontal], nifti.shape[view.vertical]];
    const picture = new OffscreenCanvas(width, height);
    const context = picture.getContext("2d");
    const pixels = context.createImageData(width, height);
    const [lower, upper] = limits;
    let at = 0;
    for (let y = 0; y < height; y += 1) {
      const v = view.verticalSense > 0 ? y : height - 1 - y;
      for (let x = 0; x < width; x += 1) {
        const h = view.horizontalSense > 0 ? x : width - 1 - x;
        const raw = nifti.data[index * strides[view.normal] + h * strides[view.horizontal] + v * strides[view.vertical]];
        const grey = Math.min(Math.max((255 * (raw * nifti.slope + nifti.intercept - lower)) / (upper - lower), 0), 255);
        pixels.data.fill(isInverted ? 255 - grey : grey, at, at + 3);
        pixels.data[at + 3] = 255;
        at += 4;
      }
    }
    const voxelAt = (x, y) => {
      const ijk = [0, 0, 0];
      ijk[view.normal] = index;
      ijk[view.horizontal] = view.horizontalSense > 0 ? x : width - 1 - x;
      ijk[view.vertical] = view.verticalSense > 0 ? y : height - 1 - y;
      return ijk;
    };
    paintMaps(pixels, maps, voxelAt, nifti.affine);
    context.putImageData(pixels, 0, 0);
    return picture;
  };
}
