// What can be done with the selected block, above it on the canvas.

import { NodeToolbar, Position } from "@xyflow/react";
import { useState, type KeyboardEvent } from "react";
import { useDesigner, useDesignerState } from "./context";
import type { Designer } from "./designer";
import { Icon } from "./icons";
import { openPalette } from "./keys";
import type { Block } from "./protocol";
import { editable } from "./state";
import type { Index } from "./tree";

export const WRAPPERS: [string, string][] = [
  ["if", "If"],
  ["loop", "Loop for ever"],
  ["while", "Loop while"],
  ["parallel", "Parallel branches"],
  ["race", "Race"],
  ["timeout", "Time limit"],
  ["child", "Child workflow"],
];
const KEEPABLE = new Set(["then", "else", "body", "branch", "child", "condition"]);
const PARTS: Record<string, string> = {
  condition: "the condition",
  then: "what follows yes",
  else: "what follows no",
  body: "the body",
  child: "the child",
};

export function Toolbar({ index }: { index: Index }) {
  const selected = useDesignerState((state) => state.selected);
  const active = useDesignerState((state) => editable(state) && state.dragging === null && state.menu === null);
  const place = selected === null ? undefined : index.get(selected);
  if (!place || !active) return null;
  return (
    <NodeToolbar nodeId={place.block.id} isVisible position={Position.Top} align="end" offset={6} className="pw-toolbar">
      <Tools key={place.block.id} block={place.block} />
    </NodeToolbar>
  );
}

function Tools({ block }: { block: Block }) {
  const designer = useDesigner();
  const [open, setOpen] = useState<"wrap" | "unwrap" | null>(null);
  if (!block.editable) {
    return <span className="pw-hint">{block.why_not ?? "This step can only be edited as text."}</span>;
  }
  const target = block.id;
  const choose = (fields: Omit<Parameters<Designer["gesture"]>[0], "target">): void => {
    setOpen(null);
    void designer.gesture({ target, ...fields }).then(() => designer.focusCanvas());
  };
  const roles = block.children.filter((child) => KEEPABLE.has(child.role));
  const inner = block.children.filter((child) => child.role !== "condition");
  const [only] = inner;
  // Plain where only one thing is inside; else a question which of them stays.
  const unwrap = (): void => {
    if (only && inner.length === 1) choose({ gesture: "unwrap", role: only.role, to: only.block.id });
    else setOpen(open === "unwrap" ? null : "unwrap");
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key !== "Escape") return;
    setOpen(null);
    designer.focusCanvas();
    event.stopPropagation();
  };
  return (
    <div role="toolbar" aria-label={`Change ${block.title}`} className="pw-tools" onKeyDown={key}>
      <Tool icon="swap" label="Replace (R)" onClick={() => openPalette(designer, { where: "replace", target, label: `Replace ${block.title}` })} />
      <Tool icon="wrap" label="Wrap in" expanded={open === "wrap"} onClick={() => setOpen(open === "wrap" ? null : "wrap")} />
      {roles.length > 0 && (
        <Tool icon="unwrap" label="Unwrap" expanded={open === "unwrap"} onClick={unwrap} />
      )}
      <Tool icon="copy" label="Duplicate (Ctrl+D)" onClick={() => choose({ gesture: "duplicate" })} />
      <Tool icon="trash" label="Delete (Del)" onClick={() => choose({ gesture: "delete" })} />
      {open && (
        <div className="pw-menu" role="menu" aria-label={open === "wrap" ? "Wrap in" : "Keep"}>
          {open === "wrap"
            ? WRAPPERS.map(([name, title]) => (
                <button key={name} type="button" role="menuitem" onClick={() => choose({ gesture: "wrap", with: name })}>
                  {title}
                </button>
              ))
            : roles.map((child, position) => (
                <button
                  key={child.block.id}
                  type="button"
                  role="menuitem"
                  onClick={() => choose({ gesture: "unwrap", role: child.role, to: child.block.id })}
                >
                  Keep {child.role === "branch" ? `branch ${position + 1}` : (PARTS[child.role] ?? child.title)}
                </button>
              ))}
        </div>
      )}
    </div>
  );
}

function Tool({ icon, label, onClick, expanded }: { icon: string; label: string; onClick: () => void; expanded?: boolean }) {
  return (
    <button type="button" className="pw-tool" aria-label={label} title={label} aria-expanded={expanded} onClick={onClick}>
      <Icon name={icon} />
    </button>
  );
}
