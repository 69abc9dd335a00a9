/** The frame of a case page: bar above, picture, panels, status line below. Made once, filled per case. */

import { VERDICTS, imageChoiceText, imageText, onImage, spoken } from "./case_facts.js";
import { button, dropDown, el, fill, keyCap } from "./dom.js";

/** @param {any} view the case view */
export function caseFrame(view) {
  const { app, actions } = view;
  const title = el("div", { class: "case-title" });
  const tools = el("div", { class: "toolbar", role: "toolbar", "aria-label": "picture" });
  const panels = el("div", { class: "panels", tabindex: "-1" });
  const verdict = el("div", { class: "verdict-dock" });
  const status = el("footer", { class: "status", role: "status" });
  const beside = el("div", { class: "beside" });
  const top = el("header", { class: "topbar" },
    el("button", { type: "button", class: "brand", on: { click: () => actions.worklist() }, title: "worklist (W)" }, el("span", { class: "chevron", "aria-hidden": "true" }, "‹"), "Worklist"),
    title, el("span", { class: "spacer" }),
    el("nav", { class: "steps" },
      button("Previous", () => actions.previous(), { class: "quiet", title: "previous case (P)" }),
      button("Next", () => actions.next(), { class: "quiet", title: "next case (N)" })),
    el("button", { type: "button", class: "quiet help", title: "keys (?)", "aria-label": "keys", on: { click: () => app.help() } }, "?"));
  const node = el("main", { class: "case" }, top,
    el("div", { class: "workspace" },
      el("div", { class: "viewport" }, tools, view.editing.bar, el("div", { class: "pictures" }, view.picture.node, beside), status),
      el("aside", { class: "sidebar" }, panels, verdict)));
  return {
    node, panels, verdict, beside,
    update: () => {
      fill(title, titleOf(view));
      fill(tools, toolsOf(view));
    },
    status: () => fill(status, statusOf(view)),
  };
}

function titleOf({ caseData, app }) {
  const at = app.positionOf(caseData);
  const given = (caseData.verdicts || []).filter((one) => one.is_mine && !one.revoked).at(-1);
  const why = (caseData.review_reasons || []).join("; ");
  return [
    el("strong", { class: "case-id" }, caseData.case_id),
    at ? el("span", { class: "position" }, `${at.index} of ${at.of}`) : null,
    caseData.status !== "done" ? el("span", { class: "badge is-bad" }, spoken(caseData.status)) : null,
    caseData.urgent ? el("span", { class: "badge is-bad" }, "urgent") : null,
    caseData.review_first ? el("span", { class: "badge is-fair", title: why }, "review first") : null,
    given ? el("span", { class: `badge is-${given.is_stale ? "fair" : VERDICTS[given.verdict]?.tone}` }, given.is_stale ? "stale verdict" : VERDICTS[given.verdict]?.done) : null,
    caseData.claimed_by && caseData.claimed_by !== app.session.reviewer ? el("span", { class: "badge is-plain" }, `claimed by ${caseData.claimed_by}`) : null,
    el("span", { class: "why", title: why }, why),
  ];
}

function toolsOf(view) {
  const { picture, overlays, actions, caseData, image } = view;
  const images = caseData.images.filter((one) => one.url || one.error);
  const isFlat = image?.shape_ijk?.[2] === 1;
  const pressed = (text, key, isOn, action) => el("button", { type: "button", class: "tool", "aria-pressed": String(Boolean(isOn)), on: { click: action } }, text, keyCap(key));
  const has = (kind) => onImage(caseData[kind], view.imageId).length > 0;
  const presets = picture.grey?.presets || [];
  return [
    images.length > 1 ? dropDown(images.map((one, at) => [one.image_id, imageChoiceText(one, at)]), view.imageId, (id) => view.showImage(id), { class: "image-choice", "aria-label": "image" }) : null,
    el("span", { class: "group" }, dropDown([["0", "Auto window"], ...presets.map((one, at) => [String(at + 1), `${at + 1}  ${one.name}`]), ["m", "manual"]],
      windowKey(picture), (key) => key !== "m" && picture.chooseWindow(Number(key)), { "aria-label": "window", title: "window (0 to 5); drag with the right button" })),
    el("span", { class: "group" },
      has("segmentations") ? pressed("Seg", "S", overlays.show.seg, actions.toggleSeg) : null,
      has("heatmaps") ? pressed("Heat", "H", overlays.show.heat, actions.toggleHeat) : null,
      has("findings") ? pressed("Boxes", "B", overlays.show.box, actions.toggleBox) : null,
      has("truth") ? pressed("Truth", "T", overlays.show.truth, actions.toggleTruth) : null,
      has("uncertainty") ? pressed("Uncertain", "I", overlays.show.uncertainty, actions.toggleUncertainty) : null),
    el("span", { class: "group" },
      isFlat ? null : pressed("One plane", ".", picture.view.isSingle, actions.single),
      isFlat || !picture.stage?.has3d ? null : pressed("3-D", "Z", picture.view.has3d, actions.toggle3d),
      caseData.prior ? pressed("Prior", "J", view.prior?.isOpen, actions.togglePrior) : null,
      pressed("Measure", "Q", picture.tool?.name === "measure", actions.measure)),
  ];
}

function windowKey({ grey }) {
  if (!grey || grey.kind === "auto") return "0";
  if (grey.kind === "manual") return "m";
  return String(grey.presets.findIndex((one) => one.name === grey.name) + 1);
}

/** Case, overlay, place, value, window, convention: what is seen, in one line. */
function statusOf(view) {
  const { picture, caseData, image } = view;
  if (!caseData) return [];
  const { bundles } = view.statusText();
  const mm = picture.cursorMm();
  const value = picture.value();
  const window = picture.grey?.limits;
  const convention = image?.space === "grid" ? "Radiological: right is left" : image ? "No patient frame: sides unknown" : "";
  return [
    el("span", { class: "place" }, mm ? `x ${mm[0].toFixed(1)}  y ${mm[1].toFixed(1)}  z ${mm[2].toFixed(1)} mm` : image?.shape_ijk ? `voxel ${picture.view.cursor.join(", ")}` : ""),
    el("span", { class: "value" }, value === null ? "" : `value ${Number(value.toPrecision(5))}`),
    el("span", { class: "fixed" }, window && !picture.isPreview ? `window ${short(window[0])} to ${short(window[1])} (${picture.grey.name})` : picture.isPreview ? "preview, full resolution follows" : ""),
    el("span", { class: "about", title: [image ? imageText(image) : "", bundles].join("\n") }, [image ? imageText(image) : "", bundles].filter(Boolean).join("   |   ")),
    picture.note ? el("span", { class: "note" }, picture.note) : null,
    el("span", { class: "convention" }, convention),
  ];
}

function short(value) {
  return Number(value.toPrecision(4)).toString();
}
