// Gestures on the canvas become changes of the text: Python computes them, the editor makes them as one step of its
// history. One at a time: a second Delete is about the block that the first one has left selected.

import { isolateHistory } from "@codemirror/commands";
import { EditorSelection } from "@codemirror/state";
import type { EditorView } from "@codemirror/view";
import type { Sync } from "../connection/sync";
import type { Wire } from "../connection/wire";
import type { Block, Change, Drawing, EditRequest } from "../protocol";
import { editable, type Notice, type State } from "./state";
import type { Tracker } from "./tracker";
import { indexOf, sameBlock } from "./tree";

export type Gesture = Omit<EditRequest, "version">;

/** What gestures need of the page. The designer is one; naming its class here would make a cycle of modules. */
export interface Page {
  readonly state: State;
  readonly view: EditorView | null;
  readonly wire: Wire;
  readonly sync: Sync;
  readonly tracker: Tracker;
  shownRoot(): Block | null;
  notice(level: Notice["level"], message: string, advice: string): void;
  complain(problem: unknown): void;
}

/** Gestures that change a block's content and leave it where it is. */
const IN_PLACE = /^(set_|rename)/;
const ATTEMPTS = 3;

/** The block that a gesture was made on, and what the canvas showed at that moment. */
interface Origin {
  target: string;
  selected: boolean;
  drawing: Drawing | null;
}

export class Gestures {
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly page: Page) {}

  /** Resolves to whether the text was changed; if not, a notice has said why. */
  perform(fields: Gesture): Promise<boolean> {
    // Taken now, not when its turn comes: by then the gestures before it have changed the selection and the drawing.
    const { state } = this.page;
    const origin = { target: fields.target, selected: fields.target === state.selected, drawing: state.drawing };
    return this.afterOthers(() => this.performNow(fields, origin));
  }

  /** Lets Python compute changes of the text and makes them: a finding's fix, the formatter. */
  rewrite(what: { fix: number } | "format"): Promise<void> {
    return this.afterOthers(() => this.rewriteNow(what));
  }

  /** Resolves when everything requested so far has been done or refused. */
  async done(): Promise<void> {
    await this.last;
  }

  private afterOthers<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.last.then(task); // tasks catch their errors, so the chain goes on
    this.last = mine;
    return mine;
  }

  private async performNow(fields: Gesture, origin: Origin): Promise<boolean> {
    const { page } = this;
    if (!editable(page.state)) {
      page.notice("warning", "The program cannot be edited on the canvas now.", whyNotEditable(page.state));
      return false;
    }
    try {
      const target = await this.find(origin);
      if (target === null) page.notice("warning", "This step has changed in the meantime.", "Check it, then try again.");
      return target !== null && (await this.edit({ ...fields, target }));
    } catch (problem) {
      page.complain(problem);
      return false;
    }
  }

  /** The block in the drawing of the text as it is now: where it has moved to, or what is selected in its place. */
  private async find({ target, selected, drawing }: Origin): Promise<string | null> {
    const { page } = this;
    const block = indexOf(page.shownRoot()).get(target)?.block;
    const fresh = page.state.drawing === drawing;
    await page.sync.flush();
    // Before waiting for the next drawing: spanNow counts from the drawing that `block` belongs to.
    const span = block && page.tracker.spanNow(block);
    await page.tracker.upToDate();
    if (target === "" || (fresh && page.state.drawing === drawing)) return target;
    if (!fresh) return selected ? page.state.selected : null;
    return block && span ? (sameBlock(indexOf(page.shownRoot()), span, block.kind)?.id ?? null) : null;
  }

  private async edit(fields: Gesture): Promise<boolean> {
    const { page } = this;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      await page.sync.flush();
      const { version } = page.sync;
      const result = await page.wire.ask("edit", { ...fields, version });
      // Typed in while Python computed: the changes count offsets of another text. Compute them again.
      if (page.sync.version !== version || !page.sync.clean) continue;
      // A field loses the focus because another block was selected: that selection must stay.
      const follow = !IN_PLACE.test(fields.gesture) || fields.target === page.state.selected;
      page.tracker.selectNext(follow && result.changes.length > 0 ? { offset: result.select, block: result.block ?? null } : null);
      this.apply(result.changes, follow ? result.select : null);
      await page.sync.flush();
      await page.tracker.upToDate();
      return true;
    }
    page.notice("warning", "The text was changed elsewhere at the same time.", "Try again.");
    return false;
  }

  private async rewriteNow(what: { fix: number } | "format"): Promise<void> {
    const { page } = this;
    try {
      await page.sync.flush();
      const { version } = page.sync;
      const asked = what === "format" ? page.wire.ask("format", { version }) : page.wire.ask("fix", { version, finding: what.fix });
      const { changes } = await asked;
      if (page.sync.version === version && page.sync.clean) this.apply(changes, null);
    } catch (problem) {
      page.complain(problem);
    }
  }

  private apply(changes: Change[], select: number | null): void {
    const { view } = this.page;
    if (!view) return;
    if (select !== null) view.scrollDOM.scrollLeft = 0;
    view.dispatch({
      changes,
      ...(select === null ? {} : { selection: EditorSelection.cursor(select), scrollIntoView: true }),
      annotations: isolateHistory.of("full"), // one gesture is one step of undo, however fast they follow each other
      userEvent: "input.gesture",
    });
  }
}

function whyNotEditable({ phase, stale }: State): string {
  if (phase !== "ready") return "It is not connected to pgweave; it reconnects by itself.";
  return stale ? "Fix the error in the text first." : "Go back to the program first.";
}
