/**
 * Every key of the page, in one table: the handler, the help sheet and the docs read it.
 *
 * The listener sits on the window in the capture phase, so that no drop-down or canvas can swallow a key,
 * and it is silent while somebody types.
 */

/** @typedef {{keys: string, name: string, action: string, group: string, argument?: any}} KeyRow */

/** @type {KeyRow[]} */
export const KEYS = [
  { keys: "A", action: "accept", group: "Verdict", name: "Accept, and go to the next case" },
  { keys: "E", action: "needs_edit", group: "Verdict", name: "Needs edit, and go on" },
  { keys: "R", action: "reject", group: "Verdict", name: "Reject, and go on" },
  { keys: "K", action: "skip", group: "Verdict", name: "Skip, and go on" },
  { keys: "U", action: "undo", group: "Verdict", name: "Take back my last verdict" },
  { keys: "X", action: "urgent", group: "Verdict", name: "Urgent, on or off" },
  { keys: "C", action: "comment", group: "Verdict", name: "Write a comment (Esc leaves it)" },
  ...[1, 2, 3, 4, 5].map((score) => ({ keys: `Shift+${score}`, action: "score", group: "Verdict", name: `Score ${score}`, argument: score })),
  { keys: "N", action: "next", group: "Cases", name: "Next case" },
  { keys: "P", action: "previous", group: "Cases", name: "Previous case" },
  { keys: "W", action: "worklist", group: "Cases", name: "Back to the worklist" },
  { keys: "F", action: "nextFinding", group: "Findings", name: "Next finding" },
  { keys: "Shift+F", action: "previousFinding", group: "Findings", name: "Previous finding" },
  { keys: "Y", action: "findingTrue", group: "Findings", name: "This finding is true" },
  { keys: "D", action: "findingFalse", group: "Findings", name: "This finding is false" },
  { keys: "G", action: "findingExtent", group: "Findings", name: "True, but its extent is wrong" },
  { keys: "L", action: "findingClass", group: "Findings", name: "Next class for this finding" },
  { keys: "M", action: "missed", group: "Findings", name: "Mark a missed lesion: click or drag, Enter at the crosshair" },
  { keys: "S", action: "toggleSeg", group: "Overlays", name: "Segmentation" },
  { keys: "O", action: "toggleOutline", group: "Overlays", name: "Outlines instead of areas" },
  { keys: "H", action: "toggleHeat", group: "Overlays", name: "Heatmap" },
  { keys: "B", action: "toggleBox", group: "Overlays", name: "Boxes" },
  { keys: "T", action: "toggleTruth", group: "Overlays", name: "Truth" },
  { keys: "I", action: "toggleUncertainty", group: "Overlays", name: "Uncertainty" },
  { keys: "Space", action: "hideAll", group: "Overlays", name: "Hide everything while it is held" },
  ...[1, 2, 3, 4, 5].map((at) => ({ keys: String(at), action: "window", group: "Picture", name: `Window ${at}`, argument: at })),
  { keys: "0", action: "window", group: "Picture", name: "Automatic window", argument: 0 },
  { keys: "ArrowUp", action: "sliceUp", group: "Picture", name: "Slice towards head, front or right" },
  { keys: "ArrowDown", action: "sliceDown", group: "Picture", name: "Slice the other way (with PageUp, PageDown: ten)" },
  { keys: "PageUp", action: "slicesUp", group: "Picture", name: "Ten slices" },
  { keys: "PageDown", action: "slicesDown", group: "Picture", name: "Ten slices back" },
  { keys: "V", action: "nextPlane", group: "Picture", name: "Next plane large" },
  { keys: ".", action: "single", group: "Picture", name: "One plane or three" },
  { keys: "Z", action: "toggle3d", group: "Picture", name: "3-D view" },
  { keys: "J", action: "togglePrior", group: "Picture", name: "Prior beside current" },
  { keys: "+", action: "zoomIn", group: "Picture", name: "Larger" },
  { keys: "-", action: "zoomOut", group: "Picture", name: "Smaller" },
  { keys: "Home", action: "resetView", group: "Picture", name: "Whole picture" },
  { keys: "Q", action: "measure", group: "Tools", name: "Measure a distance" },
  { keys: ",", action: "edit", group: "Tools", name: "Correct a segmentation" },
  { keys: "Shift+ArrowDown", action: "brushSmaller", group: "Tools", name: "Smaller brush" },
  { keys: "Shift+ArrowUp", action: "brushLarger", group: "Tools", name: "Larger brush" },
  { keys: "Ctrl+Z", action: "strokeUndo", group: "Tools", name: "Take back a stroke" },
  { keys: "Ctrl+Y", action: "strokeRedo", group: "Tools", name: "Do it again" },
  { keys: "Enter", action: "enter", group: "Tools", name: "Open the chosen case; place a missed lesion" },
  { keys: "Escape", action: "escape", group: "Tools", name: "Leave a tool, close this sheet" },
  { keys: "/", action: "search", group: "Cases", name: "Search the worklist" },
  { keys: "?", action: "help", group: "Tools", name: "This sheet" },
];

/** The spelling of a pressed key, as in the table. */
export function spell(event) {
  const command = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  // By place, not by sign: on a French keyboard the digits are written with Shift.
  const digit = /^Digit([0-5])$/.exec(event.code || "");
  if (digit && !/[?/]/.test(event.key)) return `${command}${event.shiftKey ? "Shift+" : ""}${digit[1]}`;
  if (event.key === " ") return "Space";
  const isSign = event.key.length === 1 && !/[a-z]/i.test(event.key);
  const name = event.key.length === 1 ? event.key.toUpperCase() : event.key;
  return `${command}${event.shiftKey && !isSign ? "Shift+" : ""}${name}`;
}

/**
 * Listen until told to stop.
 * @param {Record<string, (argument?: any, event?: KeyboardEvent) => void>} actions
 * @returns {() => void} stops listening
 */
export function listenToKeys(actions) {
  const rows = new Map(KEYS.map((row) => [row.keys, row]));
  const down = (event) => {
    if (event.isComposing || event.altKey) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.target.type === "range" && /^(Arrow|Page|Home|End)/.test(event.key)) return;
    const row = rows.get(spell(event));
    const action = row && actions[row.action];
    if (!action || (isPressable(event.target) && ["Enter", "Space"].includes(row.keys))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!event.repeat || isRepeatable(row.action)) action(row.argument, event);
  };
  const up = (event) => {
    if (event.key === " " && !isTyping(event.target)) actions.hideAllEnd?.();
  };
  const blur = () => actions.hideAllEnd?.();
  window.addEventListener("keydown", down, true);
  window.addEventListener("keyup", up, true);
  window.addEventListener("blur", blur);
  return () => {
    window.removeEventListener("keydown", down, true);
    window.removeEventListener("keyup", up, true);
    window.removeEventListener("blur", blur);
  };
}

/** Whether keys belong to what has the focus. A drop-down does not keep them: it is left after a choice. */
export function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.tagName === "TEXTAREA") return true;
  return target.tagName === "INPUT" && !["checkbox", "radio", "range", "button"].includes(target.type);
}

function isPressable(target) {
  return target instanceof HTMLElement && ["BUTTON", "A", "SUMMARY"].includes(target.tagName) && target.matches(":focus-visible");
}

/** Slices and zoom go on while a key is held; a verdict is given once. */
function isRepeatable(action) {
  return /^slice|^zoom|^brush/.test(action);
}
