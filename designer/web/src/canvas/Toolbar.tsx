// The toolbar of the selected block, beside it on the canvas.

import { NodeToolbar, Position, useStore as useFlow } from "@xyflow/react";
import { useEffect, useRef, type KeyboardEvent, type MouseEvent } from "react";
import { openPalette, unwrap } from "./blockActions";
import { useDesigner, useDesignerState } from "../state/context";
import type { Picture } from "./boxes";
import type { Designer } from "../state/designer";
import { Floating, type Spot } from "../parts/Floating";
import { Icon } from "../parts/icons";
import type { Block } from "../protocol";
import { editable } from "../state/state";
import { keepable, type Index } from "../state/tree";

export const WRAPPERS: [string, string][] = [
  ["if", "If"],
  ["loop", "Endless loop"],
  ["while", "Loop while"],
  ["parallel", "Parallel branches"],
  ["race", "Race"],
  ["timeout", "Time limit"],
  ["child", "Child workflow"],
];
const PARTS: Record<string, string> = {
  condition: "the condition",
  then: "the yes branch",
  else: "the no branch",
  body: "the body",
  child: "the child",
};

/** To the right of a step, where a column has room; above a frame, whose right edge may be out of sight. */
export function Toolbar({ index, picture }: { index: Index; picture: Picture }) {
  const selected = useDesignerState((state) => state.selected);
  const active = useDesignerState((state) => editable(state) && state.dragging === null && state.menu === null);
  const place = selected === null ? undefined : index.get(selected);
  if (!place || !active) return null;
  const outline = picture.boxes.find((box) => box.block === place.block)?.outline;
  const above = outline === "frame" || outline === "sequence";
  const where = above ? ({ position: Position.Top, align: "start" } as const) : ({ position: Position.Right, align: "start" } as const);
  return (
    <NodeToolbar nodeId={place.block.id} isVisible {...where} offset={6} className={`pw-toolbar nopan nowheel ${above ? "pw-above" : ""}`}>
      <Tools key={place.block.id} block={place.block} />
    </NodeToolbar>
  );
}

function Tools({ block }: { block: Block }) {
  const designer = useDesigner();
  const open = useDesignerState((state) => state.tools);
  const tools = useRef<HTMLDivElement>(null);
  if (!block.editable) {
    return <span className="pw-hint">{block.why_not ?? "This step can only be edited in the text."}</span>;
  }
  const target = block.id;
  const show = (tools: "wrap" | "unwrap" | null): void => designer.set({ tools });
  const choose = (fields: Omit<Parameters<Designer["gesture"]>[0], "target">): void => {
    show(null);
    void designer.gesture({ target, ...fields }).then(() => designer.focusCanvas());
  };
  const items: [string, () => void][] =
    open === "wrap"
      ? WRAPPERS.map(([name, title]) => [title, () => choose({ gesture: "wrap", with: name })])
      : keepable(block).map((child, position) => [
          `Keep ${child.role === "branch" ? `branch ${position + 1}` : (PARTS[child.role] ?? child.title)}`,
          () => choose({ gesture: "unwrap", role: child.role, to: child.block.id }),
        ]);
  return (
    <div role="toolbar" aria-label={`Change ${block.title}`} className="pw-tools" ref={tools}>
      <Tool icon="swap" label="Replace (R)" onClick={() => openPalette(designer, { where: "replace", target, label: `Replace ${block.title}` })} />
      <Tool icon="wrap" label="Wrap in" keys="W" expanded={open === "wrap"} onClick={() => show(open === "wrap" ? null : "wrap")} />
      {keepable(block).length > 0 && <Tool icon="unwrap" label="Unwrap" keys="U" expanded={open === "unwrap"} onClick={() => unwrap(designer, block)} />}
      <Tool icon="copy" label="Duplicate (Ctrl+D)" onClick={() => choose({ gesture: "duplicate" })} />
      <Tool icon="trash" label="Delete (Del)" onClick={() => choose({ gesture: "delete" })} />
      {open && <Menu key={open} label={open === "wrap" ? "Wrap in" : "Keep"} items={items} beside={tools.current} onClose={() => show(null)} />}
    </div>
  );
}

interface MenuProps {
  label: string;
  items: [string, () => void][];
  beside: HTMLElement | null;
  onClose(): void;
}

function Menu({ label, items, beside, onClose }: MenuProps) {
  const designer = useDesigner();
  const list = useRef<HTMLDivElement>(null);
  useFlow((state) => state.transform); // it moves with the toolbar
  const at = (): Spot => {
    const box = beside?.getBoundingClientRect();
    return box ? { left: box.left, top: box.bottom + 4, above: box.top - 4 } : { left: 0, top: 0 };
  };
  const focus = (position: number): void => {
    const buttons = list.current?.querySelectorAll("button") ?? [];
    buttons[(position + items.length) % items.length]?.focus();
  };
  useEffect(() => focus(0), []);
  const key = (event: KeyboardEvent): void => {
    const buttons = [...(list.current?.querySelectorAll("button") ?? [])];
    const now = buttons.indexOf(event.target as HTMLButtonElement);
    if (event.key === "ArrowDown") focus(now + 1);
    else if (event.key === "ArrowUp") focus(now - 1);
    else if (event.key === "Home" || event.key === "End") focus(event.key === "Home" ? 0 : -1);
    else if (event.key === "Escape" || event.key === "Tab") {
      onClose();
      designer.focusCanvas();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <Floating at={at} className="pw-menu" role="menu" aria-label={label} onKeyDown={key}>
      <div ref={list} role="none">
        {items.map(([title, choose]) => (
          <button key={title} type="button" role="menuitem" tabIndex={-1} onClick={choose}>
            {title}
          </button>
        ))}
      </div>
    </Floating>
  );
}

interface ToolProps {
  icon: string;
  label: string;
  keys?: string;
  expanded?: boolean;
  onClick(event: MouseEvent): void;
}

function Tool({ icon, label, keys, onClick, expanded }: ToolProps) {
  const title = keys === undefined ? label : `${label} (${keys})`;
  return (
    <button type="button" className="pw-tool" aria-label={label} title={title} aria-expanded={expanded} onClick={onClick}>
      <Icon name={icon} />
    </button>
  );
}
