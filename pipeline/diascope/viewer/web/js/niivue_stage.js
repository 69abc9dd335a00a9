/**
 * The only file that knows NiiVue (0.69). One instance, made once and used for every case: a page has at
 * most 16 WebGL contexts, and viewers that are made anew leak them (NiiVue issues 698 and 1009).
 *
 * NiiVue draws the image, heatmaps and the view in 3-D. Its own keys, mouse, letters and crosshair are
 * off: they differ from ours, and `?` would open an alert.
 */

import { Tile, toMm } from "./geometry.js";
import { cellsInPx } from "./layout.js";

const SLICE_TYPES = { axial: 0, coronal: 1, sagittal: 2, "3d": 4 };
const PLANE_NAMES = ["axial", "coronal", "sagittal"];
/** In-plane directions of NiiVue's planes, in its own straightened axes. */
const IN_PLANE = [[0, 1], [0, 2], [1, 2]];

/** NiiVue draws an overlay transparent below `cal_min`, with colours counted from zero. */
const TRANSPARENT_BELOW_MIN = 2;

/** For MONOCHROME1. NiiVue's own `colormapInvert` turns the opacities round too, and dark grey comes out black. */
const INVERTED = "diascope_gray_inverted";

/** Of the view in 3-D: NiiVue leaves room to turn a long body, which a quarter of the stage has not got. */
const VOLUME_SCALE = 1.5;

const MOST_ZOOM = 20;

/** Load the library, once. @returns {Promise<any>} */
export async function loadNiivue() {
  if (!globalThis.niivue) {
    await new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = "static/vendor/niivue.umd.js";
      script.addEventListener("load", resolve);
      script.addEventListener("error", () => reject(new Error("NiiVue is not installed: run `make web`")));
      document.head.append(script);
    });
  }
  return globalThis.niivue;
}

/** What draws here: null without WebGL2, else the name of the renderer. */
export function webglRenderer() {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) return null;
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  const name = info ? gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : "unknown";
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return String(name);
}

/** Whether a renderer computes on the processor: a frame then takes a second, not a millisecond. */
export function isSoftware(renderer) {
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(renderer || "");
}

