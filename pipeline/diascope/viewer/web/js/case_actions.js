/** What each key does on a case: the names are those of keys.js. */

import { newKey } from "./api.js";
import { VERDICTS } from "./case_facts.js";
import { MeasureTool, MissedTool } from "./tools.js";

/** @param {any} view the case view */
export function caseActions(view) {
  const { app, picture, overlays } = view;
  const show = (kind, maps) => () => {
    overlays.show[kind] = !overlays.show[kind];
    view.changed({ maps });
  };
  const hide = (isHidden) => {
    overlays.isHidden = isHidden;
    picture.stage?.setOverlaysHidden(isHidden);
    picture.refresh();
  };
  const judge = (verdict) => () => {
    if (view.selected && !view.isReadOnly) view.judge(view.selectedId, verdict);
  };
  const stepFinding = (step) => () => {
    const ids = view.findings.map((one) => one.finding_id);
    if (ids.length) view.select(ids[(ids.indexOf(view.selectedId) + step + ids.length) % ids.length]);
  };
  const useTool = (tool) => {
    picture.tool = picture.tool?.name === tool.name ? null : tool;
    picture.say(picture.tool?.hint || "");
    picture.refresh();
    picture.onChange();
  };
  const unlessReadOnly = (action) => (argument) => {
    if (!view.isReadOnly) action(argument);
    else app.say("This page is read-only.", "fair");
  };
  return {
    ...Object.fromEntries(Object.keys(VERDICTS).map((verdict) => [verdict, unlessReadOnly(() => giveVerdict(view, verdict))])),
    undo: unlessReadOnly(() => takeBack(view)),
    urgent: unlessReadOnly(() => {
      view.draft.urgent = !view.draft.urgent;
      view.changed();
    }),
    score: unlessReadOnly((score) => {
      view.draft.score = view.draft.score === score ? null : score;
      view.changed();
    }),
    comment: unlessReadOnly(() => view.focusComment()),
    next: () => leaveTo(view, "next"),
    previous: () => leaveTo(view, "previous"),
    worklist: () => leave(view, () => app.goToList()),
    nextFinding: stepFinding(1),
    previousFinding: stepFinding(-1),
    findingTrue: judge("true"),
    findingFalse: judge("false"),
    findingExtent: judge("wrong_extent"),
    findingClass: unlessReadOnly(() => nextClass(view)),
    missed: unlessReadOnly(() => picture.affine && useTool(new MissedTool(picture, (box) => {
      view.addMissed(box);
      picture.say("");
    }))),
    measure: () => picture.affine && useTool(new MeasureTool(picture)),
    toggleSeg: show("seg", true),
    toggleHeat: show("heat", true),
    toggleBox: show("box", true),
    toggleTruth: show("truth", true),
    toggleUncertainty: show("uncertainty", true),
    toggleOutline: () => {
      overlays.isOutline = !overlays.isOutline;
      view.changed();
    },
    hideAll: () => hide(true),
    hideAllEnd: () => overlays.isHidden && hide(false),
    window: (number) => picture.chooseWindow(number),
    sliceUp: () => picture.scroll(1),
    sliceDown: () => picture.scroll(-1),
    slicesUp: () => picture.scroll(10),
    slicesDown: () => picture.scroll(-10),
    nextPlane: () => picture.nextPlane(),
    single: () => picture.toggleSingle(),
    toggle3d: () => {
      picture.toggle3d();
      view.changed({ maps: true });
    },
    togglePrior: () => view.prior.toggle(),
    zoomIn: () => picture.zoom(1.25),
    zoomOut: () => picture.zoom(0.8),
    resetView: () => picture.resetView(),
    edit: unlessReadOnly(() => view.editing.toggle()),
    brushSmaller: () => view.editing.resize(-1),
    brushLarger: () => view.editing.resize(1),
    strokeUndo: () => view.editing.step("undo"),
    strokeRedo: () => view.editing.step("redo"),
    enter: () => picture.tool?.enter?.(),
    escape: () => {
      if (view.editing.isOpen) view.editing.toggle();
      picture.tool = null;
      picture.say("");
      picture.refresh();
      picture.onChange();
    },
  };
}

/** Save a verdict and go on; what was typed stays where it is until the server has it. */
async function giveVerdict(view, verdict) {
  const { app, caseData, draft } = view;
  if (view.isSaving) return;
  view.isSaving = true;
  const path = `case/${caseData.out}/${caseData.case_id}`;
  try {
    const answer = await app.save(`${path}/verdict`, draft.body(verdict, caseData));
    app.drafts.delete(`${caseData.out}/${caseData.case_id}`);
    app.forgetCase(caseData);
    app.lastVerdict = path;
    app.say(`${VERDICTS[verdict].done}. U takes it back.`, VERDICTS[verdict].tone);
    if (caseData.hides_ai && answer.case && !answer.case.hides_ai) await app.reopen();
    else await goTo(view, "next");
  } catch (error) {
    if (error.code === "stale" || (error.status === 409 && error.code !== "needs_name" && error.code !== "claimed")) {
      app.say(`Your verdict was not saved: ${error.message}. Here is the case as it is now.`, "bad");
      app.forgetCase(caseData);
      await app.reopen();
    } else app.sayProblem(error);
  } finally {
    view.isSaving = false;
  }
}

/** Take back this reader's newest verdict: of this case, or of the one they came from. */
async function takeBack(view) {
  const { app, caseData } = view;
  const here = `case/${caseData.out}/${caseData.case_id}`;
  const path = view.draft.given || !app.lastVerdict ? here : app.lastVerdict;
  try {
    await app.save(`${path}/undo`, { key: newKey() });
    const [, out, caseId] = path.split("/");
    app.lastVerdict = null;
    app.drafts.delete(`${out}/${caseId}`);
    app.forgetCase({ out, case_id: caseId });
    app.say("Taken back.", "fair");
    if (path === here) await app.reopen();
    else app.openCase(out, caseId);
  } catch (error) {
    app.sayProblem(error);
  }
}

function leaveTo(view, direction) {
  leave(view, () => goTo(view, direction));
}

/** A comment that was typed is not left behind without a word; the second time it is kept as a draft. */
function leave(view, go) {
  const isTold = view.warnedFor === view.caseData?.case_id;
  if (view.draft?.isDirty && !isTold && !view.isReadOnly) {
    view.warnedFor = view.caseData.case_id;
    view.app.say("Not saved yet: give a verdict (A, E, R, K), or press again to leave it as a draft.", "fair");
    return;
  }
  view.warnedFor = null;
  go();
}

async function goTo(view, direction) {
  const { app, caseData } = view;
  try {
    const found = await app.neighbour(caseData, direction);
    if (found.done) app.atTheEnd(direction);
    else app.openCase(found.out, found.case_id);
  } catch (error) {
    app.sayProblem(error);
  }
}

function nextClass(view) {
  if (!view.selected) return;
  const classes = view.classesOf(view.selected);
  const now = view.draft.findings.get(view.selectedId)?.label || view.selected.label;
  view.setClass(view.selectedId, classes[(classes.indexOf(now) + 1) % classes.length]);
}
