/** One flat list of labels: eye, colour, name, volume, verdict; a search where there are many. */

import { flatLabels, millilitres, onImage, spoken, timeText } from "./case_facts.js";
import { button, dropDown, el } from "./dom.js";

/** More labels than this get a search field. */
const MANY = 10;

const NEXT = { null: "true", true: "wrong_extent", wrong_extent: "false", false: null };
const MARKS = { true: "✓", wrong_extent: "↔", false: "✗" };

/** @param {any} view the case view */
export function labelsPanel(view) {
  const maps = view.overlays.segmentations(view.caseData, view.imageId);
  const rows = flatLabels(maps);
  const broken = onImage(view.caseData.segmentations, view.imageId).filter((map) => map.error);
  if (!rows.length && !broken.length) return null;
  const list = el("ul", { class: "labels" }, shownRows(view, rows).map((row) => labelRow(view, row)));
  const search = rows.length > MANY ? el("input", {
    type: "search", class: "label-search", placeholder: `Search ${rows.length} labels`, "aria-label": "search labels", value: view.labelSearch || "",
    on: { input: (event) => {
      view.labelSearch = event.target.value;
      list.replaceChildren(...shownRows(view, rows).map((row) => labelRow(view, row)));
    } },
  }) : null;
  const { overlays } = view;
  return el("section", { class: "panel", "aria-label": "Segmentation" },
    el("h2", {}, "Segmentation", el("span", { class: "count" }, rows.length), el("span", { class: "spacer" }),
      button("all", () => view.setAllLabels(true), { class: "quiet", title: "Show all labels" }),
      button("none", () => view.setAllLabels(false), { class: "quiet", title: "Hide all labels" })),
    el("div", { class: "tune" },
      toggle("shown", overlays.show.seg, () => view.actions.toggleSeg(), "S"),
      toggle("outlines", overlays.isOutline, () => view.actions.toggleOutline(), "O"),
      slider("opacity", overlays.opacity.seg, (value) => view.setOpacity("seg", value)),
      view.canEdit ? button("correct", () => view.actions.edit(), { class: "quiet", title: "Correct a segmentation (,)" }) : null),
    maps.map((map) => versionChoice(view, map)),
    broken.map((map) => el("p", { class: "problem" }, `${map.bundle}: ${map.error.reason}`)),
    search, list);
}

/** Which version of a map is looked at, where there are corrections. */
function versionChoice(view, map) {
  const versions = view.overlays.versionsOf(view.caseData, map);
  if (!versions.length) return null;
  const name = map.corrects || map.name;
  const choices = [["ai", `${spoken(map.bundle)}: the network's own`], ...versions.map((one) => [String(one.version), `${spoken(map.bundle)}: corrected by ${one.who}, ${timeText(one.when)}`])];
  return dropDown(choices, String(map.version ?? "ai"), (version) => view.setVersion(name, version), { class: "version-choice", "aria-label": "version" });
}

/** A check box that looks like a switch, with its key. */
export function toggle(name, isOn, onChange, key) {
  return el("button", { type: "button", class: "toggle", "aria-pressed": String(isOn), title: key ? `${name} (${key})` : name, on: { click: onChange } },
    el("span", { class: "dot" }), name);
}

/** A slider from 0 to 1. */
export function slider(name, value, onChange, attributes = {}) {
  return el("label", { class: "slider", title: name }, el("span", {}, name),
    el("input", { type: "range", min: 0, max: 1, step: 0.01, value, "aria-label": name, ...attributes,
      on: { input: (event) => onChange(Number(event.target.value)), change: (event) => event.target.blur() } }));
}

function shownRows(view, rows) {
  const wanted = (view.labelSearch || "").trim().toLowerCase();
  return wanted ? rows.filter((row) => spoken(row.label.name).toLowerCase().includes(wanted)) : rows;
}

function labelRow(view, { map, label, key }) {
  const { overlays, draft } = view;
  const isShown = overlays.isLabelShown(key);
  const given = draft.labels.get(`${map.bundle}:${label.name}`)?.verdict ?? null;
  const isFound = (label.volume_ml ?? label.volume_voxels ?? 1) > 0;
  return el("li", { class: `label${isShown ? "" : " is-hidden"}${isFound ? "" : " is-absent"}`, data: { label: label.name } },
    el("button", { type: "button", class: "eye", "aria-pressed": String(isShown), "aria-label": `show ${spoken(label.name)}`, title: isShown ? "hide" : "show", on: { click: () => view.toggleLabel(key) } },
      el("span", { class: "swatch", style: { background: label.colour } })),
    el("span", { class: "name", title: `${spoken(label.name)} · ${map.bundle}${map.version ? ` · ${map.version}` : ""}` }, spoken(label.name)),
    label.reached_border ? el("span", { class: "badge is-fair", title: "touches the border of the image: cut off" }, "cut") : null,
    el("span", { class: "volume" }, isFound ? millilitres(label.volume_ml) || (label.volume_voxels ? `${label.volume_voxels} vx` : "") : "not found"),
    el("input", { type: "range", class: "label-opacity", min: 0, max: 1, step: 0.05, value: overlays.labelOpacity.get(key) ?? 1, "aria-label": `opacity of ${spoken(label.name)}`, title: "opacity",
      on: { input: (event) => view.setLabelOpacity(key, Number(event.target.value)), change: (event) => event.target.blur() } }),
    view.isReadOnly ? null : el("button", { type: "button", class: `mark is-${given}`, "aria-label": `verdict on ${spoken(label.name)}`, title: "true, wrong extent, false",
      on: { click: () => view.judgeLabel(map.bundle, label.name, NEXT[given]) } }, MARKS[given] || "·"));
}
