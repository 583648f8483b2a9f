// The state of the page, except the text itself, which CodeMirror holds.

import { createStore, type StoreApi } from "zustand/vanilla";
import type { Drawing, Entry, Finding, HelloResult, Program, RunEvent } from "../protocol";

export interface Notice {
  id: number;
  level: "info" | "warning" | "error";
  message: string;
  advice: string;
}

/** Where a step of the palette goes, relative to the block `target`; "" for the whole text. label: what the page says. */
export interface Destination {
  where: "before" | "after" | "into" | "branch" | "replace";
  target: string;
  label: string;
}

/** The open palette, at a point of the window. */
export interface Menu {
  slot: Destination;
  x: number;
  y: number;
}

export type Dialog = { kind: "compare" } | { kind: "conflict"; theirs: string } | { kind: "name" } | { kind: "keys" };

/**
 * The instance that is watched. past: the program it was started with, when the canvas shows that instead of the text.
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
  /** Whether the text has changed since and no longer parses. */
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
  /** Incremented to make the canvas scroll to the selected block. */
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

/** The program on the canvas; while a past run is shown, the program of that run. */
export function shownProgram(state: State): Program | null {
  if (state.run?.past) return state.run.past.drawing.programs[0] ?? null;
  return state.drawing?.programs[state.program] ?? null;
}

/** Whether gestures are possible now. */
export function editable(state: State): boolean {
  return state.phase === "ready" && !state.stale && !state.run?.past;
}
