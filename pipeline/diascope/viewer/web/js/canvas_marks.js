/**
 * What stands over the picture: letters, crosshair, boxes, diameters, distances, the brush. Drawn on a
 * transparent canvas of the same size, after every frame of the picture below.
 */

import { clipTo, drawLabelMap } from "./label_layer.js";
import { boxInSlice, letterOf, spacingOf, toIjk } from "./geometry.js";

const INK = { letter: "#ffffff", shadow: "rgb(0 0 0 / 0.85)", cross: "rgb(92 200 255 / 0.75)", measure: "#ffe27a", box: "#ff5c5c" };

/**
 * @typedef {Object} Scene
 * @property {number[][]} affine @property {[number, number, number]} shape @property {boolean} hasFrame
 * @property {boolean} hasMm whether in-plane lengths are known
 * @property {[number, number, number]} cursor
 * @property {import("./label_layer.js").LabelMap[]} labelMaps
 * @property {{number: number, box: any, slices?: any[], colour: string, isSelected: boolean, text: string, isDashed?: boolean}[]} boxes
 * @property {{from: number[], to: number[], text: string}[]} lines voxel points
 * @property {{plane: string, x: number, y: number, radiusMm: number, colour: string}|null} brush
 * @property {(tile: any) => string} caption
 * @property {string} focus the plane that keys scroll
 */

/** Draw all marks. @param {HTMLCanvasElement} canvas @param {any[]} tiles @param {Scene} scene */
export function drawMarks(canvas, tiles, scene) {
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  const unit = globalThis.devicePixelRatio || 1;
  for (const tile of tiles) {
    for (const map of scene.labelMaps) drawLabelMap(context, tile, scene.cursor, map);
    drawCross(context, tile, scene.cursor, unit);
    context.save();
    clipTo(context, tile);
    for (const box of scene.boxes) drawBox(context, tile, scene.cursor, box, unit);
    for (const line of scene.lines) drawLine(context, tile, scene.cursor, line, unit);
    context.restore();
    drawLetters(context, tile, scene, unit);
    drawCaption(context, tile, scene, unit);
    if (scene.hasMm) drawScale(context, tile, scene, unit);
  }
  if (scene.brush) drawBrush(context, tiles, scene, unit);
}

/** The letters at the edges of a plane: left, right, top, bottom. */
export function lettersOf(tile, affine) {
  const [right, down] = [Math.sign(tile.pxPerI), Math.sign(tile.pxPerJ)];
  return {
    left: letterOf(affine, tile.horizontal, -right),
    right: letterOf(affine, tile.horizontal, right),
    top: letterOf(affine, tile.vertical, -down),
    bottom: letterOf(affine, tile.vertical, down),
  };
}

function drawLetters(context, tile, scene, unit) {
  if (!scene.hasFrame) return;
  const letters = lettersOf(tile, scene.affine);
  const { x, y, width, height } = tile.cell;
  const gap = 8 * unit;
  const size = Math.min(15, Math.max(12, tile.cell.height / 22)) * unit;
  inkText(context, letters.left, x + gap, y + height / 2, { size, align: "left" });
  inkText(context, letters.right, x + width - gap, y + height / 2, { size, align: "right" });
  // In a narrow cell the letter stands below the caption, not in it.
  const top = scene.caption(tile).length * 6.6 * unit > width / 2 - size ? y + gap + 1.7 * size : y + gap + size / 2;
  inkText(context, letters.top, x + width / 2, top, { size, align: "center" });
  inkText(context, letters.bottom, x + width / 2, y + height - gap - size / 2, { size, align: "center" });
}

function drawCaption(context, tile, scene, unit) {
  const { x, y } = tile.cell;
  const isFocus = tile.plane === scene.focus;
  inkText(context, scene.caption(tile), x + 8 * unit, y + 14 * unit, {
    size: 12 * unit, align: "left", colour: isFocus ? "#ffffff" : "#b6c0cc", weight: isFocus ? 600 : 400,
  });
}

/** A ruler of a round number of mm, at the foot of the plane. */
function drawScale(context, tile, scene, unit) {
  const pxPerMm = Math.abs(tile.pxPerI) / spacingOf(scene.affine)[tile.horizontal];
  const length = [200, 100, 50, 20, 10, 5, 2, 1].find((mm) => mm * pxPerMm < tile.cell.width * 0.28);
  if (!length) return;
  const [x, y] = [tile.cell.x + 10 * unit, tile.cell.y + tile.cell.height - 10 * unit];
  context.save();
  context.strokeStyle = "#d7dee6";
  context.lineWidth = 2 * unit;
  context.beginPath();
  context.moveTo(x, y - 4 * unit);
  context.lineTo(x, y);
  context.lineTo(x + length * pxPerMm, y);
  context.lineTo(x + length * pxPerMm, y - 4 * unit);
  context.stroke();
  context.restore();
  const text = length >= 10 ? `${length / 10} cm` : `${length} mm`;
  inkText(context, text, x, y - 11 * unit, { size: 11 * unit, align: "left", colour: "#d7dee6" });
}

