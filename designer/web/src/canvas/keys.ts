// Keyboard shortcuts of the canvas. Fields and the text handle their own keys.

import type { KeyboardEvent } from "react";
import { openPalette, unwrap } from "./blockActions";
import type { Designer } from "../state/designer";
import { editable, shownProgram, type Destination } from "../state/state";
import { beside, branching, enclosing, innerStep, inSequence, keepable, visible, type Index } from "../state/tree";

/** The list that the help shows, in the order of the code below. */
export const KEYS: [string, string][] = [
  ["↑ ↓", "previous step, next step"],
  ["← →", "previous branch, next branch; left of the first one: the enclosing block"],
  ["Home, End", "first step, last step"],
  ["Enter", "edit the step"],
  ["+ or Insert", "add a step after; with Shift before"],
  ["Delete", "delete the step"],
  ["Ctrl+D", "duplicate the step"],
  ["Alt+↑, Alt+↓", "move the step up, down; past the end, out of the enclosing block"],
  ["Alt+Shift+↑ ↓", "move the step into the block above, below"],
  ["Alt+←, Alt+→", "move the step into the neighbouring branch"],
  ["R", "replace the step"],
  ["W, U", "wrap the step in a block; unwrap a block"],
  ["B", "add a branch to a join or race"],
  ["Space", "fold, unfold"],
  ["Ctrl+Z, Ctrl+Y", "undo, redo (of the text)"],
  ["Ctrl+F", "search the steps"],
  ["F8", "next finding"],
  ["Ctrl+S", "save"],
  ["F6", "next pane: canvas, text, panel"],
];

/** Handles a key on the canvas; what it does not know is left to the browser. */
export function canvasKey(designer: Designer, index: Index, event: KeyboardEvent<HTMLElement>): void {
  const target = event.target as HTMLElement;
  if (target.closest("input, textarea, select, [role=dialog]") || event.nativeEvent.isComposing) return;
  if (target.closest("button") && (event.key === "Enter" || event.key === " ")) return;
  if (act(designer, index, event)) {
    event.preventDefault();
    event.stopPropagation();
  }
}

function act(designer: Designer, index: Index, event: KeyboardEvent<HTMLElement>): boolean {
  const { selected, folded } = designer.state;
  const control = event.ctrlKey || event.metaKey;
  const key = control ? `ctrl+${event.key.toLowerCase()}` : event.altKey ? `alt+${event.shiftKey ? "shift+" : ""}${event.key}` : event.key;
  if (key === "ctrl+z") return done(event.shiftKey ? designer.redo() : designer.undo());
  if (key === "ctrl+y") return done(designer.redo());
  if (key === "ctrl+f" || key === "/") return done(designer.set({ searching: true }));
  if (key === "?") return done(designer.set({ dialog: { kind: "keys" } }));

  const shown = visible(shownProgram(designer.state)?.root ?? null, folded).map((block) => block.id);
  if (selected === null || !index.has(selected)) {
    const first = key === "ArrowUp" || key === "End" ? shown.at(-1) : shown[0];
    if (["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight", "Home", "End"].includes(key) && first !== undefined) return go(designer, first);
    if ((key === "+" || key === "Insert") && shown.length === 0) return insert(designer, "", "into", "Add the first step");
    return false;
  }
  const at = shown.indexOf(selected);
  const place = index.get(selected);
  const title = place?.block.title ?? "";
  switch (key) {
    case "ArrowDown":
      return go(designer, shown[at + 1]);
    case "ArrowUp":
      return go(designer, shown[at - 1]);
    case "ArrowRight":
      return go(designer, beside(index, selected, 1)?.id);
    case "ArrowLeft":
      return go(designer, (beside(index, selected, -1) ?? enclosing(index, selected))?.id);
    case "Home":
      return go(designer, shown[0]);
    case "End":
      return go(designer, shown.at(-1));
    case "Escape":
      return done(designer.select(null));
    case "Enter":
      return done(designer.focusInspector());
    case "+":
    case "Insert":
      return insert(designer, selected, event.key === "Insert" && event.shiftKey ? "before" : "after", `Add a step after ${title}`);
    case "Delete":
    case "Backspace":
      return gesture(designer, { target: selected, gesture: "delete" });
    case "ctrl+d":
      return gesture(designer, { target: selected, gesture: "duplicate" });
    case "alt+ArrowUp":
      return moveTo(designer, selected, (inSequence(index, selected, -1) ?? enclosing(index, selected))?.id, "before");
    case "alt+ArrowDown":
      return moveTo(designer, selected, (inSequence(index, selected, 1) ?? enclosing(index, selected))?.id, "after");
    case "alt+shift+ArrowUp":
      return moveTo(designer, selected, innerStep(inSequence(index, selected, -1), -1)?.id, "after");
    case "alt+shift+ArrowDown":
      return moveTo(designer, selected, innerStep(inSequence(index, selected, 1), 1)?.id, "before");
    case "alt+ArrowLeft":
      return moveTo(designer, selected, beside(index, selected, -1)?.id, "before");
    case "alt+ArrowRight":
      return moveTo(designer, selected, beside(index, selected, 1)?.id, "before");
    case "w":
    case "W":
      return editable(designer.state) && done(designer.set({ tools: "wrap" }));
    case "u":
    case "U":
      return editable(designer.state) && place !== undefined && keepable(place.block).length > 0 && done(unwrap(designer, place.block));
    case "b":
    case "B":
      return place !== undefined && branching(place.block) && insert(designer, selected, "branch", `Add a branch to ${title}`);
    case "r":
    case "R":
      return editable(designer.state) && done(openPalette(designer, { where: "replace", target: selected, label: `Replace ${title}` }));
    case " ":
      return place !== undefined && place.block.children.length > 0 && done(designer.toggleFold(selected));
    default:
      return false;
  }
}

const done = (_: void): true => true;

function go(designer: Designer, id: string | undefined): true {
  if (id !== undefined) designer.select(id);
  return true;
}

function gesture(designer: Designer, fields: Parameters<Designer["gesture"]>[0]): true {
  void designer.gesture(fields).then(() => designer.focusCanvas());
  return true;
}

function moveTo(designer: Designer, target: string, to: string | undefined, where: "before" | "after"): true {
  return to === undefined ? true : gesture(designer, { target, gesture: "move", to, where });
}

function insert(designer: Designer, target: string, where: Destination["where"], label: string): boolean {
  if (!editable(designer.state)) return false;
  openPalette(designer, { where, target, label });
  return true;
}
