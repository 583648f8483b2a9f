// The text pane's CodeMirror: the language's colours, findings as squiggles, completion and hover from Python, and a
// background behind the selected block.

import { closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, HighlightStyle, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState, StateEffect, StateField, type Extension } from "@codemirror/state";
import { Decoration, drawSelection, EditorView, highlightActiveLine, highlightSpecialChars, hoverTooltip, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { pgweave } from "../../../../notebooks/static/pgweave-mode.js";
import { completion } from "./completion";
import type { Designer } from "../state/designer";
import { markdown } from "./markdown";
import type { Finding } from "../protocol";

const highlight = HighlightStyle.define([
  { tag: tags.comment, color: "var(--code-comment)", fontStyle: "italic" },
  { tag: tags.string, color: "var(--code-string)" },
  { tag: tags.escape, color: "var(--code-number)" },
  { tag: tags.keyword, color: "var(--code-keyword)" },
  { tag: tags.operator, color: "var(--code-operator)", fontWeight: "600" },
  { tag: tags.number, color: "var(--code-number)" },
  { tag: tags.standard(tags.variableName), color: "var(--code-call)" },
  { tag: tags.special(tags.variableName), color: "var(--data)", fontWeight: "600" },
]);

const theme = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--background)", fontSize: "13px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5" },
  ".cm-gutters": { backgroundColor: "var(--background)", color: "var(--faint)", border: "none" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--accent) 7%, transparent)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "color-mix(in srgb, var(--accent) 25%, transparent)",
  },
  ".cm-block": { backgroundColor: "color-mix(in srgb, var(--accent) 10%, transparent)", borderRadius: "2px" },
  ".cm-reference, .cm-reference *": { color: "var(--data) !important", fontWeight: "600" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--ink)", border: "1px solid var(--rule)", borderRadius: "6px" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-panels": { backgroundColor: "var(--raised)", color: "var(--ink)" },
  ".cm-diagnosticAction": { backgroundColor: "var(--accent)", color: "var(--on-accent)", borderRadius: "4px" },
  ".cm-matchingBracket": { backgroundColor: "color-mix(in srgb, var(--accent) 30%, transparent) !important" },
});

// Characters that turn the text around are drawn as marks, so that they turn nothing; CodeMirror knows some of them.
const unseen = highlightSpecialChars({ addSpecialChars: /[\u202a-\u202e\u2066-\u2069]/g });

/** Shared by the text pane and the SQL editor. */
export const looks: Extension = [unseen, theme, syntaxHighlighting(highlight), bracketMatching(), closeBrackets(), drawSelection()];
export const language = StreamLanguage.define(pgweave);

const markBlock = StateEffect.define<{ from: number; to: number } | null>();
const markedBlock = StateField.define({
  create: () => Decoration.none,
  update(marks, transaction) {
    for (const effect of transaction.effects) {
      if (!effect.is(markBlock)) continue;
      if (!effect.value || effect.value.from >= effect.value.to) return Decoration.none;
      return Decoration.set(Decoration.mark({ class: "cm-block" }).range(effect.value.from, effect.value.to));
    }
    return marks.map(transaction.changes);
  },
  provide: (field) => EditorView.decorations.from(field),
});

export function textState(designer: Designer, text: string, version: number): EditorState {
  return EditorState.create({
    doc: text,
    extensions: [
      lineNumbers(),
      history(),
      highlightActiveLine(),
      highlightSelectionMatches(),
      language,
      looks,
      markedBlock,
      lintGutter(),
      completion((offset) => designer.wire.ask("complete", { version: designer.sync.version, offset }), () => designer.sync.flush()),
      hover(designer),
      designer.sync.extension(version),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) designer.changed(update.changes);
        const byPerson = update.transactions.some((one) => one.isUserEvent("select") || one.isUserEvent("input") || one.isUserEvent("delete"));
        const { main } = update.state.selection;
        if (update.selectionSet && byPerson && update.view.hasFocus) designer.cursor(main.from, main.to);
      }),
      EditorView.contentAttributes.of({ "aria-label": "Program text" }),
      keymap.of([...closeBracketsKeymap, ...completionKeymap, ...searchKeymap, ...historyKeymap, ...lintKeymap, ...defaultKeymap]),
    ],
  });
}

function hover(designer: Designer): Extension {
  return hoverTooltip(async (_view, position) => {
    if (!designer.sync.clean) return null;
    const found = await designer.wire.ask("hover", { version: designer.sync.version, offset: position }).catch(() => null);
    const text = found?.markdown;
    if (!found || !text) return null;
    return { pos: found.from, end: found.to, above: true, create: () => ({ dom: markdown(text) }) };
  });
}

/** Squiggles; `map` moves offsets of the drawing to the text as it is now. */
export function showFindings(designer: Designer, view: EditorView, findings: Finding[], map: (offset: number) => number): void {
  const length = view.state.doc.length;
  const place = (offset: number): number => Math.min(length, Math.max(0, map(offset)));
  const diagnostics = findings.map((one): Diagnostic => {
    const from = place(one.from);
    const { fix } = one;
    return {
      from,
      to: Math.max(from, place(one.to)),
      severity: one.severity,
      source: one.code,
      message: [one.title, one.label, one.help].filter(Boolean).join("\n"),
      actions: fix ? [{ name: fix, apply: () => void designer.rewrite({ fix: one.index }) }] : [],
    };
  });
  view.dispatch(setDiagnostics(view.state, diagnostics));
}

export function showBlock(view: EditorView, span: [number, number] | null): void {
  const length = view.state.doc.length;
  view.dispatch({ effects: markBlock.of(span && { from: Math.min(span[0], length), to: Math.min(span[1], length) }) });
}