function drawCross(context, tile, cursor, unit) {
  const [x, y] = tile.toCanvas(cursor);
  const { cell } = tile;
  const gap = 14 * unit;
  context.save();
  clipTo(context, tile);
  context.strokeStyle = INK.cross;
  context.lineWidth = unit;
  context.beginPath();
  for (const [fromX, fromY, toX, toY] of [
    [cell.x, y, x - gap, y], [x + gap, y, cell.x + cell.width, y],
    [x, cell.y, x, y - gap], [x, y + gap, x, cell.y + cell.height],
  ]) {
    context.moveTo(fromX, fromY);
    context.lineTo(toX, toY);
  }
  context.stroke();
  context.restore();
}

function drawBox(context, tile, cursor, { box, slices, colour, isSelected, text, isDashed }, unit) {
  const shown = boxInSlice(box, slices, tile.normal, Math.round(cursor[tile.normal]));
  const at = shown && tile.boxOnCanvas(shown, cursor);
  if (!at) return;
  context.save();
  context.lineWidth = (isSelected ? 2.5 : 1.5) * unit;
  if (isDashed) context.setLineDash([6 * unit, 4 * unit]);
  context.strokeStyle = INK.shadow;
  context.strokeRect(at.x - unit, at.y - unit, at.width + 2 * unit, at.height + 2 * unit);
  context.strokeStyle = colour || INK.box;
  context.strokeRect(at.x, at.y, at.width, at.height);
  context.restore();
  tag(context, text, at.x, at.y, { colour: colour || INK.box, cell: tile.cell, unit });
}

/** A small label on a dark ground, above its box or, where there is no room, inside the cell. */
function tag(context, text, x, y, { colour, cell, unit }) {
  if (!text) return;
  context.save();
  context.font = `600 ${11 * unit}px system-ui, sans-serif`;
  const width = context.measureText(text).width + 8 * unit;
  const left = Math.min(Math.max(x, cell.x), cell.x + cell.width - width);
  const top = Math.max(y - 17 * unit, cell.y + 22 * unit);
  context.fillStyle = "rgb(0 0 0 / 0.72)";
  context.fillRect(left, top, width, 15 * unit);
  context.fillStyle = colour;
  context.textBaseline = "middle";
  context.fillText(text, left + 4 * unit, top + 8 * unit);
  context.restore();
}

/** A line whose ends lie in the shown slice, or within half a voxel of it. */
function drawLine(context, tile, cursor, { from, to, text, colour = INK.measure }, unit) {
  const slice = Math.round(cursor[tile.normal]);
  if ([from, to].some((end) => Math.abs(end[tile.normal] - slice) > 0.75)) return;
  const [[x0, y0], [x1, y1]] = [tile.toCanvas(from), tile.toCanvas(to)];
  context.save();
  for (const [style, width] of [[INK.shadow, 3.5], [colour, 1.5]]) {
    context.strokeStyle = style;
    context.lineWidth = width * unit;
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    context.stroke();
  }
  context.restore();
  for (const [x, y] of [[x0, y0], [x1, y1]]) disc(context, x, y, 2.5 * unit, colour);
  tag(context, text, (x0 + x1) / 2 + 6 * unit, (y0 + y1) / 2, { colour, cell: tile.cell, unit });
}

function drawBrush(context, tiles, scene, unit) {
  const tile = tiles.find((one) => one.plane === scene.brush.plane);
  if (!tile) return;
  const spacing = spacingOf(scene.affine);
  context.save();
  clipTo(context, tile);
  context.beginPath();
  const [rx, ry] = [Math.abs(tile.pxPerI) / spacing[tile.horizontal], Math.abs(tile.pxPerJ) / spacing[tile.vertical]];
  context.ellipse(scene.brush.x, scene.brush.y, rx * scene.brush.radiusMm, ry * scene.brush.radiusMm, 0, 0, 2 * Math.PI);
  context.strokeStyle = scene.brush.colour;
  context.lineWidth = 1.5 * unit;
  context.stroke();
  context.restore();
}

function disc(context, x, y, radius, colour) {
  context.save();
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
  context.restore();
}

function inkText(context, text, x, y, { size, align, colour = INK.letter, weight = 600 }) {
  if (!text) return;
  context.save();
  context.font = `${weight} ${size}px system-ui, sans-serif`;
  context.textAlign = align;
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = size / 4;
  context.strokeStyle = INK.shadow;
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
  context.restore();
}

/** The diameters of a finding as lines between voxel points. */
export function diameterLines(finding, affine) {
  const lines = [];
  for (const [name, mm] of [["longest", finding.longest_diameter_mm], ["perpendicular", finding.perpendicular_diameter_mm]]) {
    const ends = finding[`${name}_ends_ras_mm`];
    if (ends && mm) lines.push({ from: toIjk(affine, ends[0]), to: toIjk(affine, ends[1]), text: `${mm.toFixed(1)} mm` });
  }
  return lines;
}
