/** Which overlays of a case are shown, and how: state, and what follows from it for the picture. */

import { flatLabels, labelKey, onImage, spoken } from "./case_facts.js";
import { diameterLines } from "./canvas_marks.js";
import { colourTable, rgbOf } from "./label_layer.js";
import { toMm } from "./geometry.js";

/** Colour maps of NiiVue that are even to the eye, also in grey and to the colour-blind. */
export const COLORMAPS = [["inferno", "Inferno"], ["viridis", "Viridis"], ["plasma", "Plasma"], ["hot", "Hot"], ["gray", "Grey"]];

const FINDING_COLOURS = { true: "#5be07b", false: "#8b95a1", wrong_extent: "#ffc24d" };

/** What a heatmap explains, whichever case it is of. */
export function heatTarget(map) {
  return `${map.bundle}:${map.target}`;
}

export class OverlayState {
  constructor() {
    this.show = { seg: true, heat: false, box: true, truth: true, uncertainty: false };
    this.isOutline = false;
    this.isHidden = false;
    this.opacity = { seg: 0.45, heat: 0.6, uncertainty: 0.6 };
    this.labelOpacity = new Map();
    this.hidden = new Set();
    this.heat = { key: null, target: null, threshold: 0.35, colormap: "inferno", allowed: new Set() };
    this.uncertainty = { name: null, threshold: 0.2 };
    this.maps = new Map();
    this.versions = new Map();
  }

  /** The heatmaps of an image, each with a key of its own: what is allowed of one case is not allowed of the next. */
  heatmaps(caseData, imageId) {
    return onImage(caseData.heatmaps, imageId).map((map) => ({ ...map, key: `${caseData.out}/${caseData.case_id}/${map.name}` }));
  }

  /** The chosen heatmap, and whether it may be drawn: an unsupported one only when it was asked for. */
  chosenHeat(caseData, imageId) {
    const maps = this.heatmaps(caseData, imageId);
    const trusted = maps.filter((one) => one.trust !== "unsupported");
    // Of the next case the map of what was chosen in this one.
    const map = maps.find((one) => one.key === this.heat.key) || trusted.find((one) => heatTarget(one) === this.heat.target) || trusted[0] || maps[0];
    if (!map) return null;
    return { ...map, isDrawable: Boolean(map.url) && (map.trust !== "unsupported" || this.heat.allowed.has(map.key)) };
  }

  /** The chosen map of how unsure each voxel is; null where there is none. */
  chosenUncertainty(caseData, imageId) {
    const maps = onImage(caseData.uncertainty, imageId);
    return maps.find((one) => one.name === this.uncertainty.name) || maps.find((one) => one.url) || maps[0] || null;
  }

  /** Label maps of an image, each in the version that is looked at: the newest correction, unless another was chosen. */
  segmentations(caseData, imageId) {
    return onImage(caseData.segmentations, imageId).map((map) => {
      const versions = this.versionsOf(caseData, map);
      const wanted = this.versions.get(map.name) ?? versions.at(-1)?.version;
      const found = versions.find((one) => String(one.version) === String(wanted));
      return found ? { ...map, url: found.url, labels: found.labels || map.labels, version: found.version, corrects: map.name } : map;
    });
  }

  /** The corrections of a map, oldest first. */
  versionsOf(caseData, map) {
    return (caseData.corrections || [])
      .filter((one) => one.bundle === map.bundle && one.image_id === map.image_id && (one.part || 1) === (map.part || 1) && `seg-${one.segmentation}` === map.name.replace(/-\d+$/, ""))
      .sort((one, other) => one.version - other.version);
  }

  isLabelShown(key) {
    return !this.hidden.has(key);
  }

  toggleLabel(key) {
    if (!this.hidden.delete(key)) this.hidden.add(key);
  }

  setAllLabels(caseData, imageId, isShown) {
    for (const row of flatLabels(onImage(caseData.segmentations, imageId))) {
      if (isShown) this.hidden.delete(row.key);
      else this.hidden.add(row.key);
    }
  }

  /** Label maps as the planes draw them. @param {(url: string) => any} volumeOf what was read, or null */
  labelMaps(caseData, imageId, volumeOf, { withSegmentation }) {
    if (this.isHidden) return [];
    const shown = [];
    // Areas would hide the map below them.
    const isOverMap = (this.show.heat && Boolean(this.chosenHeat(caseData, imageId)?.isDrawable))
      || (this.show.uncertainty && Boolean(this.chosenUncertainty(caseData, imageId)?.url));
    const isOutline = this.isOutline || isOverMap;
    if (this.show.seg && withSegmentation) {
      for (const map of this.segmentations(caseData, imageId)) {
        const nifti = volumeOf(map.url);
        const alpha = (label) => this.#alpha(map, label);
        if (nifti) shown.push(drawn(map.url, nifti, colourTable(map.labels, alpha), { isFilled: !isOutline, isOutlined: isOutline }));
      }
    }
    if (this.show.truth) {
      for (const map of onImage(caseData.truth, imageId)) {
        const nifti = volumeOf(map.url);
        const labels = map.labels?.length ? map.labels : [{ value: 1, colour: "#ffffff" }];
        if (nifti) shown.push(drawn(map.url, nifti, colourTable(labels, () => 1), { isFilled: false, isOutlined: true, isDashed: true }));
      }
    }
    return shown;
  }

  /** Addresses of every label map that is wanted now. */
  labelUrls(caseData, imageId) {
    const maps = [...(this.show.seg ? this.segmentations(caseData, imageId) : []), ...(this.show.truth ? onImage(caseData.truth, imageId) : [])];
    return maps.map((map) => map.url).filter(Boolean);
  }

