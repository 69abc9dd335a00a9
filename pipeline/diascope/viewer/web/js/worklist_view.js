/** The worklist: what is to be looked at, what was not done, and where one stopped. */

import { formatAddress } from "./address.js";
import { VERDICTS, scoreText, spoken } from "./case_facts.js";
import { button, dropDown, el, fill } from "./dom.js";

const LISTS = [
  ["open", "Open"], ["urgent", "Urgent"], ["mine", "Mine"], ["reviewed", "Reviewed"], ["all", "All"], ["failed", "Failed"], ["refused", "Refused files"],
  ["quarantined", "Quarantined"], ["nothing_to_do", "Nothing to do"],
];
const FILE_LISTS = ["refused", "quarantined"];
const SORTS = [["review_first", "Review first"], ["confidence", "Least confident"], ["findings", "Most findings"], ["case_id", "Case"]];
const VERDICT_FILTERS = [["", "Any verdict"], ["none", "No verdict"], ...Object.entries(VERDICTS).map(([key, one]) => [key, one.done]), ["stale", "Stale"]];
const ASSIGNED = [["", "Anybody's"], ["me", "Mine"], ["nobody", "Nobody's"]];
const PAGE_SIZE = 50;

export class WorklistView {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    this.chosen = 0;
    this.rows = [];
    this.table = el("div", { class: "rows", tabindex: "-1" });
    this.head = el("header", { class: "list-head" });
    this.foot = el("footer", { class: "list-foot", role: "status" });
    this.node = el("main", { class: "worklist" }, this.head, this.table, this.foot);
    this.actions = {
      search: () => this.head.querySelector("input[type=search]").focus(),
      sliceDown: () => this.choose(this.chosen + 1),
      sliceUp: () => this.choose(this.chosen - 1),
      slicesDown: () => this.#toPage(1),
      slicesUp: () => this.#toPage(-1),
      next: () => this.continueHere(),
      enter: () => this.openChosen(),
    };
  }

  /** Show the list an address asks for. @param {Record<string, string>} query */
  async open(query) {
    this.query = { list: "open", sort: "review_first", page: "1", ...query };
    this.app.listQuery = this.#filters();
    try {
      this.answer = await this.app.api.get("worklist", { ...this.query, page_size: PAGE_SIZE });
    } catch (error) {
      fill(this.table, el("p", { class: "empty is-problem" }, error.message, error.cure ? `. ${error.cure}` : ""));
      return;
    }
    this.rows = this.answer.rows;
    this.chosen = Math.min(this.chosen, Math.max(0, this.rows.length - 1));
    const isTyping = document.activeElement?.type === "search";
    const caret = isTyping ? document.activeElement.selectionStart : 0;
    this.render();
    if (isTyping) {
      const field = this.head.querySelector("input[type=search]");
      field.focus();
      field.setSelectionRange(caret, caret);
    }
  }

  render() {
    fill(this.head, this.#title(), this.#tabs(), this.#filtersBar());
    const isFiles = FILE_LISTS.includes(this.query.list);
    fill(this.table, this.rows.length ? (isFiles ? fileTable(this.rows) : this.#caseTable()) : this.#empty());
    fill(this.foot, this.#paging());
  }

  choose(at) {
    this.chosen = Math.min(Math.max(at, 0), Math.max(0, this.rows.length - 1));
    this.table.querySelectorAll("tbody tr").forEach((row, place) => row.classList.toggle("is-chosen", place === this.chosen));
    this.table.querySelector("tr.is-chosen")?.scrollIntoView({ block: "nearest" });
  }

  openChosen() {
    const row = this.rows[this.chosen];
    if (row?.case_id) this.app.openCase(row.out, row.case_id);
  }

  /** Go on with the first case that has no verdict of mine. */
  async continueHere() {
    try {
      const found = await this.app.api.get("next", { ...this.#filters(), list: "open", open: "1" });
      if (found.done) this.app.say("Nothing is left to review in this list.", "good");
      else this.app.openCase(found.out, found.case_id);
    } catch (error) {
      this.app.sayProblem(error);
    }
  }

  async claim(row) {
    try {
      await this.app.api.post(`case/${row.out}/${row.case_id}/${row.claimed_by ? "release" : "claim"}`);
      await this.open(this.query);
    } catch (error) {
      this.app.sayProblem(error);
    }
  }

  async assign(row, reviewer) {
    try {
      await this.app.api.post(`case/${row.out}/${row.case_id}/assign`, { reviewer });
      await this.open(this.query);
    } catch (error) {
      this.app.sayProblem(error);
    }
  }

  #filters() {
    const { page: _page, ...filters } = this.query;
    return filters;
  }

  #set(change) {
    this.chosen = 0;
    this.app.setAddress(formatAddress({ page: "worklist", query: { ...this.query, page: "1", ...change } }));
    this.open({ ...this.query, page: "1", ...change });
  }

  #toPage(step) {
    const pages = Math.ceil(this.answer.total / PAGE_SIZE);
    const page = Math.min(Math.max(Number(this.query.page) + step, 1), Math.max(1, pages));
    if (page !== Number(this.query.page)) this.#set({ page: String(page) });
  }

  #title() {
    const { session } = this.app;
    const out = session.outs?.find((one) => one.id === this.query.out) || (session.outs?.length === 1 ? session.outs[0] : null);
    return el("div", { class: "list-title" },
      el("h1", {}, "diascope"), (session.outs || []).length > 1 ? null : el("span", { class: "what" }, out?.title),
      (session.outs || []).length > 1 ? dropDown([["", "All folders"], ...session.outs.map((one) => [one.id, one.title])], this.query.out || "", (id) => this.#set({ out: id }), { "aria-label": "folder" }) : null,
      /^https?:/.test(out?.mlflow_url || "") ? el("a", { class: "quiet", href: out.mlflow_url, target: "_blank", rel: "noreferrer noopener" }, "MLflow run") : null,
      el("span", { class: "spacer" }),
      session.reviewer ? el("span", { class: "reviewer" }, session.reviewer, session.role === "reader" ? " (reads only)" : "") : null,
      el("button", { type: "button", class: "quiet", title: "keys (?)", "aria-label": "keys", on: { click: () => this.app.help() } }, "?"));
  }

  #tabs() {
    const counts = this.answer.counts || {};
    const progress = counts.all ? Math.round((100 * (counts.reviewed || 0)) / counts.all) : 0;
    return el("div", { class: "tabs-row" },
      el("div", { class: "tabs", role: "tablist" }, LISTS.filter(([key]) => counts[key] !== undefined || key === this.query.list).map(([key, name]) => el("button", {
        type: "button", role: "tab", "aria-selected": String(this.query.list === key), class: `tab${counts[key] ? "" : " is-empty"}`, on: { click: () => this.#set({ list: key }) },
      }, name, el("span", { class: "count" }, counts[key] ?? "")))),
      el("span", { class: "spacer" }),
      counts.reviewed === undefined ? null : el("span", { class: "progress", title: `${counts.reviewed} of ${counts.all} cases have your verdict` },
        el("span", { class: "bar" }, el("span", { style: { width: `${progress}%` } })), `${counts.reviewed} of ${counts.all}`),
      this.app.api.isReadOnly ? null : el("button", { type: "button", class: "go", on: { click: () => this.continueHere() } }, "Continue", el("kbd", {}, "N")));
  }

  #filtersBar() {
    const search = el("input", { type: "search", placeholder: "Search a case, a finding, a label  ( / )", "aria-label": "search", value: this.query.q || "" });
    let wait = 0;
    search.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(() => this.#set({ q: search.value }), 200);
    });
    const labels = [...new Set([this.query.finding, ...this.rows.flatMap((row) => row.labels || [])].filter(Boolean))].sort();
    return el("div", { class: "filters" }, search,
      labels.length ? dropDown([["", "Any finding"], ...labels.map((name) => [name, spoken(name)])], this.query.finding || "", (finding) => this.#set({ finding }), { "aria-label": "finding" }) : null,
      dropDown(VERDICT_FILTERS, this.query.verdict || "", (verdict) => this.#set({ verdict }), { "aria-label": "verdict" }),
      dropDown(ASSIGNED, this.query.assigned || "", (assigned) => this.#set({ assigned }), { "aria-label": "assigned" }),
      el("span", { class: "spacer" }), el("span", { class: "what" }, "sorted by"),
      dropDown(SORTS, this.query.sort, (sort) => this.#set({ sort }), { "aria-label": "sort" }));
  }

  #caseTable() {
    const names = ["", "Case", "Image", "Findings", "Confidence", "Why", "Verdict", "Readers", ""];
    return el("table", {}, el("thead", {}, el("tr", {}, names.map((name) => el("th", {}, name)))),
      el("tbody", {}, this.rows.map((row, at) => this.#caseRow(row, at))));
  }

  #caseRow(row, at) {
    const findings = row.n_findings === null || row.n_findings === undefined ? "" : row.n_findings;
    return el("tr", { class: at === this.chosen ? "is-chosen" : "", data: { case: row.case_id }, on: { click: () => {
      this.choose(at);
      this.openChosen();
    } } },
    el("td", { class: "flags" }, row.urgent ? el("span", { class: "badge is-bad" }, "urgent") : row.review_first ? el("span", { class: "badge is-fair" }, "first") : row.is_sample ? el("span", { class: "badge is-plain", title: "drawn by chance, so that good results are looked at too" }, "sample") : null),
    el("td", { class: "case-id" }, row.case_id),
    el("td", {}, [row.modality, row.sex, row.age_years && `${row.age_years} y`].filter(Boolean).join(" · ")),
    el("td", { class: "findings-cell" }, findings === "" ? "" : el("strong", {}, findings), el("small", {}, (row.labels || []).slice(0, 3).map(spoken).join(", "))),
    el("td", {}, row.confidence === null || row.confidence === undefined ? "" : el("span", { class: "score", title: row.confidence_kind }, el("span", { class: "bar" }, el("span", { style: { width: `${Math.round(100 * row.confidence)}%` } })), scoreText(row.confidence, row.confidence_kind))),
    el("td", { class: "why", title: whyOf(row) }, el("div", {}, row.error_code ? el("code", {}, row.error_code) : null, whyOf(row))),
    el("td", {}, row.verdict ? el("span", { class: `badge is-${row.stale ? "fair" : VERDICTS[row.verdict]?.tone}` }, row.stale ? "stale" : VERDICTS[row.verdict]?.done) : row.stale ? el("span", { class: "badge is-fair" }, "stale") : ""),
    el("td", {}, Array.isArray(row.reviewers) ? row.reviewers.length || "" : row.verdicts || ""),
    el("td", { class: "hands", on: { click: (event) => event.stopPropagation() } }, this.#hands(row)));
  }

  /** Who has the case: claimed by a reader, or given to one. */
  #hands(row) {
    const { reviewer, reviewers = [] } = this.app.session;
    if (!this.app.canReview) return row.claimed_by || row.assigned_to || "";
    const claim = button(row.claimed_by ? (row.claimed_by === reviewer ? "release" : row.claimed_by) : "claim", () => this.claim(row), { class: "quiet claim" });
    const names = [...new Set([row.assigned_to, ...reviewers].filter(Boolean))];
    const choice = names.length > 1 || row.assigned_to
      ? dropDown([["", "for anybody"], ...names.map((name) => [name, `for ${name}`])], row.assigned_to || "", (name) => this.assign(row, name), { class: "assign", "aria-label": "assign" })
      : null;
    return [choice, claim];
  }

  #empty() {
    const isFiltered = ["q", "finding", "verdict", "assigned"].some((key) => this.query[key]);
    const text = isFiltered ? "No case fits these filters." : this.query.list === "open" ? "The queue is empty: every case of this list has your verdict." : "This list is empty.";
    return el("div", { class: "empty" }, el("p", {}, text), isFiltered ? button("Clear the filters", () => this.#set({ q: "", finding: "", verdict: "", assigned: "" }), { class: "quiet" }) : null);
  }

  #paging() {
    const { total } = this.answer;
    const page = Number(this.query.page);
    const pages = Math.max(1, Math.ceil(total / PAGE_SIZE));
    return [
      el("span", {}, total ? `${(page - 1) * PAGE_SIZE + 1} to ${Math.min(page * PAGE_SIZE, total)} of ${total}` : "nothing"),
      pages > 1 ? el("span", { class: "pages" }, button("‹", () => this.#toPage(-1), { class: "quiet", disabled: page <= 1, "aria-label": "page before" }), ` page ${page} of ${pages} `, button("›", () => this.#toPage(1), { class: "quiet", disabled: page >= pages, "aria-label": "next page" })) : null,
      el("span", { class: "spacer" }),
      el("span", { class: "keys-hint" }, el("kbd", {}, "↑"), el("kbd", {}, "↓"), " choose  ", el("kbd", {}, "Enter"), " open  ", el("kbd", {}, "/"), " search  ", el("kbd", {}, "?"), " all keys"),
    ];
  }
}

/** Files that became no case. */
function fileTable(rows) {
  return el("table", {}, el("thead", {}, el("tr", {}, ["File", "Kind", "Code", "Reason", "What to do"].map((name) => el("th", {}, name)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, el("td", { class: "case-id" }, row.file_id), el("td", {}, spoken(row.kind)), el("td", {}, el("code", {}, row.code)), el("td", {}, row.reason), el("td", {}, row.cure)))));
}

function whyOf(row) {
  return row.reason || (row.review_reasons || []).join("; ");
}
