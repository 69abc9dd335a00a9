/** Choose what draws: NiiVue on a graphics card, slices elsewhere. */

import { el } from "./dom.js";
import { NiivueStage, isSoftware, loadNiivue, webglRenderer } from "./niivue_stage.js";
import { SliceStage } from "./slice_stage.js";

let niivueStage = null;

/**
 * @param {"auto"|"webgl"|"slices"} wish
 * @param {HTMLElement} node gets the canvas as its first child
 * @param {(request: any) => Promise<CanvasImageSource>} cut
 * @returns {Promise<{stage: any, note: string}>} `note`: why not the graphics card; empty if it is
 */
export async function openStage(wish, node, cut) {
  const { isGpu, note } = wish === "slices" ? { isGpu: false, note: "slices, as you asked" } : judge(wish);
  if (isGpu) {
    try {
      return { stage: await gpuStage(node), note: "" };
    } catch (error) {
      return { stage: await sliceStage(node, cut), note: `slices: ${error.message}` };
    }
  }
  return { stage: await sliceStage(node, cut), note };
}

function judge(wish) {
  const renderer = webglRenderer();
  if (!renderer) return { isGpu: false, note: "slices: this browser has no WebGL2" };
  if (wish === "auto" && isSoftware(renderer)) return { isGpu: false, note: "slices: no graphics card" };
  return { isGpu: true, note: "" };
}

/** The one NiiVue of the page: a lost context is not tried again before a reload. */
async function gpuStage(node) {
  if (!niivueStage) {
    const canvas = el("canvas", { class: "picture" });
    node.prepend(canvas);
    niivueStage = await new NiivueStage(await loadNiivue(), canvas).start();
  } else {
    node.prepend(niivueStage.canvas);
  }
  return niivueStage;
}

async function sliceStage(node, cut) {
  const canvas = el("canvas", { class: "picture" });
  node.prepend(canvas);
  return new SliceStage(canvas, cut).start();
}
