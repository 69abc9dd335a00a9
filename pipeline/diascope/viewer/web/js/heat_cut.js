/** Paints a heatmap into a slice that the page itself cuts, as the server does into those that it cuts. */

import { toIjk, toMm } from "./geometry.js";

/** From the threshold to the highest evidence; those of the server's slices, which a test holds them to. */
export const HEAT_COLOURS = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];

const HEAT_PART = 0.5;

/**
 * @param {OffscreenCanvasRenderingContext2D} context of the slice, a pixel per voxel
 * @param {{index: number, view: any, affine: number[][], shape: number[], hasFrame: boolean}} slice of the image
 * @param {{nifti: import("./nifti.js").Nifti, affine: number[][], range: [number, number]}} heat
 *   `range`: what is below is not drawn, and what is shown brightest
 */
export function paintHeat(context, slice, { nifti, affine, range: [low, high] }) {
  if (high <= low) return;
  const { width, height } = context.canvas;
  const pixels = context.getImageData(0, 0, width, height);
  const voxelOf = placeOf(slice, width, height);
  // Which voxel of the map lies there is linear in that of the image: three points tell all.
  const taken = slice.hasFrame
    ? (ijk) => toIjk(affine, toMm(slice.affine, ijk))
    : (ijk) => ijk.map((value, axis) => ((value + 0.5) * nifti.shape[axis]) / slice.shape[axis] - 0.5);
  const origin = taken(voxelOf(0, 0));
  const [across, down] = [taken(voxelOf(1, 0)), taken(voxelOf(0, 1))].map((at) => at.map((value, axis) => value - origin[axis]));
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const ijk = origin.map((value, axis) => Math.round(value + x * across[axis] + y * down[axis]));
      if (ijk.some((value, axis) => value < 0 || value >= nifti.shape[axis])) continue;
      const value = nifti.data[ijk[0] + nifti.shape[0] * (ijk[1] + nifti.shape[1] * ijk[2])] * nifti.slope + nifti.intercept;
      if (value > low) blend(pixels.data, 4 * (y * width + x), colourAt(Math.min((value - low) / (high - low), 1)));
    }
  }
  context.putImageData(pixels, 0, 0);
}

function placeOf({ index, view }, width, height) {
  return (x, y) => {
    const ijk = [0, 0, 0];
    ijk[view.horizontal] = view.horizontalSense > 0 ? x : width - 1 - x;
    ijk[view.vertical] = view.verticalSense > 0 ? y : height - 1 - y;
    ijk[view.normal] = index;
    return ijk;
  };
}

function colourAt(part) {
  const place = part * (HEAT_COLOURS.length - 1);
  const from = Math.min(Math.floor(place), HEAT_COLOURS.length - 2);
  return HEAT_COLOURS[from].map((value, channel) => value + (place - from) * (HEAT_COLOURS[from + 1][channel] - value));
}

function blend(data, at, colour) {
  colour.forEach((value, channel) => (data[at + channel] = data[at + channel] * (1 - HEAT_PART) + value * HEAT_PART));
}
