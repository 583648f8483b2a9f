// The searchable list of all kinds of steps, opened at a `+`.

import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { useDesigner, useDesignerState } from "../state/context";
import type { Designer } from "../state/designer";
import { Floating, Backdrop } from "../parts/Floating";
import { Icon } from "../parts/icons";
import type { Entry } from "../protocol";
import type { Menu } from "../state/state";

const GROUPS: [Entry["group"], string][] = [
  ["steps", "Steps"],
  ["waits", "Waits"],
  ["flow", "Control flow"],
  ["children", "Child workflows"],
];

export function Palette() {
  const menu = useDesignerState((state) => state.menu);
  return menu ? <Open key={`${menu.slot.where}:${menu.slot.target}`} menu={menu} /> : null;
}

function Open({ menu }: { menu: Menu }) {
  const designer = useDesigner();
  const palette = useDesignerState((state) => state.palette);
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  const sections = useMemo(() => (text.trim() === "" ? grouped(palette) : matching(palette, text)), [palette, text]);
  const found = sections.flatMap(([, entries]) => entries);
  const list = useRef<HTMLDivElement>(null);

  useEffect(() => {
    input.current?.focus();
  }, []);
  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [at, sections]);

  const close = (): void => {
    designer.set({ menu: null });
    designer.focusCanvas();
  };
  const pick = (entry: Entry | undefined): void => {
    if (!entry) return;
    designer.set({ menu: null });
    void insert(designer, menu, entry.id).then(() => designer.focusCanvas());
  };
  const key = (event: KeyboardEvent): void => {
    const by = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (by) setAt((at + by + found.length) % Math.max(1, found.length));
    else if (event.key === "Enter") pick(found[at]);
    else if (event.key === "Escape" || event.key === "Tab") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <>
      <Backdrop onPress={close} />
      <Floating at={() => ({ left: menu.x - 20, top: menu.y - 20 })} className="pw-palette" role="dialog" aria-label={menu.slot.label} data-testid="palette">
        <div className="pw-search">
          <Icon name="search" />
          <input
            ref={input}
            value={text}
            placeholder="Search for a step to add"
            aria-label="Search steps"
            role="combobox"
            aria-expanded
            aria-controls="pw-palette-list"
            aria-activedescendant={found[at] ? `pw-entry-${found[at].id}` : undefined}
            onChange={(event) => {
              setText(event.target.value);
              setAt(0);
            }}
            onKeyDown={key}
          />
        </div>
        <div id="pw-palette-list" role="listbox" aria-label="Steps" className="pw-entries" ref={list}>
          {sections.map(([title, entries]) => (
            <div key={title} role="group" aria-label={title}>
              <div className="pw-group">{title}</div>
              {entries.map((entry) => (
                <div
                  key={entry.id}
                  id={`pw-entry-${entry.id}`}
                  role="option"
                  data-entry={entry.id}
                  aria-selected={found[at] === entry}
                  className="pw-entry"
                  onPointerMove={() => setAt(found.indexOf(entry))}
                  onClick={() => pick(entry)}
                >
                  <strong>{entry.title}</strong>
                  <span>{entry.says}</span>
                </div>
              ))}
            </div>
          ))}
          {found.length === 0 && <p className="pw-hint">No step matches. Try "wait", "loop" or "http".</p>}
        </div>
      </Floating>
    </>
  );
}

type Section = [string, Entry[]];

function grouped(palette: Entry[]): Section[] {
  const sections = GROUPS.map(([group, title]): Section => [title, palette.filter((entry) => entry.group === group)]);
  return sections.filter(([, entries]) => entries.length > 0);
}

/** Entries that contain all the words, those with the words in their titles first. */
function matching(palette: Entry[], text: string): Section[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const hits = palette.filter((entry) => {
    const all = [entry.id, entry.title, entry.says, ...entry.keywords].join(" ").toLowerCase();
    return words.every((word) => all.includes(word));
  });
  const rank = ({ id, title }: Entry): number => {
    const [first = ""] = words;
    const name = title.toLowerCase();
    if (name === text.trim().toLowerCase() || id === first) return 0;
    return name.startsWith(first) ? 1 : words.every((word) => name.includes(word)) ? 2 : 3;
  };
  return hits.length === 0 ? [] : [["Found", hits.sort((a, b) => rank(a) - rank(b))]];
}

function insert(designer: Designer, { slot }: Menu, entry: string): Promise<boolean> {
  const { target } = slot;
  switch (slot.where) {
    case "before":
      return designer.gesture({ target, gesture: "insert_before", entry });
    case "after":
      return designer.gesture({ target, gesture: "insert_after", entry });
    case "into":
      return designer.gesture({ target, gesture: "insert_into", role: "step", entry });
    case "branch":
      return designer.gesture({ target, gesture: "add_branch", entry });
    case "replace":
      return designer.gesture({ target, gesture: "replace", entry });
  }
}
