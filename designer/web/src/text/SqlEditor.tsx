// The editor of a step's SQL: PostgreSQL's colours, completion of $names and columns. Input goes into the text as one
// change: on Ctrl+Enter, when the editor loses the focus, and before the program is saved or started.

import { completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { PostgreSQL, sql } from "@codemirror/lang-sql";
import { EditorState } from "@codemirror/state";
import { Decoration, EditorView, keymap, MatchDecorator, ViewPlugin, type DecorationSet, type ViewUpdate } from "@codemirror/view";
import { useEffect, useRef } from "react";
import { completion } from "./completion";
import { useDesigner } from "../state/context";
import type { Designer } from "../state/designer";
import { REFERENCE } from "../state/names";
import { looks } from "./editor";
import type { Block } from "../protocol";

export function SqlEditor({ block, readOnly }: { block: Block; readOnly: boolean }) {
  const designer = useDesigner();
  const place = useRef<HTMLDivElement>(null);
  const editor = useRef<SqlDraft | null>(null);

  useEffect(() => {
    if (!place.current) return;
    const draft = new SqlDraft(designer, place.current, block, readOnly);
    editor.current = draft;
    return () => draft.close();
    // The same block keeps its editor, and what is typed in it, over redraws.
  }, [designer, block.id, readOnly]); // eslint-disable-line

  useEffect(() => {
    editor.current?.refresh(block);
  }, [block]);
  return <div className="pw-sql" ref={place} data-testid="sql-editor" />;
}

const references = new MatchDecorator({
  regexp: REFERENCE,
  decoration: Decoration.mark({ class: "cm-reference" }),
});
/** $name, $name.column and {variable} in the colour of data. */
const markReferences = ViewPlugin.fromClass(
  class {
    marks: DecorationSet;
    constructor(view: EditorView) {
      this.marks = references.createDeco(view);
    }
    update(update: ViewUpdate): void {
      this.marks = references.updateDeco(update, this.marks);
    }
  },
  { decorations: (plugin) => plugin.marks },
);

class SqlDraft {
  private readonly view: EditorView;
  private readonly forget: () => void;
  private committing: Promise<void> | null = null;

  constructor(
    private readonly designer: Designer,
    parent: HTMLElement,
    private block: Block,
    readOnly: boolean,
  ) {
    this.view = new EditorView({ parent, root: designer.root, state: this.state(readOnly) });
    this.forget = designer.addDraft(() => this.commit());
  }

  private state(readOnly: boolean): EditorState {
    const { designer } = this;
    const ask = (offset: number) =>
      designer.wire.ask("complete", { version: designer.sync.version, offset, block: this.block.id, sql: this.view.state.doc.toString() });
    return EditorState.create({
      doc: this.designer.refusedSql.get(this.block.id) ?? this.saved,
      extensions: [
        history(),
        sql({ dialect: PostgreSQL }),
        looks,
        markReferences,
        EditorView.lineWrapping,
        EditorState.readOnly.of(readOnly),
        completion(ask, () => designer.sync.flush()),
        EditorView.contentAttributes.of({ "aria-label": "SQL of the step" }),
        EditorView.domEventHandlers({ blur: () => void this.commit() }),
        keymap.of([
          { key: "Mod-Enter", run: () => (void this.commit(), true) },
          { key: "Escape", run: () => (this.view.dom.blur(), designer.focusCanvas(), true) },
          ...completionKeymap,
          ...historyKeymap,
          ...defaultKeymap,
        ]),
      ],
    });
  }

  /** The statement without the blanks between it and its quotes; those stay as they are in the text. */
  private get saved(): string {
    return this.block.sql?.value.trim() ?? "";
  }

  /** Takes over a change of the text, unless the editor holds unsaved input. */
  refresh(block: Block): void {
    const typed = this.view.state.doc.toString();
    const unchanged = typed === this.saved;
    this.block = block;
    if (unchanged && typed !== this.saved) {
      this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: this.saved } });
    }
  }

  commit(): Promise<void> {
    this.committing ??= this.commitNow().finally(() => {
      this.committing = null;
    });
    return this.committing;
  }

  // The editor shows "SELECT 1" of ' SELECT 1 ': the blanks are put back, unless the input has its own.
  private async commitNow(): Promise<void> {
    const typed = this.view.state.doc.toString();
    const { sql } = this.block;
    if (!sql || typed === this.saved || this.view.state.readOnly) return;
    const before = /^\s/.test(typed) ? "" : (/^\s*/.exec(sql.value)?.[0] ?? "");
    const after = /\s$/.test(typed) ? "" : (/\s*$/.exec(sql.value)?.[0] ?? "");
    const text = `${before}${typed}${after}`;
    // After close() this still runs; the refused SQL is then kept for the next editor of this block.
    const accepted = await this.designer.gesture({ target: this.block.id, gesture: "set_sql", text });
    if (accepted) {
      this.block = { ...this.block, sql: { ...sql, value: text } };
      this.designer.refusedSql.delete(this.block.id);
    } else {
      this.designer.refusedSql.set(this.block.id, typed);
    }
  }

  close(): void {
    this.forget();
    void this.commit();
    this.view.destroy();
  }
}
