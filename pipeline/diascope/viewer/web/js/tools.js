/** What the left button does while a tool is chosen: measure, mark a missed lesion, or paint (editing.js). */

import { distanceMm } from "./geometry.js";

/** Below this drag, in canvas px, a click was meant. */
const CLICK_PX = 5;

/** Size of the box that a click makes, in mm; in voxels where there are no mm. */
const CLICK_BOX_MM = 10;

/** Measure between two points; the last one stays until the case is left. */
export class MeasureTool {
  constructor(picture) {
    this.picture = picture;
    this.name = "measure";
    this.hint = "Drag to measure. Esc leaves.";
  }

  down(tile, at) {
    this.from = tile.toIjk(at.x, at.y, this.picture.view.cursor);
    this.picture.measured = [];
  }

  move(tile, at) {
    const to = tile.toIjk(at.x, at.y, this.picture.view.cursor);
    this.picture.measured = [{ from: this.from, to, text: this.picture.lengthText(this.from, to) }];
    this.picture.refresh();
  }

  up() {}
}

/** Mark a lesion that was missed: drag a box, click a place, or press Enter at the crosshair. */
export class MissedTool {
  /** @param {any} picture @param {(box: number[][]) => void} onBox */
  constructor(picture, onBox) {
    this.picture = picture;
    this.onBox = onBox;
    this.name = "missed";
    this.hint = "Click or drag where a lesion was missed, or move the crosshair with the arrows and press Enter. Esc leaves.";
  }

  down(tile, at) {
    this.start = at;
  }

  move(tile, at) {
    this.picture.draftBox = this.#box(tile, at);
    this.picture.refresh();
  }

  up(tile, at) {
    const isClick = Math.hypot(at.x - this.start.x, at.y - this.start.y) < CLICK_PX;
    this.picture.draftBox = null;
    this.onBox(isClick ? this.aroundPoint(tile.toIjk(at.x, at.y, this.picture.view.cursor)) : this.#box(tile, at));
  }

  enter() {
    this.onBox(this.aroundPoint(this.picture.view.cursor));
  }

  aroundPoint(ijk) {
    const { spacing, shape, hasMm } = this.picture;
    const half = spacing.map((mm) => (hasMm ? CLICK_BOX_MM / 2 / mm : 2));
    return inside(ijk.map((value, axis) => value - half[axis]), ijk.map((value, axis) => value + half[axis]), shape);
  }

  /** A box drawn in a plane is as deep as it is wide: the middle of its sides, in mm. */
  #box(tile, at) {
    const { view, spacing, shape } = this.picture;
    const [from, to] = [tile.toIjk(this.start.x, this.start.y, view.cursor), tile.toIjk(at.x, at.y, view.cursor)];
    const low = from.map((value, axis) => Math.min(value, to[axis]));
    const high = from.map((value, axis) => Math.max(value, to[axis]));
    const [h, v, n] = [tile.horizontal, tile.vertical, tile.normal];
    const depthMm = ((high[h] - low[h]) * spacing[h] + (high[v] - low[v]) * spacing[v]) / 2;
    low[n] = view.cursor[n] - depthMm / 2 / spacing[n];
    high[n] = view.cursor[n] + depthMm / 2 / spacing[n];
    return inside(low, high, shape);
  }
}

/** Half-open box of the voxels whose centres lie between two points, at least one voxel wide, within the image. */
function inside(low, high, shape) {
  const from = low.map((value, axis) => Math.min(Math.max(Math.ceil(value), 0), shape[axis] - 1));
  const to = high.map((value, axis) => Math.min(Math.max(Math.floor(value) + 1, from[axis] + 1), shape[axis]));
  return [from, to];
}

/** A length in mm, in voxels where there are none. */
export function lengthText(affine, hasMm, from, to) {
  if (hasMm) return `${distanceMm(affine, from, to).toFixed(1)} mm`;
  return `${Math.hypot(...from.map((value, axis) => value - to[axis])).toFixed(1)} voxels`;
}
