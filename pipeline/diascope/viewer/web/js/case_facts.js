/** What a case answer says, in the words a reader sees. Pure functions. */

/** Make a case answer handy: what is mine, and which labels are cut off, stand where they are used. */
export function handy(caseData, reviewer) {
  return {
    ...caseData,
    verdicts: (caseData.verdicts || []).map((one) => ({ ...one, is_mine: one.is_mine ?? one.reviewer === reviewer })),
    segmentations: (caseData.segmentations || []).map((map) => ({
      ...map,
      labels: (map.labels || []).map((label) => ({ ...label, reached_border: label.reached_border ?? (map.reached_border || []).includes(label.name) })),
    })),
  };
}

/** A finding's size: diameters and volume in mm and mL, voxels where there are no mm. */
export function sizeText(finding) {
  const parts = [];
  if (finding.longest_diameter_mm) {
    const short = finding.perpendicular_diameter_mm;
    parts.push(`${finding.longest_diameter_mm.toFixed(1)}${short ? ` × ${short.toFixed(1)}` : ""} mm`);
  }
  if (finding.volume_mm3) parts.push(millilitres(finding.volume_mm3 / 1000));
  if (!parts.length && finding.size_voxels) parts.push(`${finding.size_voxels} voxels`);
  if (!parts.length) {
    const [low, high] = finding.box_ijk;
    parts.push(`${high.map((value, axis) => value - low[axis]).join(" × ")} voxels`);
  }
  return parts.join("  ·  ");
}

/** A volume with as many digits as it deserves. */
export function millilitres(ml) {
  if (ml === null || ml === undefined) return "";
  return `${ml >= 100 ? ml.toFixed(0) : ml >= 1 ? ml.toFixed(1) : ml.toFixed(2)} mL`;
}

/** `left_brain` as a person writes it. */
export function spoken(name) {
  return String(name ?? "").replaceAll("_", " ");
}

const SLICE_WORDS = { instance_number: "image", frame_number: "frame", slice_index: "slice index" };

/**
 * Where a finding is in its source, for somebody who opens it on a workstation: the slice in its middle, and all it
 * lies on. A source that numbers no slices (NIfTI) says so: its slices are counted from 0.
 */
export function sourceText({ source }, image) {
  if (!source) return "";
  const word = SLICE_WORDS[source.named_by];
  const all = source.ranges.map(([first, last]) => (first === last ? `${first}` : `${first} to ${last}`)).join(", ");
  const centre = source.centre === null ? "between images" : `${word} ${source.centre}`;
  const isOne = all === `${source.centre}`;
  const counted = source.named_by === "slice_index" ? "from 0" : "";
  const span = [isOne || !all ? "" : `spans ${all}`, counted].filter(Boolean).join(", ");
  return [seriesText(source.series_number, image), span ? `${centre} (${span})` : centre].filter(Boolean).join("  ·  ");
}

/** What the source calls a series; its description only where it was allow-listed, since it is free text. */
export function seriesText(number, image) {
  const description = image?.series_description;
  if (number === null || number === undefined) return description ? `series ${description}` : "";
  return description ? `series ${number} ${description}` : `series ${number}`;
}

/** The middle of a half-open voxel box, on a voxel centre. @returns {[number, number, number]} */
export function middleOf([low, high]) {
  return /** @type {any} */ (low.map((value, axis) => Math.floor((value + high[axis] - 1) / 2)));
}

/** Label maps, heatmaps and so on that lie on one image. */
export function onImage(list, imageId) {
  return (list || []).filter((one) => one.image_id === imageId);
}

/** A name for one label of one map that no other has. */
export function labelKey(map, label) {
  return `${map.bundle}:${map.part || 1}:${map.name || ""}:${label.source_value ?? label.value}`;
}

/** Every label of the maps of an image in one flat list; what was not found comes last. */
export function flatLabels(maps) {
  const rows = maps.flatMap((map, at) => (map.labels || []).map((label) => ({ map, at, label, key: labelKey(map, label) })));
  const isFound = (row) => (row.label.volume_ml ?? row.label.volume_voxels ?? 1) > 0;
  return [...rows.filter(isFound), ...rows.filter((row) => !isFound(row))];
}

/** The facts of an image in one line: what it is, of whom, how it was made. */
export function imageText(image) {
  const facts = image.facts || {};
  const person = [facts.sex, facts.age_years && `${facts.age_years} y`].filter(Boolean).join(" ");
  const spacing = image.spacing_mm ? `${image.spacing_mm.map((mm) => mm.toFixed(2).replace(/0+$/, "").replace(/\.$/, "")).join(" × ")} mm` : "no spacing";
  const shape = image.shape_ijk ? image.shape_ijk.join(" × ") : "";
  return [image.modality || facts.modality, spoken((facts.body_part || "").toLowerCase()), person, shape, spacing].filter(Boolean).join("  ·  ");
}

/** An image among those of its case: how it was taken, and which networks were given it. */
export function imageChoiceText(image, at) {
  const facts = image.facts || {};
  const taken = [image.modality || facts.modality, facts.plane, facts.view, facts.sequence, facts.contrast ? "contrast" : ""].filter(Boolean).join(" ");
  const bundles = (image.chosen_for || []).map(spoken).join(", ");
  const series = seriesText(image.series_number, image);
  return `${at + 1}  ${[series, taken].filter(Boolean).join(" ")}  ·  ${bundles || "no network"}`;
}

/** A score: a percentage only where it was calibrated, else the network's own number. */
export function scoreText(score, kind) {
  return kind === "calibrated" ? `${Math.round(100 * score)} %` : score.toFixed(2);
}

/** How much a score may be believed. */
export function confidenceText(kind) {
  return { calibrated: "calibrated", raw: "raw, promises nothing", none: "" }[kind] ?? "";
}

export const VERDICTS = {
  accept: { name: "Accept", done: "Accepted", tone: "good" },
  needs_edit: { name: "Needs edit", done: "Needs edit", tone: "fair" },
  reject: { name: "Reject", done: "Rejected", tone: "bad" },
  skip: { name: "Skip", done: "Skipped", tone: "plain" },
};

export const FINDING_VERDICTS = { true: "true", false: "false", wrong_extent: "wrong extent" };

export const TRUST = {
  supported: { name: "supported", tone: "good" },
  doubtful: { name: "doubtful", tone: "fair" },
  unsupported: { name: "unsupported", tone: "bad" },
  unchecked: { name: "not checked", tone: "plain" },
};

/** A map of uncertainty in words: by which measure, of how many answers, its unit. */
export function unsureText(map) {
  const again = { ensemble: "an ensemble", mirrors: "mirrored images", dropout: "dropout draws" };
  const asked = map.asked_again.map((one) => again[one]).join(", ");
  const several = `${map.answers} answers (${asked})`;
  const unit = (value) => (map.unit === "bit" ? `${value.toFixed(2)} bit` : value.toFixed(2));
  if (map.kind === "disagreement") return { name: "Disagreement", how: `By how much ${several} disagree (mutual information).`, unit };
  const of = map.answers > 1 ? `the average of ${several}` : "a single answer";
  return map.kind === "entropy"
    ? { name: "Entropy", how: `Entropy of the probabilities of ${of}.`, unit }
    : { name: "1 - highest probability", how: `1 less the highest probability of ${of}.`, unit };
}

/** A date as the reader's clock shows it. */
export function timeText(when) {
  const date = new Date(when);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}
