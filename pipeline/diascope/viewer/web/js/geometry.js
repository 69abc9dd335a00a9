/** Where voxels lie, in the patient and on the screen. Voxel centres are at whole numbers. */

/** @typedef {[number, number, number]} Triple */

export const PLANES = ["axial", "coronal", "sagittal"];

/** Take voxel indices to mm. @returns {Triple} */
export function toMm(affine, ijk) {
  return /** @type {Triple} */ ([0, 1, 2].map((row) => affine[row].slice(0, 3).reduce((sum, value, at) => sum + value * ijk[at], affine[row][3])));
}

/** Take mm to voxel indices. @returns {Triple} */
export function toIjk(affine, mm) {
  const [a, b, c] = [0, 1, 2].map((column) => [affine[0][column], affine[1][column], affine[2][column]]);
  const off = mm.map((value, row) => value - affine[row][3]);
  const det = dot(a, cross(b, c));
  return [dot(off, cross(b, c)) / det, dot(a, cross(off, c)) / det, dot(a, cross(b, off)) / det];
}

/** Length of a voxel along each axis, in mm. @returns {Triple} */
export function spacingOf(affine) {
  return /** @type {Triple} */ ([0, 1, 2].map((column) => Math.hypot(affine[0][column], affine[1][column], affine[2][column])));
}

/**
 * The affine an image is drawn with. Off a patient frame i runs to the right and j down, as the rows of a
 * radiograph do; with the patient's left on the right of the picture that is -x and -y.
 */
export function displayAffine(image) {
  if (image.space === "grid") return image.affine;
  const [sx, sy] = image.space === "pixels" && image.spacing_mm ? image.spacing_mm : [1, 1];
  const [ni, nj] = image.shape_ijk;
  return [
    [-sx, 0, 0, (sx * (ni - 1)) / 2],
    [0, -sy, 0, (sy * (nj - 1)) / 2],
    [0, 0, image.space === "pixels" ? Math.min(sx, sy) : 1, 0],
    [0, 0, 0, 1],
  ];
}

/** The affine of a coarser or finer grid over the same extent: edges coincide, not centres. */
export function rescaledAffine(affine, shape, otherShape) {
  const ratio = [0, 1, 2].map((axis) => shape[axis] / otherShape[axis]);
  const origin = toMm(affine, ratio.map((value) => (value - 1) / 2));
  return [0, 1, 2].map((row) => [...ratio.map((value, axis) => affine[row][axis] * value), origin[row]]).concat([[0, 0, 0, 1]]);
}

/** Which voxel axis runs along x, y and z of the patient, most exact match first. @returns {Triple} */
export function axesOf(affine) {
  const spacing = spacingOf(affine);
  const pairs = [];
  for (let world = 0; world < 3; world += 1) {
    for (let axis = 0; axis < 3; axis += 1) pairs.push({ world, axis, weight: Math.abs(affine[world][axis]) / spacing[axis] });
  }
  pairs.sort((one, other) => other.weight - one.weight);
  const found = [-1, -1, -1];
  for (const { world, axis } of pairs) if (found[world] < 0 && !found.includes(axis)) found[world] = axis;
  return /** @type {Triple} */ (found);
}

/** How a plane is looked at: which voxel axis runs to the right and which down, and in which sense. */
export function viewOf(plane, affine) {
  const axes = axesOf(affine);
  const [h, v, n] = { axial: [0, 1, 2], coronal: [0, 2, 1], sagittal: [1, 2, 0] }[plane];
  const sense = (world, axis) => (affine[world][axis] >= 0 ? 1 : -1);
  // Radiological: the patient's right on the left, head and front up, front on the left of a sagittal plane.
  return {
    horizontal: axes[h],
    vertical: axes[v],
    normal: axes[n],
    horizontalSense: -sense(h, axes[h]),
    verticalSense: -sense(v, axes[v]),
  };
}

/**
 * Name the direction in which a voxel axis runs, as DICOM viewers do: `L`, or `LA` where it is well between two.
 * @param {number[][]} affine @param {number} axis @param {number} sense 1 or -1
 */
export function letterOf(affine, axis, sense) {
  const spacing = spacingOf(affine)[axis];
  const names = ["RL", "AP", "SI"];
  return [0, 1, 2]
    .map((world) => ({ world, part: (sense * affine[world][axis]) / spacing }))
    .filter(({ part }) => Math.abs(part) > 0.35)
    .sort((one, other) => Math.abs(other.part) - Math.abs(one.part))
    .map(({ world, part }) => names[world][part > 0 ? 0 : 1])
    .join("");
}

/** One plane on the canvas. Its axes are voxel axes, so a point's place is two straight lines. */
export class Tile {
  /**
   * @param {string} plane
   * @param {{x: number, y: number, width: number, height: number}} cell what the tile may fill, canvas px
   * @param {{horizontal: number, vertical: number, normal: number}} axes voxel axes
   * @param {{x0: number, y0: number, pxPerI: number, pxPerJ: number}} map x = x0 + pxPerI * voxel, y likewise
   */
  constructor(plane, cell, axes, map) {
    Object.assign(this, { plane, cell, ...axes, ...map });
  }

  toCanvas(ijk) {
    return [this.x0 + this.pxPerI * ijk[this.horizontal], this.y0 + this.pxPerJ * ijk[this.vertical]];
  }

  /** The voxel point under a place on the canvas, in the slice that is shown. @returns {Triple} */
  toIjk(x, y, cursor) {
    const ijk = /** @type {Triple} */ ([...cursor]);
    ijk[this.horizontal] = (x - this.x0) / this.pxPerI;
    ijk[this.vertical] = (y - this.y0) / this.pxPerJ;
    return ijk;
  }

  contains(x, y) {
    const { cell } = this;
    return x >= cell.x && y >= cell.y && x < cell.x + cell.width && y < cell.y + cell.height;
  }

  /** Where a half-open box of voxels is cut by the shown slice; null where it is not. */
  boxOnCanvas([low, high], cursor) {
    const slice = Math.round(cursor[this.normal]);
    if (slice < low[this.normal] || slice >= high[this.normal]) return null;
    const [x0, y0] = this.toCanvas(low.map((value) => value - 0.5));
    const [x1, y1] = this.toCanvas(high.map((value) => value - 0.5));
    return { x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0) };
  }
}

/** Keep a point inside an image. @returns {Triple} */
export function clampToShape(ijk, shape) {
  return /** @type {Triple} */ (ijk.map((value, axis) => Math.min(Math.max(value, 0), shape[axis] - 1)));
}

/** Distance of two voxel points in mm. */
export function distanceMm(affine, from, to) {
  const [a, b] = [toMm(affine, from), toMm(affine, to)];
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

function dot(a, b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function cross(a, b) {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

/**
 * Cut a finding that was marked slice by slice: its box in the slice that is shown, which is smaller than the box that
 * holds all of it. The same as the previews' `box_in_slice` (imaging/page.py).
 * @param {number[][]} box that holds all of it, half-open
 * @param {number[][][]} slices a box for each slice; none where one box is all there is
 * @param {number} axis that the shown slice is cut across
 * @param {number} at index of the slice
 * @returns {number[][] | null} null where no box goes through the slice
 */
export function boxInSlice(box, slices, axis, at) {
  if (!slices?.length) return box;
  const cut = slices.filter(([low, high]) => low[axis] <= at && at < high[axis]);
  if (!cut.length) return null;
  const corner = (end, pick) => [0, 1, 2].map((i) => pick(...cut.map((one) => one[end][i])));
  return [corner(0, Math.min), corner(1, Math.max)];
}
