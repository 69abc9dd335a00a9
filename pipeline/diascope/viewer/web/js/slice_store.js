/** Slices that the server cut, kept by their address: read ahead for the next case, and there for going back. */

/** A slice has at most 640 x 640 pixels: a megabyte and a half each, unpacked. */
const MOST = 80;

export class SliceStore {
  /** @param {any} api */
  constructor(api) {
    this.api = api;
    /** @type {Map<string, Promise<HTMLImageElement>>} */
    this.kept = new Map();
    /** @type {Map<string, Promise<[number, number]>>} */
    this.windows = new Map();
  }

  /**
   * The address of a slice. The digest of the result is part of it: what was cut of another one is not taken for it.
   * @param {any} caseData @param {string} imageId
   * @param {{plane: string, index: number, limits: [number, number], query: Record<string, any>}} how
   */
  address(caseData, imageId, { plane, index, limits, query }) {
    const asked = new URLSearchParams({ wl: limits.map((value) => value.toFixed(4)).join(","), v: caseData.result_digest.slice(0, 16), ...query });
    return `./api/case/${caseData.out}/${caseData.case_id}/slice/${imageId}/${plane}/${index}.png?${asked}`;
  }

  /** Read a slice, or take the one that was read. @param {string} address */
  get(address) {
    const known = this.kept.get(address) || this.#read(address);
    this.kept.delete(address);
    this.kept.set(address, known);
    if (this.kept.size > MOST) this.kept.delete(this.kept.keys().next().value);
    return known;
  }

  /** What is black and what is white where the file does not say. @returns {Promise<[number, number]>} */
  windowOf(caseData, imageId) {
    const path = `case/${caseData.out}/${caseData.case_id}/slices/${imageId}`;
    const key = `${path} ${caseData.result_digest}`;
    if (!this.windows.has(key)) {
      const found = this.api.get(path).then(({ window }) => [window.low, window.high]);
      found.catch(() => this.windows.delete(key));
      this.windows.set(key, found);
    }
    return this.windows.get(key);
  }

  async #read(address) {
    const picture = new Image();
    picture.src = address;
    try {
      await picture.decode();
    } catch (error) {
      this.kept.delete(address);
      throw error;
    }
    return picture;
  }
}
