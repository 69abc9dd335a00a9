/** What stands before the work: sign in, a name, the lock; and the sheet of keys. */

import { button, el } from "./dom.js";
import { KEYS } from "./keys.js";

/** Nobody is signed in: ask for name and password, or say where the link is. */
export function signInPage(app, how) {
  if (how !== "password") {
    return card("Not signed in", el("p", {}, "Open the link that ", el("code", {}, "diascope view"), " printed: it carries the key to these images."),
      button("Try again", () => location.reload(), { class: "go" }));
  }
  return form("Sign in", [["name", "Name", "text", "username"], ["password", "Password", "password", "current-password"]], async (values) => {
    await app.api.post("login", values);
    await app.start();
  });
}

/** A verdict needs somebody who gave it. */
export function namePage(app) {
  return form("Who is reading?", [["name", "Your name, as it shall stand in the record", "text", "name"]], async ({ name }) => {
    await app.api.post("session/name", { name });
    await app.start();
  });
}

/** Nobody touched the page for a while. */
export function lockPage(app) {
  const fields = app.session?.login === "password" ? [["password", "Password", "password", "current-password"]] : [];
  return form("Locked", fields, async (values) => {
    await app.api.post("session/unlock", values);
    await app.start();
  }, "Unlock");
}

/** Every key, by group. */
export function helpSheet(close) {
  const groups = [...new Set(KEYS.map((row) => row.group))];
  const sheet = el("div", { class: "sheet", role: "dialog", "aria-modal": "true", "aria-label": "keys", on: { click: (event) => event.target === sheet && close() } },
    el("div", { class: "sheet-card" },
      el("h2", {}, "Keys", el("span", { class: "spacer" }), button("Close", close, { class: "quiet" })),
      el("div", { class: "key-groups" }, groups.map((group) => el("section", {}, el("h3", {}, group), el("dl", {}, rowsOf(group))))),
      el("p", { class: "reason" }, "Left drags the crosshair, right the window, middle or Shift the picture; the wheel scrolls slices, with Ctrl it zooms; a double click shows one plane.")));
  return sheet;
}

function rowsOf(group) {
  const rows = KEYS.filter((row) => row.group === group);
  const isSeries = (row) => row.argument > 1 && ["score", "window"].includes(row.action);
  return rows.filter((row) => !isSeries(row)).flatMap((row) => [
    el("dt", {}, (row.argument === 1 ? `${row.keys} … 5` : row.keys).split("+").map((part) => el("kbd", {}, spelled(part) || "+"))),
    el("dd", {}, row.argument === 1 ? (row.action === "score" ? "Score 1 to 5" : "Window presets") : row.name),
  ]);
}

function spelled(part) {
  return { ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc" }[part] || part;
}

function card(title, ...content) {
  return el("main", { class: "gate" }, el("div", { class: "gate-card" }, el("h1", {}, "diascope"), el("h2", {}, title), content));
}

function form(title, fields, onSubmit, go = "Go on") {
  const problem = el("p", { class: "problem", role: "alert", hidden: true });
  const inputs = fields.map(([name, label, type, complete], at) => el("label", {}, label, el("input", { name, type, required: true, autofocus: at === 0, autocomplete: complete, maxlength: 200 })));
  const submit = async (event) => {
    event.preventDefault();
    try {
      await onSubmit(Object.fromEntries(new FormData(event.target)));
    } catch (error) {
      problem.textContent = [error.message, error.cure].filter(Boolean).join(". ");
      problem.hidden = false;
    }
  };
  const node = card(title, el("form", { on: { submit } }, inputs, problem, el("button", { type: "submit", class: "go" }, go)));
  queueMicrotask(() => node.querySelector("input, button")?.focus());
  return node;
}
