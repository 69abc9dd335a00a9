/** Heatmap with its trust verdict, uncertainty, truth, and what classifiers say. */

import { TRUST, confidenceText, onImage, scoreText, spoken, unsureText } from "./case_facts.js";
import { button, dropDown, el } from "./dom.js";
import { COLORMAPS, heatTarget } from "./overlay_state.js";
import { slider, toggle } from "./panel_labels.js";

/** @param {any} view the case view */
export function mapsPanel(view) {
  const { caseData, overlays, imageId } = view;
  const heat = overlays.chosenHeat(caseData, imageId);
  const truth = onImage(caseData.truth, imageId);
  const uncertainty = onImage(caseData.uncertainty, imageId);
  if (!heat && !truth.length && !uncertainty.length) return null;
  return el("section", { class: "panel", "aria-label": "Maps" },
    heat ? heatRows(view, heat) : null,
    uncertainty.length ? uncertaintyRows(view, uncertainty) : null,
    truth.length ? [el("h2", {}, "Truth"), el("div", { class: "tune" }, toggle("dashed outline", overlays.show.truth, () => view.actions.toggleTruth(), "T"))] : null);
}

/** What a heatmap explains; of a finding with its number in the list. */
function targetText(view, map) {
  const at = map.finding_id ? view.findings.findIndex((one) => one.finding_id === map.finding_id) : -1;
  return at < 0 ? spoken(map.target) : `${spoken(map.target)}, finding ${at + 1}`;
}

function heatRows(view, heat) {
  const { caseData, overlays, imageId } = view;
  const maps = overlays.heatmaps(caseData, imageId);
  const trust = TRUST[heat.trust] || TRUST.unchecked;
  const choice = maps.length > 1
    ? dropDown(maps.map((map) => [map.key, `${targetText(view, map)} (${TRUST[map.trust]?.name})`]), heat.key, (key) => view.setHeat({ key, target: heatTarget(maps.find((one) => one.key === key)) }), { "aria-label": "heatmap" })
    : el("span", { class: "what" }, targetText(view, heat));
  return [
    el("h2", {}, "Heatmap", el("span", { class: "spacer" }), el("span", { class: `badge is-${trust.tone}`, title: "whether the map deserves trust" }, trust.name)),
    el("div", { class: "heat-choice" }, choice, el("span", { class: "method" }, spoken(heat.method))),
    heat.error ? el("p", { class: "problem" }, heat.error.reason) : null,
    heat.trust_reason ? el("p", { class: "reason" }, heat.trust_reason) : null,
    heat.isDrawable ? heatTuning(view) : el("p", { class: "reason" }, "Not drawn: its checks speak against it. ",
      heat.url ? button("Draw it all the same", () => view.allowHeat(heat.key), { class: "quiet" }) : null),
  ];
}

/** How unsure each voxel is: by which measure, of how many answers, and what the colours stand for. */
function uncertaintyRows(view, maps) {
  const { overlays } = view;
  const map = overlays.chosenUncertainty(view.caseData, view.imageId);
  const { name, how, unit } = unsureText(map);
  const isOneNetwork = maps.every((one) => one.bundle === map.bundle);
  const choice = maps.length > 1
    ? dropDown(maps.map((one) => [one.name, isOneNetwork ? unsureText(one).name : `${unsureText(one).name}, ${spoken(one.bundle)}`]), map.name, (chosen) => view.setUncertainty({ name: chosen }), { "aria-label": "map of uncertainty" })
    : el("span", { class: "what" }, name);
  const below = el("span", { class: "below" });
  const lowest = el("span", {});
  const showFrom = (threshold) => {
    below.style.width = `${100 * threshold}%`;
    lowest.textContent = `from ${unit(threshold * map.shown_to)}`;
  };
  showFrom(overlays.uncertainty.threshold);
  return [
    el("h2", {}, "Uncertainty", el("span", { class: "spacer" }), el("span", { class: "badge is-plain", title: "the network's own doubt; it was not compared with any truth" }, "not calibrated")),
    el("div", { class: "heat-choice" }, choice, isOneNetwork ? el("span", { class: "method" }, spoken(map.bundle)) : null),
    el("p", { class: "reason" }, how),
    map.error ? el("p", { class: "problem" }, map.error.reason) : null,
    map.url ? [
      el("div", { class: "tune" }, toggle("shown", overlays.show.uncertainty, () => view.actions.toggleUncertainty(), "I")),
      el("div", { class: "tune" },
        slider("from", overlays.uncertainty.threshold, (threshold) => {
          showFrom(threshold);
          view.setUncertainty({ threshold });
        }, { "aria-label": "uncertainty from" }),
        slider("opacity", overlays.opacity.uncertainty, (value) => view.setOpacity("uncertainty", value), { "aria-label": "opacity of uncertainty" })),
      el("div", { class: "ramp is-viridis", "aria-label": "colours of uncertainty" },
        below, lowest, el("span", {}, map.kind === "disagreement" ? `${unit(map.shown_to)}, the highest` : `${unit(map.shown_to)}, a coin flip`)),
    ] : null,
  ];
}

