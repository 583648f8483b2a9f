// Keeps the drawing on the canvas and the text together: shows a drawing when the editor has reached its version, maps
// offsets of the drawing to the text as it is now, and finds selected and folded blocks again in the next drawing.
// Block ids are paths in the AST: inserting a step gives every later block another id, so blocks are found by their span.

import { ChangeSet } from "@codemirror/state";
import type { EditorView } from "@codemirror/view";
import type { Block, Drawing, DrawingEvent, Finding } from "../protocol";
import { shownProgram, type Store } from "./state";
import type { Sync } from "../connection/sync";
import { blockAt, blockNear, blockStarting, indexOf, programOf, sameBlock, type Index } from "./tree";

const DRAWING_MILLISECONDS = 4000;
const SEVERITIES = ["error", "warning", "info"];

/** What is selected once the next drawing is shown: a block by its id there, else the one that starts at the offset. */
export interface NextSelection {
  offset: number | null;
  block: string | null;
}

export class Tracker {
  /** Changes of the text since the drawing on the canvas. */
  private since: ChangeSet | null = null;
  /** A drawing of a version that the editor has not reached yet. */
  private pending: DrawingEvent | null = null;
  private awaiting: (() => void)[] = [];
  private next: NextSelection | null = null;

  constructor(
    private readonly store: Store,
    private readonly sync: Sync,
    private readonly view: () => EditorView | null,
  ) {}

  /** The text was replaced as a whole. */
  forget(): void {
    this.since = null;
  }

  receive(event: DrawingEvent): void {
    this.pending = event;
    this.show();
  }

  changed(changes: ChangeSet): void {
    if (this.since) this.since = this.since.compose(changes);
  }

  selectNext(next: NextSelection | null): void {
    this.next = next;
  }

  /** Shows the newest drawing as soon as the editor has reached its version. */
  show(): void {
    const event = this.pending;
    const view = this.view();
    if (!event || !view || event.version !== this.sync.version) return;
    this.pending = null;
    const { drawing, version } = event;
    const state = this.store.getState();
    if (!drawing.ok && state.drawing) {
      // The last drawing that parsed stays on the canvas, with the new findings on it.
      this.store.setState({ stale: true, findings: worstFirst(this.placed(drawing.findings)), drawingVersion: version });
    } else {
      const program = this.programIn(drawing);
      // While a past run is shown, selection and folding are those of its drawing.
      const kept = state.run?.past ? {} : { selected: this.selectionIn(drawing, program), folded: this.foldedIn(drawing, program) };
      // What is not confirmed yet is not in this drawing either.
      this.since = this.sync.unconfirmed() ?? ChangeSet.empty(view.state.doc.length);
      const reveal = state.reveal + (this.next ? 1 : 0);
      this.next = null;
      const shown = { drawing, stale: !drawing.ok, findings: worstFirst(drawing.findings), drawingVersion: version };
      this.store.setState({ ...shown, ...kept, program, reveal });
    }
    for (const done of this.awaiting.splice(0)) done();
  }

  /** Resolves when the drawing shows the text as it is now; after 4 seconds at the latest. */
  async upToDate(): Promise<void> {
    if (this.store.getState().drawingVersion === this.sync.version && !this.pending) return;
    await new Promise<void>((resolve) => {
      this.awaiting.push(resolve);
      setTimeout(resolve, DRAWING_MILLISECONDS);
    });
  }

  /** An offset of the drawing on the canvas, mapped through what was typed since. */
  offsetNow(offset: number, side: 1 | -1 = 1): number {
    return this.since && offset <= this.since.length ? this.since.mapPos(offset, side) : offset;
  }

  /** The span of a block of the drawing on the canvas, in the text as it is now; text typed at its edges stays outside. */
  spanNow(block: Block): [number, number] {
    return [this.offsetNow(block.span[0], 1), this.offsetNow(block.span[1], -1)];
  }

  private root(drawing: Drawing | null, program = this.store.getState().program): Block | null {
    return drawing?.programs[program]?.root ?? null;
  }

  /** Which workflow of a new drawing is shown: that of the new step, else the one at the same position. */
  private programIn(drawing: Drawing): number {
    const { program } = this.store.getState();
    const { block = null, offset = null } = this.next ?? {};
    const wanted = programOf(drawing.programs, block, offset);
    if (wanted !== null) return wanted;
    const next = drawing.programs.findIndex(({ span }) => offset !== null && offset <= span[0]);
    return next >= 0 ? next : Math.min(program, Math.max(0, drawing.programs.length - 1));
  }

  /** Findings of a text that does not parse, on the blocks of the last drawing that did. */
  private placed(findings: Finding[]): Finding[] {
    const { drawing, program } = this.store.getState();
    const programs = drawing?.programs ?? [];
    const map = (offset: number): number => this.offsetNow(offset);
    return findings.map((one) => {
      const root = programs[programOf(programs, null, one.from, map) ?? program]?.root ?? null;
      return { ...one, block: blockNear(root, one.from, map)?.id ?? null };
    });
  }

  /** Which block of a new drawing is the selected one. */
  private selectionIn(drawing: Drawing, program: number): string | null {
    const state = this.store.getState();
    const root = this.root(drawing, program);
    const index = indexOf(root);
    if (this.next) return selectionOf(index, root, this.next);
    const old = state.selected === null ? undefined : indexOf(shownProgram(state)?.root ?? null).get(state.selected)?.block;
    if (!old) return null;
    const span = this.spanNow(old);
    const same = index.get(old.id)?.block;
    return (sameBlock(index, span, old.kind) ?? (same?.kind === old.kind ? same : blockAt(root, span[0], span[0])))?.id ?? null;
  }

  /** What is folded stays folded, whatever its id is in the new drawing. */
  private foldedIn(drawing: Drawing, program: number): ReadonlySet<string> {
    const { folded, drawing: old } = this.store.getState();
    if (folded.size === 0) return folded;
    const before = indexOf(this.root(old));
    const after = indexOf(this.root(drawing, program));
    const still = [...folded].map((id) => {
      const block = before.get(id)?.block;
      return block && sameBlock(after, this.spanNow(block), block.kind)?.id;
    });
    return new Set(still.filter((id) => id !== undefined));
  }
}

function selectionOf(index: Index, root: Block | null, { block, offset }: NextSelection): string | null {
  if (block !== null && index.has(block)) return block;
  if (offset === null) return null;
  return (blockStarting(index, offset) ?? blockAt(root, offset, offset))?.id ?? null;
}

/** Errors first, then by their place in the text. */
function worstFirst(findings: Finding[]): Finding[] {
  return findings.toSorted((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) || a.from - b.from);
}
