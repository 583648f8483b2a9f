// Actions on a block that the toolbar and the keys share.

import type { Designer } from "../state/designer";
import type { Block } from "../protocol";
import type { Destination } from "../state/state";

/** Opens the palette beside the block it is about. */
export function openPalette(designer: Designer, slot: Destination): void {
  const block = designer.root.querySelector(`[data-block-id="${CSS.escape(slot.target)}"]`);
  const canvas = designer.root.querySelector(".pw-canvas");
  const box = (block ?? canvas)?.getBoundingClientRect();
  const x = box ? (block ? box.right + 8 : box.x + box.width / 2) : 100;
  designer.set({ menu: { slot, x, y: box ? box.y + Math.min(40, box.height / 2) : 100 } });
}

/** Unwraps a block with one part at once; for several parts it opens the menu that asks which one to keep. */
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
