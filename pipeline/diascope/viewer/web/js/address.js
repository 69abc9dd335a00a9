/** Where the page is, in its address: a link to a case, a slice and a finding can be sent on. */

/**
 * @typedef {{page: "case"|"worklist", out?: string, caseId?: string, query: Record<string, string>}} Address
 */

/**
 * Read the fragment of the address.
 * @param {string} hash such as `#/case/out/case-1?finding=f-1`
 * @returns {Address}
 */
export function parseAddress(hash) {
  const [path, text = ""] = hash.replace(/^#/, "").split("?");
  const query = Object.fromEntries(new URLSearchParams(text));
  const parts = path.split("/").filter(Boolean).map(decoded);
  if (parts[0] === "case" && parts.length === 3) return { page: "case", out: parts[1], caseId: parts[2], query };
  return { page: "worklist", query };
}

/** Write a fragment; empty values are left out. */
export function formatAddress({ page, out, caseId, query = {} }) {
  const kept = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const path = page === "case" ? `#/case/${encodeURIComponent(out)}/${encodeURIComponent(caseId)}` : "#/worklist";
  const text = new URLSearchParams(kept.map(([key, value]) => [key, String(value)])).toString();
  return text ? `${path}?${text.replaceAll("%2C", ",")}` : path;
}

/** The point an address asks for, as voxel indices; null if it names none. */
export function pointOf(query, toIjk) {
  const voxels = [query.i, query.j, query.k].map(Number);
  if (query.i !== undefined && voxels.every(Number.isFinite)) return voxels;
  const mm = [query.x, query.y, query.z].map(Number);
  return query.x !== undefined && mm.every(Number.isFinite) ? toIjk(mm) : null;
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
