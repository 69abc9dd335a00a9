/** Which voxels a stroke of the brush covers. The server uses the same rule: viewer/strokes. */

import { spacingOf } from "./geometry.js";

/**
 * Voxels whose centres are within the radius of a segment, in mm of the source's own grid, oblique or not.
 * @param {{from: number[], to: number[], radiusMm: number, plane: number|null}} stroke voxel points; `plane` is the
 *   voxel axis a disc stands on, null for a ball
 * @param {number[][]} affine @param {number[]} shape
 * @returns {number[]} offsets into the voxels
 */
export function paintedVoxels({ from, to, radiusMm, plane }, affine, shape) {
  const spacing = spacingOf(affine);
  const metric = gram(affine);
  const low = [0, 1, 2].map((axis) => Math.max(0, Math.floor(Math.min(from[axis], to[axis]) - reach(axis))));
  const high = [0, 1, 2].map((axis) => Math.min(shape[axis] - 1, Math.ceil(Math.max(from[axis], to[axis]) + reach(axis))));
  const slice = plane === null ? null : Math.round(from[plane]);
  if (plane !== null) low[plane] = high[plane] = slice;
  const step = to.map((value, axis) => value - from[axis]);
  const length = inner(metric, step, step);
  const found = [];
  const limit = radiusMm * radiusMm + 1e-6;
  for (let k = low[2]; k <= high[2]; k += 1) {
    for (let j = low[1]; j <= high[1]; j += 1) {
      for (let i = low[0]; i <= high[0]; i += 1) {
        const off = [i - from[0], j - from[1], k - from[2]];
        if (plane !== null) off[plane] = 0;
        const along = length > 0 ? Math.min(Math.max(inner(metric, off, step) / length, 0), 1) : 0;
        const gap = off.map((value, axis) => value - along * step[axis]);
        if (inner(metric, gap, gap) <= limit) found.push(i + shape[0] * (j + shape[1] * k));
      }
    }
  }
  return found;

  // On a sheared grid a voxel axis is not at right angles to the others: twice the radius is enough.
  function reach(axis) {
    return (2 * radiusMm) / spacing[axis] + 1;
  }
}

function gram(affine) {
  return [0, 1, 2].map((a) => [0, 1, 2].map((b) => [0, 1, 2].reduce((sum, row) => sum + affine[row][a] * affine[row][b], 0)));
}

function inner(metric, a, b) {
  let sum = 0;
  for (let at = 0; at < 3; at += 1) for (let by = 0; by < 3; by += 1) sum += a[at] * metric[at][by] * b[by];
  return sum;
}
