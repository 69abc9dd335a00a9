/**
 * Nodes from words. Text goes in as text and nothing is ever parsed as HTML, so that a label
 * or a comment cannot become a script.
 */

/**
 * Make an element.
 * @param {string} tag
 * @param {Record<string, any>} [attributes] `class`, `on` (handlers by event), `style` (by property,
 *   set through the object model, which a strict CSP allows), `data` (dataset), else attributes;
 *   undefined, null and false are left out
 * @param {...(Node|string|number|null|undefined|Array<any>)} children
 * @returns {any}
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
  put(node, ...children);
  return node;
}

/** Replace what is in a node. */
export function fill(node, ...children) {
  node.replaceChildren();
  put(node, ...children);
  return node;
}

/** A button that never keeps the focus after a mouse click, so that keys go on working. */
export function button(text, action, attributes = {}) {
  return el("button", { type: "button", on: { click: action }, ...attributes }, text);
}

/** A key cap, as the help sheet and the buttons show it. */
export function keyCap(text) {
  return el("kbd", { "aria-hidden": "true" }, text);
}

/** A drop-down of [value, text] pairs. It gives the focus back after a choice. */
export function dropDown(pairs, chosen, onChange, attributes = {}) {
  const options = pairs.map(([value, text]) => el("option", { value, selected: value === chosen }, text));
  const node = el("select", attributes, ...options);
  node.value = chosen;
  node.addEventListener("change", () => {
    onChange(node.value);
    node.blur();
  });
  return node;
}

function setAttribute(node, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (name === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
  else if (name === "style") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
  else if (name === "data") Object.assign(node.dataset, value);
  else if (name === "class") node.className = value;
  else if (name in node && typeof value === "boolean") node[name] = value;
  else node.setAttribute(name, value === true ? "" : String(value));
}

function put(node, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}
