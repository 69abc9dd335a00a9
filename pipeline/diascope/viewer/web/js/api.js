/** The server's answers; in an export, those that are inlined in the page. */

/** What the server refused, in its own words. */
export class ApiError extends Error {
  constructor(status, problem = {}) {
    super(problem.reason || `the server answered ${status}`);
    this.status = status;
    this.code = problem.code || "";
    this.cure = problem.cure || "";
  }
}

/** Talk to the server this page came from, by addresses relative to the page (a path prefix is kept). */
export class ServerApi {
  constructor(base = "./api/") {
    this.base = base;
    this.csrf = "";
    this.isReadOnly = false;
    /** Called with 401 (not signed in) and 423 (locked). */
    this.onBarred = () => {};
  }

  get(path, parameters = {}) {
    return this.#ask(this.base + path + query(parameters), {});
  }

  post(path, body = {}) {
    const headers = { "Content-Type": "application/json", "X-Diascope-CSRF": this.csrf };
    return this.#ask(this.base + path, { method: "POST", headers, body: JSON.stringify(body) });
  }

  /**
   * Read a file.
   * @param {string} url as the case answer spells it
   * @param {AbortSignal} [signal]
   * @returns {Promise<ArrayBuffer>}
   */
  async bytes(url, signal) {
    const answer = await fetch(url, { signal, credentials: "same-origin" });
    if (!answer.ok) throw await this.#problem(answer);
    return answer.arrayBuffer();
  }

  async #ask(url, options) {
    let answer;
    try {
      answer = await fetch(url, { credentials: "same-origin", ...options });
    } catch {
      throw new ApiError(0, { reason: "the server does not answer", cure: "is `diascope view` still running?" });
    }
    if (!answer.ok) throw await this.#problem(answer);
    return answer.status === 204 ? null : answer.json();
  }

  async #problem(answer) {
    if (answer.status === 401 || answer.status === 423) this.onBarred(answer.status);
    let told = {};
    try {
      const body = await answer.json();
      told = body.error || body;
    } catch {
      // Not JSON: the status says enough.
    }
    return new ApiError(answer.status, told);
  }
}

/** The same questions, answered from the data of an exported page. Nothing can be saved. */
export class ExportApi {
  constructor(data) {
    this.data = data;
    this.isReadOnly = true;
    this.onBarred = () => {};
  }

  async get(path, parameters = {}) {
    if (path === "session") return this.data.session;
    if (path === "worklist") return this.#worklist(parameters);
    if (path === "next") return this.#neighbour(parameters);
    const named = path.replace(/^case\//, "");
    const found = this.data.cases[named] || Object.values(this.data.cases).find((one) => `-/${one.case_id}` === named);
    if (!found) throw new ApiError(404, { reason: "this case is not in the exported page" });
    return found;
  }

  async post() {
    throw new ApiError(403, { reason: "an exported page is read-only", cure: "open the folder with `diascope view`" });
  }

  async bytes(url) {
    const text = this.data.files[url.split("?")[0]];
    if (text === undefined) throw new ApiError(404, { reason: "this image is not in the exported page" });
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let at = 0; at < raw.length; at += 1) bytes[at] = raw.charCodeAt(at);
    return bytes.buffer;
  }

  #worklist({ q = "", page = 1, page_size = 50 }) {
    const rows = this.data.worklist.rows.filter((row) => row.case_id.includes(q));
    const first = (page - 1) * page_size;
    return { total: rows.length, page, rows: rows.slice(first, first + page_size), counts: { all: rows.length } };
  }

  #neighbour({ after, direction = "next" }) {
    const rows = this.data.worklist.rows;
    const at = rows.findIndex((row) => row.case_id === after);
    const to = after === undefined ? 0 : at + (direction === "next" ? 1 : -1);
    if (to < 0 || to >= rows.length) return { done: true, of: rows.length };
    return { out: rows[to].out, case_id: rows[to].case_id, index: to + 1, of: rows.length };
  }
}

/** A name for one deed: sent twice, it counts once. `randomUUID` is missing where a page came by plain http. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The API of this page: an export carries its data in a block of JSON. */
export function openApi() {
  const block = document.getElementById("diascope-export");
  return block ? new ExportApi(JSON.parse(block.textContent)) : new ServerApi();
}

function query(parameters) {
  const kept = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return kept.length ? `?${new URLSearchParams(kept.map(([key, value]) => [key, String(value)]))}` : "";
}
