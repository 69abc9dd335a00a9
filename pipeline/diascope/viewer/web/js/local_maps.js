/** Maps over slices that the page cuts itself: of an exported page, where no graphics card and no server draws them. */

import { toIjk, toMm } from "./geometry.js";

/** Colours of NiiVue's maps of these names, evenly spaced. */
const STOPS = {
  inferno: [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]],
  viridis: [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]],
  plasma: [[13, 8, 135], [126, 3, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]],
  hot: [[3, 0, 0], [178, 0, 0], [255, 106, 0], [255, 255, 32], [255, 255, 255]],
  gray: [[0, 0, 0], [255, 255, 255]],
};

/**
 * Paint maps over a slice, as NiiVue does: nothing below a range, colours counted from zero.
 * @param {ImageData} pixels of the slice, changed in place
 * @param {{nifti: any, colormap: string, range: [number, number], opacity: number}[]} maps with the frame they are drawn in
 * @param {(x: number, y: number) => number[]} voxelAt the slice's voxel under a pixel
 * @param {number[][]} affine of the slice's volume
 */
export function paintMaps(pixels, maps, voxelAt, affine) {
  for (const map of maps) {
    // A map's index is linear in the pixel: three points tell it.
    const at = (x, y) => toIjk(map.nifti.affine, toMm(affine, voxelAt(x, y)));
    const origin = at(0, 0);
    const [right, down] = [at(1, 0), at(0, 1)].map((step) => step.map((value, axis) => value - origin[axis]));
    for (let y = 0; y < pixels.height; y += 1) {
      for (let x = 0; x < pixels.width; x += 1) {
        const value = nearest(map.nifti, origin.map((value, axis) => Math.round(value + x * right[axis] + y * down[axis])));
        if (value > map.range[0]) blend(pixels.data, 4 * (x + y * pixels.width), colourOf(map.colormap, value / map.range[1]), map.opacity);
      }
    }
  }
}

function nearest({ data, shape, slope, intercept }, [i, j, k]) {
  if (i < 0 || j < 0 || k < 0 || i >= shape[0] || j >= shape[1] || k >= shape[2]) return -Infinity;
  return data[i + shape[0] * (j + shape[1] * k)] * slope + intercept;
}

function colourOf(name, part) {
  const stops = STOPS[name] || STOPS.inferno;
  const place = Math.min(Math.max(part, 0), 1) * (stops.length - 1);
  const below = Math.min(Math.floor(place), stops.length - 2);
  return stops[below].map((value, channel) => value + (place - below) * (stops[below + 1][channel] - value));
}

function blend(data, at, colour, opacity) {
  for (let channel = 0; channel < 3; channel += 1) data[at + channel] += (colour[channel] - data[at + channel]) * opacity;
}
