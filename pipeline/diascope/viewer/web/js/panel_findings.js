/** The list of findings: what, how large, how sure, where in the source; click to jump; true, false or wrong extent. */

import { FINDING_VERDICTS, confidenceText, scoreText, sizeText, sourceText, spoken } from "./case_facts.js";
import { button, dropDown, el } from "./dom.js";

const MARKS = { true: "✓", wrong_extent: "↔", false: "✗" };
const MARK_KEYS = { true: "Y", wrong_extent: "G", false: "D" };

/**
 * @param {any} view the case view: `findings`, `draft`, `selectedId`, `select`, `judge`, `classes`, `setClass`
 */
export function findingsPanel(view) {
  const { caseData, findings, draft } = view;
  const rows = findings.map((finding, at) => findingRow(view, finding, at));
  const missed = draft.missed.map((one, at) => missedRow(view, one, at));
  const empty = caseData.hides_ai ? "Hidden until your first read is saved."
    : caseData.findings ? "Nothing was found." : "No network that was run looks for lesions.";
  return el("section", { class: "panel", "aria-label": "Findings" },
    el("h2", {}, "Findings", el("span", { class: "count" }, findings.length || ""), el("span", { class: "spacer" }),
      view.isReadOnly ? null : button("+ missed", () => view.actions.missed(), { class: "quiet", title: "Mark a missed lesion (M)" })),
    rows.length || missed.length ? el("ol", { class: "findings" }, rows, missed) : el("p", { class: "empty" }, empty));
}

function findingRow(view, finding, at) {
  const given = view.draft.findings.get(finding.finding_id) || {};
  const isSelected = finding.finding_id === view.selectedId;
  const source = sourceText(finding, view.image);
  const score = el("span", { class: "score", title: `score ${finding.score.toFixed(3)}, ${confidenceText(finding.score_kind ?? finding.confidence_kind)}` },
    el("span", { class: "bar" }, el("span", { style: { width: `${Math.round(100 * finding.score)}%` } })), scoreText(finding.score, finding.score_kind ?? finding.confidence_kind));
  return el("li", { class: `finding${isSelected ? " is-selected" : ""}${given.verdict ? ` is-${given.verdict}` : ""}`, data: { finding: finding.finding_id } },
    el("button", { type: "button", class: "finding-main", "aria-current": isSelected ? "true" : null, on: { click: () => view.select(finding.finding_id) } },
      el("span", { class: "number" }, at + 1),
      el("span", { class: "what" }, el("strong", {}, spoken(given.label || finding.label)), given.label ? el("s", {}, spoken(finding.label)) : null),
      score,
      el("span", { class: "size" }, sizeText(finding)),
      source ? el("span", { class: "source" }, source) : null),
    view.isReadOnly ? null : judgeButtons(view, finding, given, isSelected));
}

function judgeButtons(view, finding, given, isSelected) {
  const marks = Object.entries(FINDING_VERDICTS).reverse().map(([verdict, name]) => el("button", {
    type: "button", class: `mark is-${verdict}`, "aria-pressed": String(given.verdict === verdict), title: `${name} (${MARK_KEYS[verdict]})`, "aria-label": name,
    on: { click: () => view.judge(finding.finding_id, verdict) },
  }, MARKS[verdict]));
  const classes = view.classesOf(finding);
  const choice = isSelected && classes.length > 1
    ? dropDown(classes.map((name) => [name, spoken(name)]), given.label || finding.label, (name) => view.setClass(finding.finding_id, name), { class: "class-choice", "aria-label": "class", title: "Class (L)" })
    : null;
  return el("div", { class: "marks-row" }, marks.reverse(), choice);
}

function missedRow(view, one, at) {
  return el("li", { class: "finding is-missed" },
    el("button", { type: "button", class: "finding-main", on: { click: () => view.jumpToBox(one.box_ijk) } },
      el("span", { class: "number" }, "+"), el("span", { class: "what" }, el("strong", {}, spoken(one.label)), el("em", {}, "missed")),
      el("span", { class: "size" }, sizeText(one))),
    view.isReadOnly ? null : button("remove", () => view.removeMissed(at), { class: "quiet" }));
}