function heatTuning(view) {
  const { overlays } = view;
  return [
    el("div", { class: "tune" },
      toggle("shown", overlays.show.heat, () => view.actions.toggleHeat(), "H"),
      dropDown(COLORMAPS, overlays.heat.colormap, (colormap) => view.setHeat({ colormap }), { "aria-label": "colours of the heatmap" })),
    el("div", { class: "tune" },
      slider("from", overlays.heat.threshold, (threshold) => view.setHeat({ threshold })),
      slider("opacity", overlays.opacity.heat, (value) => view.setOpacity("heat", value))),
    el("div", { class: `ramp is-${overlays.heat.colormap}`, "aria-hidden": "true" }, el("span", {}, `${Math.round(100 * overlays.heat.threshold)} %`), el("span", {}, "highest")),
  ];
}

/** Classes and their scores; of a network that judges slices, the highest slice. @param {any} view */
export function predictionsPanel(view) {
  const here = onImage(view.caseData.predictions, view.imageId);
  if (!here.length) return null;
  const whole = here.filter((one) => one.slice_k === null || one.slice_k === undefined);
  const bySlice = here.filter((one) => one.slice_k !== null && one.slice_k !== undefined);
  const targets = [...new Set(bySlice.map((one) => `${one.bundle}:${one.target}:${one.part ?? ""}`))];
  return el("section", { class: "panel", "aria-label": "Classes" },
    el("h2", {}, "Classes", el("span", { class: "spacer" }), el("span", { class: "method" }, confidenceText(view.caseData.confidence_kind))),
    el("ul", { class: "classes" },
      whole.sort((one, other) => other.score - one.score).map((one) => classRow(one)),
      targets.map((target) => sliceRow(view, bySlice.filter((one) => `${one.bundle}:${one.target}:${one.part ?? ""}` === target)))));
}

function classRow(one) {
  const isOpen = one.conformal_set?.includes(one.target);
  return el("li", {}, el("span", { class: "name" }, one.part ? `${spoken(one.target)}, ${spoken(one.part)}` : spoken(one.target)),
    isOpen && one.conformal_set.length > 1 ? el("span", { class: "badge is-fair", title: `stays possible at the promised coverage: ${one.conformal_set.map(spoken).join(", ")}` }, "open") : null,
    el("span", { class: "bar" }, el("span", { style: { width: `${Math.round(100 * one.score)}%` } })), el("span", { class: "score" }, scoreText(one.score, one.score_kind)));
}

/** The scores of all slices as a small chart; a click goes to the slice. */
function sliceRow(view, rows) {
  const best = rows.reduce((one, other) => (other.score > one.score ? other : one));
  const chart = el("span", { class: "spark", "aria-hidden": "true" }, rows.slice().sort((a, b) => a.slice_k - b.slice_k).map((one) =>
    el("span", { style: { height: `${Math.max(4, 100 * one.score)}%` }, title: `slice ${one.slice_k + 1}: ${one.score.toFixed(2)}`, on: { click: () => view.jumpToSlice(one.slice_k) } })));
  return el("li", {}, el("button", { type: "button", class: "link name", on: { click: () => view.jumpToSlice(best.slice_k) }, title: "go to this slice" }, `${spoken(best.target)}${best.part ? `, ${spoken(best.part)}` : ""}, slice ${best.slice_k + 1}`),
    chart, el("span", { class: "score" }, best.score.toFixed(2)));
}

function mlflowLink(session, outId) {
  const url = session.outs?.find((one) => one.id === outId)?.mlflow_url;
  return /^https?:/.test(url || "") ? el("p", {}, el("a", { href: url, target: "_blank", rel: "noreferrer noopener" }, "Run of this batch in MLflow")) : null;
}

/** Who and what: the image, why it is to be looked at, the networks, checks and numbers. @param {any} view */
export function factsPanel(view) {
  const { caseData, image } = view;
  const notes = [...(image?.notes || []), ...(image?.note || [])];
  return el("details", { class: "panel facts" },
    el("summary", {}, "Case, networks and numbers"),
    mlflowLink(view.session, caseData.out),
    (caseData.bundles || []).map((bundle) => el("p", {}, el("strong", {}, spoken(bundle.name)), ` ${bundle.version} `, bundle.research_only ? el("span", { class: "badge is-fair" }, "research only") : null, el("small", {}, ` ${bundle.licence || ""}`))),
    notes.map((note) => el("p", { class: "reason" }, note)),
    (caseData.checks || []).map((check) => el("p", {}, el("span", { class: `badge is-${check.passed === null ? "plain" : check.passed ? "good" : "bad"}` }, check.passed === null ? "open" : check.passed ? "passed" : "failed"), ` ${spoken(check.name)}: ${check.reason}`)),
    measurements(view));
}

function measurements({ caseData, imageId }) {
  const rows = onImage(caseData.measurements, imageId).filter((one) => one.value !== null && one.quantity !== "volume").slice(0, 100);
  if (!rows.length) return null;
  return el("table", { class: "numbers" }, el("tbody", {}, rows.map((one) => el("tr", {},
    el("td", {}, spoken(one.subject)), el("td", {}, spoken(one.quantity)), el("td", { class: "value" }, Number(one.value).toPrecision(4)), el("td", {}, one.unit === "1" ? "" : one.unit)))));
}
