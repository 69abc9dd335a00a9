/** The page: who reads, where it is, and what its parts share. */

import { formatAddress, parseAddress } from "./address.js";
import { openApi } from "./api.js";
import { handy } from "./case_facts.js";
import { CaseView } from "./case_view.js";
import { button, el, fill } from "./dom.js";
import { helpSheet, lockPage, namePage, signInPage } from "./gate.js";
import { listenToKeys } from "./keys.js";
import { Volumes } from "./volumes.js";
import { WorklistView } from "./worklist_view.js";

const TOAST_MS = 3500;
const NEWS_MS = 5000;

class App {
  constructor(root) {
    this.root = root;
    this.api = openApi();
    this.volumes = new Volumes(this.api);
    this.drafts = new Map();
    this.cases = new Map();
    this.positions = new Map();
    /** What was read ahead: after which case, and which. */
    this.readAhead = {};
    this.listQuery = { list: "open", sort: "review_first" };
    this.toasts = el("div", { class: "toasts", "aria-live": "polite" });
    document.body.append(this.toasts);
    this.api.onBarred = (status) => this.#barred(status);
    window.addEventListener("hashchange", () => this.route());
    window.addEventListener("beforeunload", (event) => {
      if ([...this.drafts.values()].some((draft) => draft.isDirty) && this.canReview) event.preventDefault();
    });
  }

  get canReview() {
    return !this.api.isReadOnly && this.session?.role !== "reader";
  }

  /** Ask who is here, then show what the address names. */
  async start() {
    try {
      this.session = await this.api.get("session");
    } catch (error) {
      if (error.status !== 401 && error.status !== 423) this.#show(el("main", { class: "gate" }, el("p", { class: "problem" }, error.message, ". ", error.cure)));
      return;
    }
    this.api.csrf = this.session.csrf;
    if (this.session.locked) return void this.#show(lockPage(this));
    if (this.session.needs_name && this.canReview) return void this.#show(namePage(this));
    this.list ||= new WorklistView(this);
    this.caseView ||= new CaseView(this);
    this.#watch();
    await this.route();
  }

  /** Show the page of the address. */
  async route() {
    if (!this.session || this.session.locked) return;
    const address = parseAddress(location.hash);
    if (address.page === "case") await this.#showCase(address);
    else {
      this.#show(this.list.node, this.list.actions);
      document.title = "diascope: worklist";
      await this.list.open(address.query);
    }
  }

  openCase(out, caseId, query = {}) {
    location.hash = formatAddress({ page: "case", out, caseId, query });
  }

  goToList() {
    location.hash = formatAddress({ page: "worklist", query: this.listQuery });
  }

  /** Load the case of the address again. */
  async reopen() {
    const { out, case_id: caseId } = this.caseView.caseData;
    this.drafts.delete(`${out}/${caseId}`);
    this.forgetCase(this.caseView.caseData);
    await this.#showCase({ out, caseId, query: {} });
  }

  /** Read the case again, and keep what was not saved yet of the verdict. */
  async refreshCase() {
    const { out, case_id: caseId } = this.caseView.caseData;
    await this.#showCase({ out, caseId, query: parseAddress(location.hash).query });
  }

  /** Keep the address in step without a step back for each slice. */
  setAddress(hash) {
    if (location.hash !== hash) history.replaceState(null, "", hash);
  }

  // Cases, read ahead and kept.

  caseOf(out, caseId) {
    const key = `${out}/${caseId}`;
    if (!this.cases.has(key)) {
      const answer = this.api.get(`case/${out}/${caseId}`).then((caseData) => handy(caseData, this.session.reviewer));
      this.cases.set(key, answer);
      answer.catch(() => this.cases.delete(key));
    }
    return this.cases.get(key);
  }

  forgetCase({ out, case_id: caseId }) {
    this.cases.delete(`${out}/${caseId}`);
  }

  /** Read the case that follows while this one is being looked at. */
  async prefetchAfter(caseData) {
    for (const key of this.cases.keys()) if (key !== `${caseData.out}/${caseData.case_id}`) this.cases.delete(key);
    try {
      const found = await this.neighbour(caseData, "next");
      if (found.done) return;
      const following = await this.caseOf(found.out, found.case_id);
      await this.caseView.prefetch(following);
      this.readAhead = { after: caseData.case_id, case_id: following.case_id };
    } catch {
      // It will be asked for again when it is needed.
    }
  }

