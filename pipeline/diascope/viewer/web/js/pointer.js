/**
 * Mouse and pen on the picture, the same for every renderer: left moves the crosshair or uses the tool,
 * right sets the window, middle or Shift moves the picture, the wheel scrolls slices, with Ctrl it zooms.
 */

/** Pixels of wheel for one slice: a notch of a mouse is 100, a trackpad sends many small ones. */
const WHEEL_STEP = 60;

/**
 * @param {HTMLElement} node
 * @param {any} host the picture: `tiles()`, `view`, `moveTo`, `scroll`, `zoom`, `pan`, `rotate`, `dragWindow`, `tool`
 */
export function listenToPointer(node, host) {
  let drag = null;
  let wheel = 0;

  const place = (event) => {
    const ratio = host.canvas.width / Math.max(1, host.canvas.clientWidth);
    const bounds = host.canvas.getBoundingClientRect();
    return { x: (event.clientX - bounds.left) * ratio, y: (event.clientY - bounds.top) * ratio };
  };
  const tileAt = ({ x, y }) => host.tiles().find((tile) => tile.contains(x, y)) || null;

  node.addEventListener("contextmenu", (event) => event.preventDefault());
  node.addEventListener("pointerdown", (event) => {
    const at = place(event);
    const tile = tileAt(at);
    node.setPointerCapture(event.pointerId);
    const mode = modeOf(event, tile, host);
    drag = { mode, tile, last: at, start: at };
    if (tile && mode !== "window") host.setFocus(tile.plane);
    if (mode === "cross") host.moveTo(tile.toIjk(at.x, at.y, host.view.cursor));
    if (mode === "tool") host.tool.down(tile, at, event);
  });
  node.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (!drag) return host.tool?.hover?.(tileAt(at), at);
    const [dx, dy] = [at.x - drag.last.x, at.y - drag.last.y];
    drag.last = at;
    if (drag.mode === "cross") host.moveTo(drag.tile.toIjk(at.x, at.y, host.view.cursor));
    if (drag.mode === "tool") host.tool?.move(drag.tile, at, event);
    if (drag.mode === "pan") host.pan(drag.tile, dx, dy);
    if (drag.mode === "window") host.dragWindow(dx, dy);
    if (drag.mode === "rotate") host.rotate(dx, dy);
    return undefined;
  });
  const end = (event) => {
    if (drag?.mode === "tool") host.tool?.up(drag.tile, place(event), event);
    drag = null;
  };
  node.addEventListener("pointerup", end);
  node.addEventListener("pointercancel", end);
  node.addEventListener("dblclick", (event) => {
    const tile = tileAt(place(event));
    if (tile && !host.tool) host.toggleSingle(tile.plane);
  });
  node.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) return host.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15);
    const tile = tileAt(place(event));
    wheel += event.deltaMode === 1 ? event.deltaY * WHEEL_STEP : event.deltaY;
    const steps = Math.trunc(wheel / WHEEL_STEP);
    wheel -= steps * WHEEL_STEP;
    if (tile && steps) host.scroll(-steps, tile.plane);
    return undefined;
  }, { passive: false });
}

function modeOf(event, tile, host) {
  if (!tile) return "rotate";
  if (event.button === 2) return "window";
  if (event.button === 1 || event.shiftKey) return "pan";
  return host.tool ? "tool" : "cross";
}