  /** Boxes of findings and of missed lesions. */
  boxes(findings, draft, selectedId) {
    if (this.isHidden || !this.show.box) return [];
    const found = findings.map((finding, at) => {
      const given = draft.findings.get(finding.finding_id)?.verdict;
      const isSelected = finding.finding_id === selectedId;
      return {
        box: finding.box_ijk,
        slices: finding.slice_boxes_ijk,
        colour: FINDING_COLOURS[given] || "#ff6b6b",
        isSelected,
        isDashed: given === "false",
        text: isSelected ? `${at + 1}  ${spoken(finding.label)}  ${finding.score.toFixed(2)}` : `${at + 1}`,
      };
    });
    const missed = draft.missed.map((one) => ({ box: one.box_ijk, colour: "#7ee0ff", isDashed: true, text: `missed ${spoken(one.label)}` }));
    return [...found, ...missed];
  }

  lines(finding, affine) {
    return finding && affine && !this.isHidden && this.show.box ? diameterLines(finding, affine) : [];
  }

  /** What NiiVue draws over the image: the heatmap, uncertainty, and in 3-D the label maps. */
  async gpuOverlays(caseData, imageId, volumeAt, has3d) {
    const wanted = [];
    if (has3d && this.show.seg) {
      for (const map of this.segmentations(caseData, imageId).filter((one) => one.url)) {
        // NiiVue takes one opacity for the whole map: a label is there or not.
        const colours = lutOf(map.labels, (label) => (this.hidden.has(labelKey(map, label)) ? 0 : 1));
        wanted.push({ key: `3d:${map.url}`, nifti: await volumeAt(map.url), colours, opacity: this.opacity.seg });
      }
    }
    const unsure = this.chosenUncertainty(caseData, imageId);
    if (this.show.uncertainty && unsure?.url) {
      wanted.push({ key: unsure.url, nifti: await volumeAt(unsure.url), colormap: "viridis", range: this.uncertaintyRange(unsure), opacity: this.opacity.uncertainty });
    }
    const heat = this.chosenHeat(caseData, imageId);
    if (this.show.heat && heat?.isDrawable) {
      const nifti = await volumeAt(heat.url);
      wanted.push({ key: heat.url, nifti, colormap: this.heat.colormap, range: this.heatRange(heat), opacity: this.opacity.heat });
    }
    return wanted;
  }

  /** Colours from the threshold to the highest evidence; what speaks against a class is not drawn. */
  heatRange(heat) {
    const most = Math.max(heat.raw_range[1], 1e-9);
    return [Math.max(this.heat.threshold, 0.001) * most, most];
  }

  /** Colours from the threshold on, counted from certainty to a coin flip: the same in every case. */
  uncertaintyRange(map) {
    return [Math.max(this.uncertainty.threshold, 0.004) * map.shown_to, map.shown_to];
  }

  /**
   * What a server that cuts slices is to burn into them.
   * @param {boolean} withLabels the label maps too: they are too large to be read by the page
   */
  sliceQuery(caseData, imageId, withLabels) {
    if (this.isHidden) return {};
    const heat = this.chosenHeat(caseData, imageId);
    const maps = this.segmentations(caseData, imageId);
    const query = {};
    if (this.show.heat && heat?.isDrawable) Object.assign(query, { heat: heat.name, heat_min: this.heat.threshold.toFixed(3), heat_colours: this.heat.colormap, heat_alpha: this.opacity.heat.toFixed(2) });
    const unsure = this.chosenUncertainty(caseData, imageId);
    if (this.show.uncertainty && unsure?.url) {
      Object.assign(query, { unc: unsure.name, unc_min: this.uncertainty.threshold.toFixed(3), unc_alpha: this.opacity.uncertainty.toFixed(2) });
    }
    if (withLabels && this.show.seg && maps.length) {
      const hidden = maps.flatMap((map) => map.labels.filter((label) => this.hidden.has(labelKey(map, label))).map((label) => `${map.bundle}:${label.value}`));
      Object.assign(query, { seg: [...new Set(maps.map((map) => map.bundle))].join(","), hidden: hidden.join(","), outline: this.isOutline });
    }
    return query.seg ? { ...query, alpha: this.opacity.seg.toFixed(2) } : query;
  }

  #alpha(map, label) {
    const key = labelKey(map, label);
    return this.hidden.has(key) ? 0 : (this.labelOpacity.get(key) ?? 1) * (this.isOutline ? 1 : this.opacity.seg);
  }
}

/** The eight corners of a finding's voxel box in mm, for the 3-D view. */
export function corners3d(finding, affine) {
  const [low, high] = finding.box_ijk;
  return [0, 1, 2, 3, 4, 5, 6, 7].map((at) => toMm(affine, [0, 1, 2].map((axis) => ((at >> axis) & 1 ? high[axis] : low[axis]) - 0.5)));
}

function drawn(key, nifti, rgba, how) {
  return { key, data: nifti.data, shape: nifti.shape, rgba, ...how };
}

/** A label table as NiiVue takes it; it wants the background too. */
function lutOf(labels, opacityOf) {
  const rows = [{ value: 0, colour: "#000000" }, ...labels];
  const rgb = rows.map((row) => rgbOf(row.colour));
  return {
    R: rgb.map((one) => one[0]), G: rgb.map((one) => one[1]), B: rgb.map((one) => one[2]),
    A: rows.map((row) => (row.value ? Math.round(255 * Math.min(1, opacityOf(row))) : 0)),
    I: rows.map((row) => row.value),
    labels: rows.map((row) => row.name || ""),
  };
}
