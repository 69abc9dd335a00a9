/** Volumes that were read, kept for going back and read ahead for the next case. */

import { readNifti } from "./nifti.js";

/** Memory for volumes, in bytes, before the oldest is let go. */
const BUDGET = 768 * 2 ** 20;

export class Volumes {
  constructor(api) {
    this.api = api;
    /** @type {Map<string, {promise: Promise<any>, size: number}>} */
    this.kept = new Map();
  }

  /** Read a volume, or take the one that was read. @param {string} url @returns {Promise<import("./nifti.js").Nifti>} */
  get(url) {
    const known = this.kept.get(url);
    if (known) {
      this.kept.delete(url);
      this.kept.set(url, known);
      return known.promise;
    }
    const entry = { promise: this.api.bytes(url).then(readNifti), size: 0 };
    this.kept.set(url, entry);
    entry.promise.then(
      (nifti) => {
        entry.size = nifti.buffer.byteLength;
        this.#trim();
      },
      () => this.kept.delete(url),
    );
    return entry.promise;
  }

  /** Read ahead; what goes wrong is told when it is needed. */
  prefetch(urls) {
    for (const url of urls) if (url) this.get(url).catch(() => {});
  }

  #trim() {
    let total = [...this.kept.values()].reduce((sum, entry) => sum + entry.size, 0);
    for (const [url, entry] of this.kept) {
      if (total <= BUDGET || this.kept.size <= 1) return;
      this.kept.delete(url);
      total -= entry.size;
    }
  }
}
