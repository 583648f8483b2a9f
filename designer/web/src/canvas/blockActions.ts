// What both the toolbar and the keys do with a block.

import type { Slot } from "./boxes";
import type { Designer } from "../state/designer";
import type { Block } from "../protocol";

/** Opens the palette beside the block it is about. */
export function openPalette(designer: Designer, slot: Slot | { where: "replace"; target: string; label: string }): void {
  const block = designer.root.querySelector(`[data-block-id="${CSS.escape(slot.target)}"]`);
  const canvas = designer.root.querySelector(".pw-canvas");
  const box = (block ?? canvas)?.getBoundingClientRect();
  const x = box ? (block ? box.right + 8 : box.x + box.width / 2) : 100;
  designer.set({ menu: { slot, x, y: box ? box.y + Math.min(40, box.height / 2) : 100 } });
}

/** At once where only one thing is inside; else a question which of them stays. */
export function unwrap(designer: Designer, block: Block): void {
  const inner = block.children.filter((child) => child.role !== "condition");
  const [only] = inner;
  if (!only || inner.length > 1) {
    designer.set({ tools: designer.state.tools === "unwrap" ? null : "unwrap" });
    return;
  }
  const gesture = { target: block.id, gesture: "unwrap", role: only.role, to: only.block.id };
  void designer.gesture(gesture).then(() => designer.focusCanvas());
}
