// The text pane; while a past run is shown, its program as read-only text.

import { EditorState } from "@codemirror/state";
import { EditorView, lineNumbers } from "@codemirror/view";
import { useEffect, useRef } from "react";
import { useDesigner, useDesignerState } from "../state/context";
import { language, looks, showBlock, showFindings } from "./editor";
import { indexOf } from "../state/tree";

export function TextPane() {
  const past = useDesignerState((state) => state.run?.past?.text ?? null);
  return past === null ? <Live /> : <Past text={past} />;
}

function Live() {
  const designer = useDesigner();
  const place = useRef<HTMLDivElement>(null);
  const findings = useDesignerState((state) => state.findings);
  const drawing = useDesignerState((state) => state.drawing);
  const selected = useDesignerState((state) => state.selected);
  const connecting = useDesignerState((state) => state.phase === "connecting");

  useEffect(() => {
    if (designer.view) place.current?.append(designer.view.dom);
    designer.view?.requestMeasure();
  }, [designer]);
  useEffect(() => {
    const unconfirmed = designer.sync.unconfirmed();
    if (designer.view) showFindings(designer, designer.view, findings, (offset) => (unconfirmed ? unconfirmed.mapPos(Math.min(offset, unconfirmed.length)) : offset));
  }, [designer, findings]);
  useEffect(() => {
    const block = selected === null ? undefined : indexOf(designer.shownRoot()).get(selected)?.block;
    if (designer.view) showBlock(designer.view, block ? designer.tracker.spanNow(block) : null);
  }, [designer, selected, drawing]);
  return <div className="pw-text" ref={place} data-testid="text" inert={connecting} />;
}

function Past({ text }: { text: string }) {
  const designer = useDesigner();
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!place.current) return undefined;
    const fixed = [EditorState.readOnly.of(true), EditorView.contentAttributes.of({ "aria-label": "Program of the run" })];
    const state = EditorState.create({ doc: text, extensions: [lineNumbers(), language, looks, fixed] });
    const view = new EditorView({ parent: place.current, root: designer.root, state });
    return () => view.destroy();
  }, [designer, text]);
  return <div className="pw-text" ref={place} data-testid="past-text" />;
}
