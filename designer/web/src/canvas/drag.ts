// Moves a block with the pointer: the block stays in place, and the `+` where it would go is highlighted.

import type { PointerEvent as ReactPointerEvent } from "react";
import type { Designer } from "../state/designer";
import type { Block } from "../protocol";
import { editable } from "../state/state";
import { indexOf } from "../state/tree";

const THRESHOLD_PIXELS = 6;
const REACH_PIXELS = 90;

export function startDrag(designer: Designer, event: ReactPointerEvent<HTMLElement>, block: Block): void {
  if (event.button !== 0 || !editable(designer.state) || !block.editable) return;
  event.stopPropagation();
  const [startX, startY] = [event.clientX, event.clientY];
  const own = new Set(indexOf(block).keys());
  let moving = false;

  const move = (now: PointerEvent): void => {
    if (!moving && Math.hypot(now.clientX - startX, now.clientY - startY) < THRESHOLD_PIXELS) return;
    moving = true;
    const over = nearest(designer, now.clientX, now.clientY, own);
    designer.set({ dragging: { id: block.id, x: now.clientX, y: now.clientY, over }, selected: block.id });
  };
  const end = (): void => {
    window.removeEventListener("pointermove", move);
    window.removeEventListener("pointerup", drop);
    window.removeEventListener("pointercancel", end);
    window.removeEventListener("keydown", escape, true);
    designer.set({ dragging: null });
  };
  const drop = (): void => {
    const over = designer.state.dragging?.over ?? null;
    end();
    const [where, to] = over === null ? [] : splitSlot(over);
    if (moving && to !== undefined && (where === "before" || where === "after")) {
      void designer.gesture({ target: block.id, gesture: "move", to, where });
    }
  };
  const escape = (key: KeyboardEvent): void => {
    if (key.key === "Escape") end();
  };
  window.addEventListener("pointermove", move);
  window.addEventListener("pointerup", drop);
  window.addEventListener("pointercancel", end);
  window.addEventListener("keydown", escape, true);
}

/** A slot's id is "before:BLOCK" or "after:BLOCK"; block ids have colons of their own. */
function splitSlot(slot: string): [string, string] {
  const at = slot.indexOf(":");
  return [slot.slice(0, at), slot.slice(at + 1)];
}

/** The id of the slot nearest to the pointer that is not part of what is dragged. */
function nearest(designer: Designer, x: number, y: number, own: ReadonlySet<string>): string | null {
  let best: string | null = null;
  let reach = REACH_PIXELS;
  for (const slot of designer.root.querySelectorAll<HTMLElement>(".pw-slot[data-slot]")) {
    const id = slot.dataset["slot"] ?? "";
    const [where, target] = splitSlot(id);
    if (where === "branch" || own.has(target)) continue;
    const at = slot.getBoundingClientRect();
    const distance = Math.hypot(at.x + at.width / 2 - x, at.y + at.height / 2 - y);
    if (distance < reach) [best, reach] = [id, distance];
  }
  return best;
}
