// Functions about the tree of blocks: parents and children, blocks at an offset of the text, targets of the arrow keys.

import type { Block, Child, Program } from "../protocol";

export interface Place {
  block: Block;
  parent: Block | null;
  role: Child["role"] | "";
  /** Position among the parent's children, and how many there are. */
  position: number;
  siblings: number;
  /** From 1; a column of steps does not count as a level. */
  depth: number;
}

/** Every block in reading order, by id. */
export type Index = Map<string, Place>;

export function indexOf(root: Block | null): Index {
  const index: Index = new Map();
  const stack: Place[] = root ? [{ block: root, parent: null, role: "", position: 0, siblings: 1, depth: 1 }] : [];
  for (let place = stack.pop(); place; place = stack.pop()) {
    index.set(place.block.id, place);
    const { block, depth } = place;
    for (let position = block.children.length - 1; position >= 0; position--) {
      const child = block.children[position] as Child;
      const inner = isColumn(block) ? depth : depth + 1; // the column has no box, so a screen reader must not count it
      stack.push({ block: child.block, parent: block, role: child.role, position, siblings: block.children.length, depth: inner });
    }
  }
  return index;
}

/** Blocks with frames around them that stand side by side rather than one after the other. */
export function isParallel(block: Block): boolean {
  return block.shape === "join" || block.shape === "race" || block.shape === "decision";
}

/** A sequence without a name is a column of steps and no block of its own; one with a name has a frame around it. */
export const isColumn = (block: Block): boolean => block.shape === "sequence" && block.name === null;

/** Blocks that the canvas shows, in reading order: nothing inside a folded one. */
export function visible(root: Block | null, folded: ReadonlySet<string>): Block[] {
  const shown: Block[] = [];
  const stack = root ? [root] : [];
  for (let block = stack.pop(); block; block = stack.pop()) {
    if (!isColumn(block)) shown.push(block);
    if (folded.has(block.id)) continue;
    for (const child of [...block.children].reverse()) stack.push(child.block);
  }
  return shown;
}

/** The smallest block whose span, moved by `map`, contains [from, to]; where two spans touch, the one that starts at `from`. */
export function blockAt(root: Block | null, from: number, to: number, map = (offset: number): number => offset): Block | null {
  let found: Block | null = null;
  let block = root;
  while (block) {
    if (!isColumn(block)) found = block;
    const inside: Block[] = block.children
      .map((child) => child.block)
      .filter((one) => map(one.span[0]) <= from && to <= map(one.span[1]));
    block = inside.find((one) => map(one.span[0]) === from) ?? inside[0] ?? null;
  }
  return found;
}

/** The block that shows a syntax error at `offset`: the one around it; between two steps the one before. */
export function blockNear(root: Block | null, offset: number, map: (offset: number) => number): Block | null {
  let found: Block | null = null;
  for (let block = root; block; ) {
    if (!isColumn(block)) found = block;
    const inside: Block[] = block.children.map((child) => child.block);
    const around: Block | undefined = inside.find((one) => map(one.span[0]) <= offset && offset <= map(one.span[1]));
    if (around) block = around;
    else if (block.shape !== "sequence") return found;
    else return firstStep(inside.filter((one) => map(one.span[1]) <= offset).at(-1) ?? (inside[0] as Block));
  }
  return found;
}

/** The block that a gesture made or changed at `offset`: the outermost one that starts there. */
export function blockStarting(index: Index, offset: number): Block | null {
  for (const { block } of index.values()) {
    if (!isColumn(block) && block.span[0] === offset) return block;
  }
  return null;
}

/** The block of another drawing that is this one: same place in the text and same kind. */
export function sameBlock(index: Index, span: [number, number], kind: string): Block | null {
  for (const { block } of index.values()) {
    if (block.kind === kind && block.span[0] === span[0] && block.span[1] === span[1]) return block;
  }
  return null;
}

export function enclosing(index: Index, id: string): Block | null {
  let place = index.get(id);
  while (place?.parent) {
    if (!isColumn(place.parent)) return place.parent;
    place = index.get(place.parent.id);
  }
  return null;
}

/** The neighbouring arm or branch, `by` steps to the right; null at the edge. */
export function beside(index: Index, id: string, by: 1 | -1): Block | null {
  for (let place = index.get(id); place?.parent; place = index.get(place.parent.id)) {
    if (!isParallel(place.parent) || place.role === "condition") continue;
    const next = place.parent.children[place.position + by];
    if (next && next.role !== "condition") return firstStep(next.block);
  }
  return null;
}

export function firstStep(block: Block): Block {
  let first = block;
  while (isColumn(first) && first.children[0]) first = first.children[0].block;
  return first;
}

/** The block before or after in the same sequence, where a keyboard move puts this one. */
export function inSequence(index: Index, id: string, by: 1 | -1): Block | null {
  const place = index.get(id);
  if (place?.parent?.shape !== "sequence") return null;
  return place.parent.children[place.position + by]?.block ?? null;
}

/** The first or last step inside a block, beside which another can be put; undefined when nothing is inside. */
export function innerStep(block: Block | null, side: 1 | -1): Block | undefined {
  const parts = (block?.children ?? []).filter((child) => child.role !== "condition");
  const part = (side === 1 ? parts[0] : parts.at(-1))?.block;
  return part && isColumn(part) ? part.children.at(side === 1 ? 0 : -1)?.block : part;
}

export const branching = (block: Block): boolean => block.shape === "join" || block.shape === "race";

export const isEndless = (block: Block): boolean => block.shape === "loop" && !block.children.some((child) => child.role === "condition");

/** The title of a frame. IF_ROWS has its question in the diamond inside, so the frame says only "if". */
export const frameTitle = (block: Block): string => (block.kind === "IF_ROWS" ? "if" : block.title);

/** The parts of a block that "unwrap" can keep. The steps of a sequence are not such parts. */
export function keepable(block: Block): Child[] {
  return block.children.filter((child) => child.role !== "step");
}

export function countSteps(block: Block): number {
  let count = 0;
  for (const { block: one } of indexOf(block).values()) if (one.children.length === 0) count++;
  return count;
}

/** The position of the program that contains the block, else of the one at the offset; null when there is none. */
export function programOf(programs: Program[], block: string | null, offset: number | null, map = (at: number): number => at): number | null {
  const has = programs.findIndex(({ root }) => block !== null && indexOf(root).has(block));
  if (has >= 0 || offset === null) return has < 0 ? null : has;
  const at = programs.findIndex(({ span }) => map(span[0]) <= offset && offset <= map(span[1]));
  return at < 0 ? null : at;
}
