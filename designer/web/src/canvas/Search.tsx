// Searches the steps of the program: title, SQL, result name and fields.

import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import { useDesigner, useDesignerState } from "../state/context";
import { Icon } from "../parts/icons";
import type { Block } from "../protocol";
import { shownProgram } from "../state/state";
import { indexOf, isColumn } from "../state/tree";

export function Search() {
  const searching = useDesignerState((state) => state.searching);
  return searching ? <Open /> : null;
}

function Open() {
  const designer = useDesigner();
  const program = useDesignerState(shownProgram);
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    input.current?.focus();
  }, []);
  const found = text.trim() === "" ? [] : matches(program?.root ?? null, text);

  const go = (to: number): void => {
    const next = found.length === 0 ? 0 : (to + found.length) % found.length;
    setAt(next);
    const id = found[next];
    if (id === undefined) return;
    designer.showStep(id);
  };
  const close = (): void => {
    designer.set({ searching: false });
    designer.focusCanvas();
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key === "Enter") go(designer.state.selected === found[at] ? at + (event.shiftKey ? -1 : 1) : at);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div className="pw-searchbar" role="search">
      <Icon name="search" />
      <input
        ref={input}
        value={text}
        placeholder="Search the steps"
        aria-label="Search the steps"
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }}
        onKeyDown={key}
      />
      <span className="pw-hint" aria-live="polite">
        {text.trim() === "" ? "" : found.length === 0 ? "no match" : `${at + 1} of ${found.length}`}
      </span>
      <button type="button" className="pw-tool" aria-label="Close the search" onClick={close}>
        <Icon name="close" size={14} />
      </button>
    </div>
  );
}

function matches(root: Block | null, text: string): string[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found: string[] = [];
  for (const { block } of indexOf(root).values()) {
    if (isColumn(block)) continue;
    const fields = block.fields.map((field) => String(field.value ?? ""));
    const own = block.children.length === 0 ? block.full : "";
    const all = [block.title, block.detail, own, block.name ?? "", block.sql?.value ?? "", ...fields].join(" ").toLowerCase();
    if (words.every((word) => all.includes(word))) found.push(block.id);
  }
  return found;
}
