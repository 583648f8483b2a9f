// Gestures on the canvas become changes of the text: Python computes them, the editor makes them as one step of its
// history. One at a time: a second Delete is about what the first one has left selected.

import { isolateHistory } from "@codemirror/commands";
import { EditorSelection } from "@codemirror/state";
import type { Designer } from "./designer";
import type { Change, Drawing, EditRequest } from "../protocol";
import { editable } from "./state";
import { indexOf, sameBlock } from "./tree";

export type Gesture = Omit<EditRequest, "type" | "id" | "version">;

/** Gestures that change what a block says and leave it where it is. */
const KEEPING = /^(set_|rename)/;
const ATTEMPTS = 3;

/** What a gesture was about when it was made. */
interface Aim {
  target: string;
  selected: boolean;
  drawing: Drawing | null;
}

export class Gestures {
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly designer: Designer) {}

  /** Whether the text was changed; if not, a notice has said why. */
  perform(fields: Gesture): Promise<boolean> {
    const { state } = this.designer;
    const aim = { target: fields.target, selected: fields.target === state.selected, drawing: state.drawing };
    const mine = this.last.then(() => this.now(fields, aim));
    this.last = mine;
    return mine;
  }

  private async now(fields: Gesture, aim: Aim): Promise<boolean> {
    const { designer } = this;
    if (!editable(designer.state)) {
      const advice = designer.state.stale ? "Mend the text first." : "Go back to editing first.";
      designer.notice("warning", "The program cannot be changed here now.", advice);
      return false;
    }
    try {
      const target = await this.find(aim);
      if (target === null) designer.notice("warning", "That step has changed meanwhile.", "Look at it and try once more.");
      return target !== null && (await this.edit({ ...fields, target }));
    } catch (problem) {
      designer.complain(problem);
      return false;
    }
  }

  /** The block in the drawing of the text as it is now: where it has moved to, or what is selected in its place. */
  private async find({ target, selected, drawing }: Aim): Promise<string | null> {
    const { designer } = this;
    const root = designer.shownRoot();
    const block = indexOf(root).get(target)?.block;
    const fresh = designer.state.drawing === drawing;
    await designer.sync.flush();
    const span = block && designer.tracker.spanNow(block);
    await designer.tracker.shown();
    if (target === "" || (fresh && designer.state.drawing === drawing)) return target;
    if (!fresh) return selected ? designer.state.selected : null;
    return block && span ? (sameBlock(indexOf(designer.shownRoot()), span, block.kind)?.id ?? null) : null;
  }

  private async edit(fields: Gesture): Promise<boolean> {
    const { designer } = this;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      await designer.sync.flush();
      const { version } = designer.sync;
      const result = await designer.wire.ask("edit", { ...fields, version });
      if (designer.sync.version !== version || !designer.sync.clean) continue;
      // A field that is left because another block was chosen must not take that choice back.
      const follow = !KEEPING.test(fields.gesture) || fields.target === designer.state.selected;
      designer.tracker.want(follow && result.changes.length > 0 ? { offset: result.select, block: result.block ?? null } : null);
      this.apply(result.changes, follow ? result.select : null);
      await designer.sync.flush();
      await designer.tracker.shown();
      return true;
    }
    designer.notice("warning", "The text was changed by somebody else at the same moment.", "Try once more.");
    return false;
  }

  /** Lets Python compute changes of the text and makes them: a finding's fix, the formatter. */
  rewrite(what: { fix: number } | "format"): Promise<void> {
    const mine = this.last.then(() => this.rewriteNow(what));
    this.last = mine;
    return mine;
  }

  /** Resolves when everything asked for has been done or refused. */
  async done(): Promise<void> {
    await this.last;
  }

  private async rewriteNow(what: { fix: number } | "format"): Promise<void> {
    const { designer } = this;
    try {
      await designer.sync.flush();
      const { version } = designer.sync;
      const asked = what === "format" ? designer.wire.ask("format", { version }) : designer.wire.ask("fix", { version, finding: what.fix });
      const { changes } = await asked;
      if (designer.sync.version === version && designer.sync.clean) this.apply(changes, null);
    } catch (problem) {
      designer.complain(problem);
    }
  }

  private apply(changes: Change[], select: number | null): void {
    const { view } = this.designer;
    if (!view) return;
    if (select !== null) view.scrollDOM.scrollLeft = 0;
    view.dispatch({
      changes,
      ...(select === null ? {} : { selection: EditorSelection.cursor(select), scrollIntoView: true }),
      annotations: isolateHistory.of("full"),
      userEvent: "input.gesture",
    });
  }
}
