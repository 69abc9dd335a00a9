/** Which planes are shown where: one large, the others beside it. */

import { PLANES } from "./geometry.js";

/** Gap between cells, as a fraction of the stage. */
const GAP = 0.004;

/**
 * Split the stage.
 * @param {{focus: string, isSingle: boolean, has3d: boolean}} wish `focus` is the large plane
 * @returns {{plane: string, x: number, y: number, width: number, height: number}[]} fractions of the stage
 */
export function cellsOf({ focus, isSingle, has3d }) {
  if (isSingle) return [{ plane: focus, x: 0, y: 0, width: 1, height: 1 }];
  const side = PLANES.filter((plane) => plane !== focus);
  if (has3d) return quarters([focus, ...side, "3d"]);
  const width = 0.62;
  const height = 1 / side.length;
  return [
    { plane: focus, x: 0, y: 0, width: width - GAP, height: 1 },
    ...side.map((plane, at) => ({
      plane,
      x: width,
      y: at * height + (at ? GAP : 0),
      width: 1 - width,
      height: height - (at ? GAP : 0),
    })),
  ];
}

function quarters(planes) {
  const size = (1 - GAP) / 2;
  return planes.map((plane, at) => ({ plane, x: (at % 2) * (size + GAP), y: Math.floor(at / 2) * (size + GAP), width: size, height: size }));
}

/** Take cells to pixels of a canvas. */
export function cellsInPx(cells, width, height) {
  return cells.map((cell) => ({
    plane: cell.plane,
    x: cell.x * width,
    y: cell.y * height,
    width: cell.width * width,
    height: cell.height * height,
  }));
}