/** Draws with NiiVue. Everything outside speaks voxel indices of the case's image. */
export class NiivueStage {
  /** @param {any} library @param {HTMLCanvasElement} canvas */
  constructor(library, canvas) {
    this.library = library;
    this.canvas = canvas;
    this.kind = "webgl";
    this.has3d = true;
    this.onDraw = () => {};
    this.onLost = () => {};
    this.affine = null;
    this.overlays = [];
    this.cells = [];
    this.nv = new library.Niivue({
      interactive: false,
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      isOrientationTextVisible: false,
      crosshairWidth: 0,
      show3Dcrosshair: false,
      isColorbar: false,
      isOrientCube: false,
      loadingText: "",
      backColor: [0, 0, 0, 1],
      meshXRay: 0.7,
      meshThicknessOn2D: 0.01,
      dragAndDropEnabled: false,
      logLevel: "error",
    });
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.onLost();
    });
  }

  async start() {
    await this.nv.attachToCanvas(this.canvas, false);
    this.nv.addColormap(INVERTED, { R: [255, 0], G: [255, 0], B: [255, 0], A: [128, 128], I: [0, 255] });
    const draw = this.nv.drawScene.bind(this.nv);
    this.nv.drawScene = (...rest) => {
      const done = draw(...rest);
      this.onDraw();
      return done;
    };
    return this;
  }

  /**
   * Show an image.
   * @param {import("./nifti.js").Nifti} nifti with the frame it is to be drawn in
   * @param {{affine: number[][], limits: [number, number], isInverted: boolean, isSame: boolean}} options
   *   `affine`: of the case's image, which may be finer than a preview; `isSame`: keep zoom and place
   */
  async setImage(nifti, { affine, limits, isInverted, isSame }) {
    const turn = (this.turn = (this.turn || 0) + 1);
    const image = await this.#load(nifti, isInverted ? INVERTED : "gray", limits);
    // Another image was asked for meanwhile: this one must not come back over it.
    if (turn !== this.turn) return false;
    this.affine = affine;
    if (!isSame) this.nv.scene.pan2Dxyzmm = [0, 0, 0, 1];
    this.image = image;
    this.#rebuild();
    return true;
  }

  /**
   * Show maps over the image, in this order.
   * @param {{key: string, nifti: any, colormap?: string, range?: [number, number], opacity: number, colours?: any}[]} wanted
   *   with `colours` (R, G, B, A by label) it is a label map, which NiiVue draws in 3-D only
   */
  async setOverlays(wanted) {
    const known = new Map(this.overlays.map((one) => [one.key, one]));
    this.overlays = await Promise.all(wanted.map(async (one) => {
      const kept = known.get(one.key);
      const image = kept && kept.nifti === one.nifti ? kept.image : await this.#load(one.nifti, one.colormap || "gray", one.range);
      this.#dress(image, one);
      return { key: one.key, nifti: one.nifti, image };
    }));
    if (this.image) this.#rebuild();
  }

  setWindow([lower, upper]) {
    if (!this.image) return;
    Object.assign(this.image, { cal_min: lower, cal_max: upper });
    // Only the image's own layer: maps over it are not coloured anew.
    this.nv.refreshLayers(this.image, 0);
    this.nv.drawScene();
  }

  /** Hide every map at once without touching them; costs one redraw. */
  setOverlaysHidden(isHidden) {
    this.nv.overlayAlphaShader = isHidden ? 0 : 1;
    this.nv.drawScene();
  }

  setCursor(ijk) {
    if (!this.image) return;
    this.nv.scene.crosshairPos = this.nv.mm2frac(toMm(this.affine, ijk), 0, true);
    this.nv.drawScene();
  }

  setCells(cells) {
    this.cells = cells;
    this.nv.scene.volScaleMultiplier = VOLUME_SCALE;
    this.nv.setCustomLayout(cells.map((cell) => ({
      sliceType: SLICE_TYPES[cell.plane],
      position: [cell.x, cell.y, cell.width, cell.height],
    })));
  }

  /** Boxes as wires in the 3-D view. @param {{corners: number[][], colour: number[]}[]} boxes in mm */
  setBoxes3d(boxes) {
    for (const mesh of [...this.nv.meshes]) this.nv.removeMesh(mesh);
    for (const { corners, colour } of boxes) {
      const mesh = this.nv.loadConnectomeAsMesh(wires(corners));
      mesh.rgba255 = new Uint8Array(colour);
      this.nv.addMesh(mesh);
    }
  }

  /** Larger or smaller about the crosshair; NiiVue by itself zooms about the origin of the patient's frame. */
  zoomBy(factor) {
    const old = this.nv.scene.pan2Dxyzmm;
    const zoom = Math.min(Math.max(old[3] * factor, 1), MOST_ZOOM);
    if (zoom === 1) return this.resetView();
    const mm = this.nv.frac2mm(this.nv.scene.crosshairPos);
    return this.nv.setPan2Dxyzmm([...[0, 1, 2].map((axis) => old[axis] + mm[axis] * (old[3] - zoom)), zoom]);
  }

  panBy(tile, dx, dy) {
    const pan = [...this.nv.scene.pan2Dxyzmm];
    const at = this.#screenSlice(tile.plane);
    if (!at) return;
    const [across, up] = IN_PLANE[at.axCorSag];
    const [, , width, height] = at.leftTopWidthHeight;
    // NiiVue shifts first and scales then. A mirrored plane has a negative width.
    pan[across] += (dx / width) * at.fovMM[0] * pan[3];
    pan[up] -= (dy / height) * at.fovMM[1] * pan[3];
    this.nv.setPan2Dxyzmm(pan);
  }

  resetView() {
    this.nv.setPan2Dxyzmm([0, 0, 0, 1]);
  }

  rotateBy(dx, dy) {
    this.nv.setRenderAzimuthElevation(this.nv.scene.renderAzimuth + dx / 2, this.nv.scene.renderElevation + dy / 2);
  }

  /** Where each plane lies on the canvas, in its pixels. @returns {Tile[]} */
  tiles() {
    // Off the page the canvas has no size, and no place on it is a number.
    if (!this.image || !this.canvas.isConnected || !this.canvas.clientWidth) return [];
    const cells = cellsInPx(this.cells, this.canvas.width, this.canvas.height);
    return (this.nv.screenSlices || [])
      .filter((one) => one.axCorSag <= 2 && one.leftTopWidthHeight[2] && one.leftTopWidthHeight[3] > 0)
      .map((one) => this.#tile(one, cells.find((cell) => cell.plane === PLANE_NAMES[one.axCorSag])))
      .filter((one) => one.cell);
  }

  /** Wait for the graphics to be on the screen: for tests and pictures. */
  finish() {
    this.nv.drawScene();
    this.nv.gl.finish();
  }

  #screenSlice(plane) {
    return this.nv.screenSlices.find((one) => PLANE_NAMES[one.axCorSag] === plane);
  }

  /** A point's place is linear in its voxel indices: ask for four points, and the lines are known. */
  #tile(screen, cell) {
    const origin = this.#project(screen, [0, 0, 0]);
    const steps = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map((ijk) => {
      const [x, y] = this.#project(screen, ijk);
      return [x - origin[0], y - origin[1]];
    });
    const horizontal = largest(steps.map((step) => Math.abs(step[0])));
    const vertical = largest(steps.map((step, axis) => (axis === horizontal ? -1 : Math.abs(step[1]))));
    const map = { x0: origin[0], y0: origin[1], pxPerI: steps[horizontal][0], pxPerJ: steps[vertical][1] };
    return new Tile(PLANE_NAMES[screen.axCorSag], cell, { horizontal, vertical, normal: 3 - horizontal - vertical }, map);
  }

  #project(screen, ijk) {
    const mm = this.nv.frac2mm(this.nv.mm2frac(toMm(this.affine, ijk), 0, true));
    const [across, up] = IN_PLANE[screen.axCorSag];
    const [left, top, width, height] = screen.leftTopWidthHeight;
    const fx = (mm[across] - screen.leftTopMM[0]) / screen.fovMM[0];
    const fy = (mm[up] - screen.leftTopMM[1]) / screen.fovMM[1];
    // A negative width means a mirrored plane: the patient's right is on the left.
    const x = width < 0 ? left + (1 - fx) * -width : left + fx * width;
    return [x, top + (1 - fy) * height];
  }

  async #load(nifti, colormap, range = [NaN, NaN]) {
    return this.library.NVImage.loadFromUrl({
      url: nifti.buffer, name: "volume.nii", colormap, cal_min: range[0], cal_max: range[1], trustCalMinMax: false,
    });
  }

  #dress(image, { colours, colormap, range, opacity }) {
    image.opacity = opacity;
    if (colours) {
      image.setColormapLabel(colours);
      image.hdr.intent_code = 1002;
      return;
    }
    image.colormap = colormap;
    image.colormapType = TRANSPARENT_BELOW_MIN;
    [image.cal_min, image.cal_max] = range;
  }

  /** Put image and maps in place with a single upload; `addVolume` would upload all of them for each. */
  #rebuild() {
    this.nv.volumes = [this.image, ...this.overlays.map((one) => one.image)];
    this.nv.back = this.image;
    this.nv.overlays = this.nv.volumes.slice(1);
    this.nv.updateGLVolume();
  }
}

function largest(values) {
  return values.indexOf(Math.max(...values));
}

/** Twelve edges between eight corners; corner n has bit 0 set for high i, bit 1 for j, bit 2 for k. */
function wires(corners) {
  const edges = [];
  for (let from = 0; from < 8; from += 1) {
    for (const bit of [1, 2, 4]) if (!(from & bit)) edges.push({ first: from, second: from | bit, colorValue: 1 });
  }
  return {
    name: "box",
    nodeColormap: "warm", edgeColormap: "warm",
    nodeMinColor: 0, nodeMaxColor: 1, nodeScale: 0.4,
    edgeMin: 0, edgeMax: 1, edgeScale: 0.6,
    nodes: corners.map(([x, y, z]) => ({ name: "", x, y, z, colorValue: 1, sizeValue: 1 })),
    edges,
  };
}
