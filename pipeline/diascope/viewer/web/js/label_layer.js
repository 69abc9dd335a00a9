/**
 * Label maps on the planes, voxel for voxel: never smoothed, so that what is seen is what was drawn and
 * measured. An eye or an opacity is one redraw of three slices, whatever the size of the volume, and a
 * brush stroke shows at once.
 */

/**
 * @typedef {Object} LabelMap
 * @property {string} key
 * @property {any} data voxels, i fastest @property {[number, number, number]} shape
 * @property {Uint8ClampedArray} rgba four bytes per label value
 * @property {boolean} isFilled @property {boolean} isOutlined
 */

const scratch = new Map();

/**
 * Draw the slice of a label map that a tile shows.
 * @param {CanvasRenderingContext2D} context
 * @param {import("./geometry.js").Tile} tile
 * @param {number[]} cursor voxel indices
 * @param {LabelMap} map
 */
export function drawLabelMap(context, tile, cursor, map) {
  const slice = sliceOf(tile, cursor, map);
  if (!slice) return;
  if (map.isFilled) drawFilled(context, tile, slice, map.rgba);
  if (map.isOutlined) drawOutlines(context, tile, slice, map.rgba, map.isDashed);
}

/** The values of one slice: width x height, x along the tile's horizontal voxel axis. */
export function sliceOf(tile, cursor, { data, shape }) {
  const strides = [1, shape[0], shape[0] * shape[1]];
  const at = Math.round(cursor[tile.normal]);
  if (at < 0 || at >= shape[tile.normal]) return null;
  const [width, height] = [shape[tile.horizontal], shape[tile.vertical]];
  const values = new Uint16Array(width * height);
  let to = 0;
  for (let y = 0; y < height; y += 1) {
    let from = at * strides[tile.normal] + y * strides[tile.vertical];
    for (let x = 0; x < width; x += 1) {
      values[to] = data[from];
      to += 1;
      from += strides[tile.horizontal];
    }
  }
  return { values, width, height };
}

function drawFilled(context, tile, { values, width, height }, rgba) {
  const canvas = canvasOf(width, height);
  const pixels = canvas.context.createImageData(width, height);
  const words = new Uint32Array(pixels.data.buffer);
  const colours = new Uint32Array(rgba.buffer, rgba.byteOffset, rgba.length / 4);
  for (let at = 0; at < values.length; at += 1) if (values[at]) words[at] = colours[values[at]] || 0;
  canvas.context.putImageData(pixels, 0, 0);
  context.save();
  clipTo(context, tile);
  context.imageSmoothingEnabled = false;
  const { pxPerI, pxPerJ } = tile;
  context.setTransform(pxPerI, 0, 0, pxPerJ, tile.x0 - pxPerI / 2, tile.y0 - pxPerJ / 2);
  context.drawImage(canvas.node, 0, 0);
  context.restore();
}

/** The edges between a label and what is not it, one path per label. */
function drawOutlines(context, tile, { values, width, height }, rgba, isDashed) {
  const paths = new Map();
  const pathOf = (label) => paths.get(label) || paths.set(label, new Path2D()).get(label);
  const x = (at) => tile.x0 + (at - 0.5) * tile.pxPerI;
  const y = (at) => tile.y0 + (at - 0.5) * tile.pxPerJ;
  const edge = (label, x0, y0, x1, y1) => {
    if (!label || !rgba[4 * label + 3]) return;
    const path = pathOf(label);
    path.moveTo(x(x0), y(y0));
    path.lineTo(x(x1), y(y1));
  };
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const here = values[row * width + column];
      const left = column ? values[row * width + column - 1] : 0;
      const above = row ? values[(row - 1) * width + column] : 0;
      if (here !== left) for (const label of [here, left]) edge(label, column, row, column, row + 1);
      if (here !== above) for (const label of [here, above]) edge(label, column, row, column + 1, row);
      if (here && column === width - 1) edge(here, width, row, width, row + 1);
      if (here && row === height - 1) edge(here, column, height, column + 1, height);
    }
  }
  context.save();
  clipTo(context, tile);
  context.lineWidth = 1.5 * (globalThis.devicePixelRatio || 1);
  if (isDashed) context.setLineDash([5, 3]);
  for (const [label, path] of paths) {
    context.strokeStyle = `rgb(${rgba[4 * label]} ${rgba[4 * label + 1]} ${rgba[4 * label + 2]})`;
    context.stroke(path);
  }
  context.restore();
}

export function clipTo(context, { cell }) {
  context.beginPath();
  context.rect(cell.x, cell.y, cell.width, cell.height);
  context.clip();
}

function canvasOf(width, height) {
  const key = `${width}x${height}`;
  if (!scratch.has(key)) {
    const node = new OffscreenCanvas(width, height);
    scratch.set(key, { node, context: node.getContext("2d", { willReadFrequently: true }) });
  }
  return scratch.get(key);
}

/**
 * The colours of a label map.
 * @param {{value: number, colour: string}[]} labels
 * @param {(label: any) => number} opacityOf 0 to 1
 */
export function colourTable(labels, opacityOf) {
  const most = Math.max(0, ...labels.map((label) => label.value));
  const rgba = new Uint8ClampedArray(4 * (most + 1));
  for (const label of labels) rgba.set([...rgbOf(label.colour), Math.round(255 * opacityOf(label))], 4 * label.value);
  return rgba;
}

/** `#rrggbb` as three numbers; grey if it is none. */
export function rgbOf(colour) {
  const found = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(colour || "");
  return found ? found.slice(1).map((part) => Number.parseInt(part, 16)) : [150, 150, 150];
}
