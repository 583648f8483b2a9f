// The designer behind the page: it holds the connection, the text and the state. Components read the store and call
// these methods. Python sends events (`receive`) and answers requests (`wire.ask`).

import { redo, undo } from "@codemirror/commands";
import { type ChangeSet, EditorSelection, type EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { Gestures, type Gesture } from "./gestures";
import type { Block, Event, HelloResult } from "../protocol";
import { newStore, shownProgram, type Notice, type State } from "./state";
import { Sync } from "../connection/sync";
import { Tracker } from "./tracker";
import { blockAt, indexOf } from "./tree";
import { Refused, Wire, type Transport } from "../connection/wire";

export type EditorFactory = (designer: Designer, text: string, version: number) => EditorState;
/** How much of a line is in view to the right of the cursor when the text scrolls to it. */
const VISIBLE_PIXELS = 140;

export class Designer {
  readonly store = newStore();
  readonly wire: Wire;
  readonly sync: Sync;
  readonly tracker: Tracker;
  private readonly gestures = new Gestures(this);
  view: EditorView | null = null;

  /** The id of Python's document; another one after a restart of its process. */
  private document: string | null = null;
  private noticeCount = 0;
  /** Position of the finding that was shown last. */
  lastFinding = -1;
  /** SQL that was refused when its editor lost the focus, by block: shown again with the block, so that it can be fixed. */
  readonly refusedSql = new Map<string, string>();
  /** Fields of the inspector: each puts its unsaved input into the text before the program is saved or started. */
  private readonly drafts = new Set<() => Promise<void>>();

  constructor(
    transport: Transport,
    readonly root: ShadowRoot,
    private readonly newEditor: EditorFactory,
  ) {
    this.sync = new Sync(
      () => this.wire,
      () => this.view,
      (who) => this.notice("info", `The text was changed by ${who}.`, "Undo reverts only changes made in this page."),
    );
    this.tracker = new Tracker(this.store, this.sync, () => this.view);
    this.wire = new Wire(transport, (event) => this.receive(event), (open) => void this.connection(open));
  }

  get state(): State {
    return this.store.getState();
  }

  set(change: Partial<State>): void {
    this.store.setState(change);
  }

  // --- the connection

  private async connection(open: boolean): Promise<void> {
    if (!open) {
      this.sync.disconnect();
      this.set({ phase: this.document === null ? "connecting" : "lost" });
      return;
    }
    try {
      const hello = await this.wire.ask("hello", {});
      const { name, home, palette, runnable, saved } = hello;
      this.set({ name, home, palette, runnable, saved, phase: "ready" });
      if (hello.dark !== null) this.set({ theme: hello.dark ? "dark" : "light" });
      this.adopt(hello);
      await this.sync.connect();
      if (this.state.run) await this.wire.ask("watch", { instance: this.state.run.instance });
    } catch (problem) {
      this.complain(problem);
    }
  }

  /** Takes Python's text. Input that never reached a process that has ended since is put into the text again. */
  private adopt(hello: HelloResult): void {
    const view = this.view;
    if (!view || (hello.document === this.document && hello.version >= this.sync.version)) return;
    const unsent = this.document !== null && !this.sync.clean ? view.state.doc.toString() : null;
    this.document = hello.document;
    view.setState(this.newEditor(this, hello.text, hello.version));
    this.tracker.forget();
    if (unsent !== null && unsent !== hello.text) {
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: unsent } });
      this.notice("warning", "pgweave was restarted and has opened the program again.", "Your changes that were not sent yet have been restored.");
    }
  }

  private receive(event: Event): void {
    // Views of one notebook widget share a channel: this event answers another view, before this one has a text.
    if (this.document === null) return;
    switch (event.type) {
      case "updates":
        this.sync.receive(event.version, event.updates);
        this.set({ saved: false });
        this.tracker.show();
        break;
      case "drawing":
        this.lastFinding = -1;
        this.tracker.receive(event);
        break;
      case "run":
        if (this.state.run?.instance === event.instance) this.set({ run: { ...this.state.run, event } });
        break;
      case "disk":
        this.set({ saved: event.saved });
        if (event.notice) this.notice("info", event.notice, "");
        break;
      case "notice":
        this.notice(event.level, event.message, event.advice);
        break;
    }
  }

  // --- the drawing and the text

  /** Called by the editor for every change of its text. */
  changed(changes: ChangeSet): void {
    this.tracker.changed(changes);
    if (this.state.run && !this.state.run.past) this.set({ run: { ...this.state.run, edited: true } });
    this.set({ saved: false });
    this.tracker.show();
  }

  shownRoot(): Block | null {
    return shownProgram(this.state)?.root ?? null;
  }

  selectedBlock(): Block | null {
    const { selected } = this.state;
    return selected === null ? null : (indexOf(this.shownRoot()).get(selected)?.block ?? null);
  }

  /** Selects a block. The text's cursor follows, unless the selection came from the text. */
  select(id: string | null, from: "canvas" | "text" = "canvas"): void {
    if (id === this.state.selected && from === "text") return;
    this.set({ selected: id, tools: null, panel: this.state.panel === "problems" ? "step" : this.state.panel, reveal: this.state.reveal + 1 });
    const block = this.selectedBlock();
    if (from === "text" || !block || !this.view || this.state.run?.past) return;
    this.showOffset(this.tracker.offsetNow(block.span[0]));
  }

  /** Shows another workflow of the text, on the canvas and in the text. */
  showProgram(position: number): void {
    this.set({ program: position, selected: null, tools: null });
    const program = this.state.drawing?.programs[position];
    if (program) this.showOffset(this.tracker.offsetNow(program.span[0]));
  }

  /** Puts the text's cursor there and scrolls to it. */
  showOffset(offset: number): void {
    if (!this.view) return;
    this.view.scrollDOM.scrollLeft = 0;
    const at = Math.min(offset, this.view.state.doc.length);
    const margins = { x: "nearest", xMargin: VISIBLE_PIXELS, y: "nearest", yMargin: 40 } as const;
    this.view.dispatch({ selection: EditorSelection.cursor(at), effects: EditorView.scrollIntoView(at, margins) });
  }

  /** The text's cursor was moved: selects the block around it. */
  cursor(from: number, to: number): void {
    if (this.state.run?.past) return;
    const programs = this.state.drawing?.programs ?? [];
    const map = (offset: number): number => this.tracker.offsetNow(offset);
    const at = programs.findIndex(({ span }) => map(span[0]) <= from && to <= map(span[1]));
    if (at >= 0 && at !== this.state.program) this.set({ program: at });
    const block = blockAt(programs[at]?.root ?? null, from, to, map);
    if (block) this.select(block.id, "text");
  }

  // --- commands

  /** Performs a gesture on the canvas as one step of the text's history; see gestures.ts. Resolves to whether it was done. */
  gesture(fields: Gesture): Promise<boolean> {
    return this.gestures.perform(fields);
  }

  rewrite(what: { fix: number } | "format"): Promise<void> {
    return this.gestures.rewrite(what);
  }

  undo(): void {
    if (this.view) undo(this.view);
  }

  redo(): void {
    if (this.view) redo(this.view);
  }

  /** Registers a field outside the text; `commit` puts its input into the text. Returns what unregisters it. */
  addDraft(commit: () => Promise<void>): () => void {
    this.drafts.add(commit);
    return () => this.drafts.delete(commit);
  }

  /** Resolves when all input of fields is in the text, and Python has the text. */
  async settle(): Promise<void> {
    for (const commit of [...this.drafts]) await commit();
    await this.gestures.done();
    await this.sync.flush();
  }

  /** Puts the focus into the first field of the panel beside the canvas. */
  focusInspector(): void {
    this.set({ panel: "step" });
    requestAnimationFrame(() => this.root.querySelector<HTMLElement>(".pw-inspector :is(.cm-content, input, select, textarea)")?.focus());
  }

  focusCanvas(): void {
    requestAnimationFrame(() => this.root.querySelector<HTMLElement>(".pw-canvas")?.focus());
  }

  toggleFold(id: string): void {
    const folded = new Set(this.state.folded);
    if (!folded.delete(id)) folded.add(id);
    this.set({ folded });
  }

  /** Selects a block; folded blocks around it are unfolded. */
  showStep(id: string): void {
    this.unfoldTo(id);
    this.select(id);
  }

  private unfoldTo(id: string): void {
    const index = indexOf(this.shownRoot());
    const folded = new Set(this.state.folded);
    for (let parent = index.get(id)?.parent; parent; parent = index.get(parent.id)?.parent) folded.delete(parent.id);
    if (folded.size !== this.state.folded.size) this.set({ folded });
  }

  notice(level: Notice["level"], message: string, advice: string): void {
    const one = { id: ++this.noticeCount, level, message, advice };
    this.set({ notices: [...this.state.notices.filter((other) => other.message !== message), one].slice(-4) });
  }

  complain(problem: unknown): void {
    if (problem instanceof Refused) this.notice("error", problem.message, problem.advice);
    else this.notice("error", "An error occurred in this page.", problem instanceof Error ? problem.message : String(problem));
  }

  close(): void {
    this.wire.close();
    this.view?.destroy();
  }
}
