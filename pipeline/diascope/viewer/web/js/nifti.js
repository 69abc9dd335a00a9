/** NIfTI-1 as this program writes it: little-endian, one file, three dimensions. */

const TYPES = {
  2: Uint8Array, 4: Int16Array, 8: Int32Array, 16: Float32Array, 64: Float64Array,
  256: Int8Array, 512: Uint16Array, 768: Uint32Array,
};

/**
 * @typedef {Object} Nifti
 * @property {ArrayBuffer} buffer the uncompressed file
 * @property {[number, number, number]} shape voxels along i, j, k
 * @property {any} data voxels, i fastest
 * @property {number} slope @property {number} intercept
 * @property {number[][]} affine voxel to RAS mm, of the sform; meaningless if `hasFrame` is false
 * @property {boolean} hasFrame
 */

/**
 * Read a .nii or .nii.gz.
 * @param {ArrayBuffer} bytes
 * @returns {Promise<Nifti>}
 */
export async function readNifti(bytes) {
  const head = new Uint8Array(bytes, 0, 2);
  const buffer = head[0] === 0x1f && head[1] === 0x8b ? await gunzip(bytes) : bytes;
  const view = new DataView(buffer);
  if (view.byteLength < 352 || view.getInt32(0, true) !== 348) throw new Error("this is not a NIfTI-1 file");
  const Type = TYPES[view.getInt16(70, true)];
  if (!Type) throw new Error(`NIfTI data type ${view.getInt16(70, true)} is not read`);
  const shape = /** @type {any} */ ([42, 44, 46].map((at) => Math.max(1, view.getInt16(at, true))));
  const from = view.getFloat32(108, true);
  const count = shape[0] * shape[1] * shape[2];
  const aligned = from % Type.BYTES_PER_ELEMENT === 0 ? buffer : buffer.slice(from);
  return {
    buffer,
    shape,
    data: new Type(aligned, aligned === buffer ? from : 0, count),
    slope: view.getFloat32(112, true) || 1,
    intercept: view.getFloat32(116, true) || 0,
    affine: [280, 296, 312].map((row) => [0, 4, 8, 12].map((at) => view.getFloat32(row + at, true))).concat([[0, 0, 0, 1]]),
    hasFrame: view.getInt16(254, true) > 0,
  };
}

/**
 * Give the file another frame: an image whose place in the patient is unknown still has to be drawn somewhere.
 * @param {Nifti} nifti changed in place
 * @param {number[][]} affine voxel to mm
 */
export function setFrame(nifti, affine) {
  const view = new DataView(nifti.buffer);
  view.setInt16(252, 0, true);
  view.setInt16(254, 1, true);
  [280, 296, 312].forEach((at, row) => affine[row].forEach((value, column) => view.setFloat32(at + 4 * column, value, true)));
  // pixdim must agree with the affine, or the drawn pixels are not square in mm.
  for (let axis = 0; axis < 3; axis += 1) {
    view.setFloat32(80 + 4 * axis, Math.hypot(affine[0][axis], affine[1][axis], affine[2][axis]), true);
  }
  nifti.affine = affine;
  nifti.hasFrame = true;
}

/** The number in a voxel, in the file's unit; null outside. */
export function valueAt(nifti, ijk) {
  const [i, j, k] = ijk.map(Math.round);
  const [ni, nj, nk] = nifti.shape;
  if (i < 0 || j < 0 || k < 0 || i >= ni || j >= nj || k >= nk) return null;
  return nifti.data[i + ni * (j + nj * k)] * nifti.slope + nifti.intercept;
}

/**
 * The window that shows an image whose file names none: the 1st to 99.5th percentile of a sample, as the
 * pictures of a run take it.
 * @param {Nifti} nifti
 * @returns {[number, number]}
 */
export function percentileWindow(nifti) {
  const step = Math.max(1, Math.floor(nifti.data.length / 50_000));
  const sample = [];
  for (let at = 0; at < nifti.data.length; at += step) {
    if (Number.isFinite(nifti.data[at])) sample.push(nifti.data[at] * nifti.slope + nifti.intercept);
  }
  sample.sort((one, other) => one - other);
  const lower = sample[Math.floor(0.01 * (sample.length - 1))] ?? 0;
  const upper = sample[Math.floor(0.995 * (sample.length - 1))] ?? 1;
  return upper > lower ? [lower, upper] : [lower, lower + 1];
}

async function gunzip(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
