/** A verdict while it is being made. Kept per case until it is saved, so that going to look elsewhere loses nothing. */

import { newKey } from "./api.js";

export class VerdictDraft {
  /** @param {any} caseData with the reader's newest verdict among `verdicts` */
  constructor(caseData) {
    const mine = (caseData.verdicts || []).filter((one) => one.is_mine && !one.revoked && !one.is_stale).at(-1);
    this.reasons = new Set(mine?.reasons || []);
    this.score = mine?.score ?? null;
    this.comment = mine?.comment || "";
    this.urgent = Boolean(mine?.urgent);
    this.findings = new Map((mine?.findings || []).map((one) => [one.finding_id, { verdict: one.verdict, label: one.label ?? null }]));
    this.labels = new Map((mine?.labels || []).map((one) => [`${one.bundle}:${one.label}`, one]));
    this.missed = [...(mine?.missed || [])];
    this.given = mine?.verdict ?? null;
    this.shownAt = performance.now();
    this.saved = this.#content();
  }

  /** Whether something is here that was not saved. */
  get isDirty() {
    return this.#content() !== this.saved;
  }

  setFinding(findingId, change) {
    const now = this.findings.get(findingId) || { verdict: null, label: null };
    const next = { ...now, ...change };
    // The same answer again takes it back.
    if (change.verdict && now.verdict === change.verdict) next.verdict = null;
    this.findings.set(findingId, next);
  }

  setLabel(bundle, label, verdict) {
    const key = `${bundle}:${label}`;
    if (verdict === null) this.labels.delete(key);
    else this.labels.set(key, { bundle, label, verdict });
  }

  /** What is sent. `key` makes a second sending of the same verdict harmless. */
  body(verdict, caseData) {
    return {
      key: newKey(),
      verdict,
      reasons: [...this.reasons],
      score: this.score,
      comment: this.comment,
      urgent: this.urgent,
      findings: [...this.findings].filter(([, one]) => one.verdict || one.label).map(([finding_id, one]) => ({ finding_id, ...one })),
      labels: [...this.labels.values()],
      missed: this.missed,
      read: caseData.hides_ai ? "first" : "with_ai",
      digest: caseData.result_digest,
      shown_ms: Math.round(performance.now() - this.shownAt),
    };
  }

  #content() {
    return JSON.stringify([[...this.reasons].sort(), this.score, this.comment, this.urgent, [...this.findings], [...this.labels], this.missed]);
  }
}
