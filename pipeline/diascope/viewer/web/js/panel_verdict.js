/** The verdict: always in the same place, by key or by mouse. */

import { VERDICTS, spoken, timeText } from "./case_facts.js";
import { button, el, keyCap } from "./dom.js";

const KEYS = { accept: "A", needs_edit: "E", reject: "R", skip: "K" };

/** @param {any} view the case view: `draft`, `session`, `actions`, `changed` */
export function verdictPanel(view) {
  const { draft, caseData } = view;
  if (view.isReadOnly) return readOnly(view);
  return el("section", { class: "verdict", "aria-label": "Verdict" },
    notice(view),
    el("div", { class: "verdict-buttons" }, Object.entries(VERDICTS).map(([verdict, { name, tone }]) => el("button", {
      type: "button", class: `decide is-${tone}`, "aria-pressed": String(draft.given === verdict), on: { click: () => view.actions[verdict]() },
    }, name, keyCap(KEYS[verdict])))),
    el("div", { class: "verdict-row" },
      el("span", { class: "scores", role: "radiogroup", "aria-label": "score" }, el("span", { class: "what" }, "Score"), [1, 2, 3, 4, 5].map((score) => el("button", {
        type: "button", class: "score-step", role: "radio", "aria-checked": String(draft.score === score), title: `Shift+${score}`, on: { click: () => view.actions.score(score) },
      }, score))),
      el("span", { class: "spacer" }),
      el("button", { type: "button", class: "urgent", "aria-pressed": String(draft.urgent), title: "stands first everywhere (X)", on: { click: () => view.actions.urgent() } }, "Urgent", keyCap("X"))),
    el("div", { class: "reasons" }, reasonsOf(view.session).map(([key, name]) => el("button", {
      type: "button", class: "chip", "aria-pressed": String(draft.reasons.has(key)), on: { click: () => view.toggleReason(key) },
    }, name))),
    comment(view),
    others(caseData));
}

/** The reasons that a verdict may name, as the server spells them. */
export function reasonsOf(session) {
  return (session.reasons || []).map((one) => (typeof one === "string" ? [one, spoken(one)] : [one.key, one.name || spoken(one.key)]));
}

function comment(view) {
  const { draft } = view;
  const saved = el("span", { class: "unsaved", hidden: !draft.isDirty }, "not saved yet");
  const field = el("textarea", { class: "comment", rows: 2, maxlength: 4000, placeholder: "Comment (C)", "aria-label": "comment",
    on: { input: (event) => {
      draft.comment = event.target.value;
      saved.hidden = !draft.isDirty;
    }, keydown: (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.blur();
    } } });
  field.value = draft.comment;
  return el("div", { class: "comment-row" }, field, saved);
}

function notice({ caseData, draft }) {
  const stale = (caseData.verdicts || []).filter((one) => one.is_mine && one.is_stale && !one.revoked).at(-1);
  if (caseData.hides_ai) return el("p", { class: "notice is-info" }, "First read: results stay hidden until your verdict is saved.");
  if (draft.given) return el("p", { class: "notice is-done" }, `Your verdict: ${VERDICTS[draft.given]?.done || draft.given}. `, el("small", {}, "U takes it back"));
  if (stale) return el("p", { class: "notice is-stale" }, `The results were made anew since your verdict (${VERDICTS[stale.verdict]?.done || stale.verdict}): please look again.`);
  return null;
}

function others(caseData) {
  const rows = (caseData.verdicts || []).filter((one) => !one.is_mine && !one.revoked);
  if (!rows.length) return null;
  return el("details", { class: "others" }, el("summary", {}, rows.length === 1 ? "1 other verdict" : `${rows.length} other verdicts`), rows.map((one) => el("p", {},
    el("strong", {}, one.reviewer), ` ${VERDICTS[one.verdict]?.done || one.verdict}`, one.score ? `, ${one.score}/5` : "", one.is_stale ? " (of older results)" : "",
    el("small", {}, ` ${timeText(one.when)}`), one.comment ? el("q", {}, one.comment) : null)));
}

function readOnly(view) {
  const rows = (view.caseData.verdicts || []).filter((one) => !one.revoked);
  return el("section", { class: "verdict is-read-only", "aria-label": "Verdict" },
    el("p", { class: "notice is-info" }, view.api.isReadOnly ? "An exported page: it can be read, not changed." : "You may read here, not give verdicts."),
    rows.map((one) => el("p", {}, el("strong", {}, one.reviewer), ` ${VERDICTS[one.verdict]?.done || one.verdict}`, one.comment ? el("q", {}, one.comment) : null)),
    el("div", { class: "verdict-row" }, button("Previous", () => view.actions.previous(), { class: "quiet" }), button("Next", () => view.actions.next(), { class: "quiet" })));
}