  /** The case before or after, in the order and under the filters of the worklist. */
  async neighbour(caseData, direction) {
    // Onwards: what is still open, also what was skipped. Back: the way one came.
    const open = direction === "next" && this.listQuery.list === "open" ? "1" : "";
    const found = await this.api.get("next", { ...this.listQuery, after: caseData.case_id, out: this.listQuery.out || caseData.out, direction, open });
    if (!found.done && found.index) this.positions.set(`${found.out}/${found.case_id}`, { index: found.index, of: found.of });
    return found;
  }

  positionOf(caseData) {
    return this.positions.get(`${caseData.out}/${caseData.case_id}`) || caseData.position || (caseData.index ? { index: caseData.index, of: caseData.of } : null);
  }

  atTheEnd(direction) {
    this.say(direction === "next" ? "That was the last case of this list." : "This is the first case of this list.", "good");
    if (direction === "next") this.goToList();
  }

  /** Save, and send once more if the answer was lost: the key in the body keeps it from counting twice. */
  async save(path, body) {
    try {
      return await this.api.post(path, body);
    } catch (error) {
      if (error.status !== 0) throw error;
      return this.api.post(path, body);
    }
  }

  // Words to the reader.

  say(text, tone = "plain") {
    const toast = el("p", { class: `toast is-${tone}` }, text);
    fill(this.toasts, toast);
    setTimeout(() => toast.remove(), TOAST_MS + 40 * text.length);
  }

  sayProblem(error) {
    this.say([error.message, error.cure].filter(Boolean).join(". "), "bad");
    if (error.code === "needs_name") this.#show(namePage(this));
  }

  help() {
    if (this.sheet) {
      this.sheet.remove();
      this.sheet = null;
      return;
    }
    this.sheet = helpSheet(() => this.help());
    document.body.append(this.sheet);
  }

  async #showCase({ out: named, caseId, query }) {
    const view = this.caseView;
    const out = await this.#folderOf(named, caseId);
    if (out !== named) this.setAddress(formatAddress({ page: "case", out, caseId, query }));
    this.#show(view.node, view.actions);
    document.title = `diascope: ${caseId}`;
    try {
      await view.open(out, caseId, query);
    } catch (error) {
      const back = button("Back to the worklist", () => this.goToList(), { class: "go" });
      this.#show(el("main", { class: "gate" }, el("div", { class: "gate-card" }, el("h2", {}, "This case cannot be shown"), el("p", {}, error.message), el("p", {}, error.cure), back)), { worklist: () => this.goToList() });
    }
  }

  /** A link from elsewhere does not say in which folder a case is. */
  async #folderOf(named, caseId) {
    if (named !== "-") return named;
    return this.caseOf(named, caseId).then((found) => found.out, () => named);
  }

  #show(node, actions = {}) {
    this.stopKeys?.();
    const help = () => this.help();
    const escape = () => (this.sheet ? this.help() : actions.escape?.());
    this.stopKeys = listenToKeys({ ...actions, help, escape });
    if (node.parentNode !== this.root) fill(this.root, node);
  }

  #barred(status) {
    if (status === 423) {
      if (this.session) this.session.locked = true;
      this.#show(lockPage(this));
    } else this.#askToSignIn();
  }

  async #askToSignIn() {
    const door = await fetch("./api/door").then((answer) => answer.json(), () => ({}));
    this.#show(signInPage(this, door.login));
  }

  /** Lock after idleness, and look for news of a run that is still going on. */
  #watch() {
    if (this.watched || this.api.isReadOnly) return;
    this.watched = true;
    let last = Date.now();
    for (const event of ["pointerdown", "pointermove", "keydown", "wheel"]) window.addEventListener(event, () => (last = Date.now()), { passive: true, capture: true });
    setInterval(async () => {
      const limit = 1000 * (this.session.idle_lock_s || 0);
      if (limit && !this.session.locked && Date.now() - last > limit) {
        this.session.locked = true;
        this.#show(lockPage(this));
        await this.api.post("session/lock").catch(() => {});
      } else await this.#news();
    }, NEWS_MS);
  }

  async #news() {
    if (document.hidden || !this.list.answer || this.list.node.parentNode !== this.root || !this.session.outs?.some((out) => out.running)) return;
    try {
      const { version } = await this.api.get("worklist/version");
      if (version !== this.list.answer.version) await this.list.open(this.list.query);
    } catch {
      // Nothing new, or the server is gone: the next click will tell.
    }
  }
}

const app = new App(document.getElementById("app"));
// For tests and for the console.
globalThis.diascope = app;
app.start();
