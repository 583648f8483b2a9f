// What the page shows, apart from the text itself (that is CodeMirror's).

import { createStore, type StoreApi } from "zustand/vanilla";
import type { Drawing, Entry, Finding, HelloResult, Program, RunEvent } from "../protocol";
import type { Slot } from "../canvas/boxes";

export interface Notice {
  id: number;
  level: "info" | "warning" | "error";
  message: string;
  advice: string;
}

/** The palette, open at a place. `pick` is what it is for. */
export interface Menu {
  slot: Slot | { where: "replace"; target: string; label: string };
  x: number;
  y: number;
}

export type Dialog = { kind: "compare" } | { kind: "conflict"; theirs: string } | { kind: "name" } | { kind: "keys" };

/**
 * An instance that is looked at. past: its program as it was, when that is what the canvas shows.
 * edited: the text has changed since this run was started from it, so its states no longer fit the drawing.
 */
export interface Run {
  instance: string;
  event: RunEvent | null;
  edited: boolean;
  past: { drawing: Drawing; text: string } | null;
}

export interface State {
  phase: "connecting" | "ready" | "lost";
  home: HelloResult["home"];
  name: string;
  saved: boolean;
  runnable: boolean;
  palette: Entry[];
  theme: "light" | "dark";
  /** The last drawing of a text that parses. */
  drawing: Drawing | null;
  drawingVersion: number;
  /** Whether the text has stopped parsing since. */
  stale: boolean;
  findings: Finding[];
  program: number;
  selected: string | null;
  folded: ReadonlySet<string>;
  menu: Menu | null;
  /** Which menu of the selected block's toolbar is open. */
  tools: "wrap" | "unwrap" | null;
  dragging: { id: string; x: number; y: number; over: string | null } | null;
  panel: "step" | "run" | "problems";
  searching: boolean;
  dialog: Dialog | null;
  notices: Notice[];
  run: Run | null;
  /** Counted up to ask the canvas to bring the selected block into view. */
  reveal: number;
}

export type Store = StoreApi<State>;

export function newStore(): Store {
  return createStore<State>(() => ({
    phase: "connecting",
    home: "studio",
    name: "",
    saved: true,
    runnable: false,
    palette: [],
    theme: "light",
    drawing: null,
    drawingVersion: -1,
    stale: false,
    findings: [],
    program: 0,
    selected: null,
    folded: new Set(),
    menu: null,
    tools: null,
    dragging: null,
    panel: "step",
    searching: false,
    dialog: null,
    notices: [],
    run: null,
    reveal: 0,
  }));
}

/** The program on the canvas: of a past run while one is looked at. */
export function shownProgram(state: State): Program | null {
  if (state.run?.past) return state.run.past.drawing.programs[0] ?? null;
  return state.drawing?.programs[state.program] ?? null;
}

/** Whether gestures may be made now. */
export function editable(state: State): boolean {
  return state.phase === "ready" && !state.stale && !state.run?.past;
}
