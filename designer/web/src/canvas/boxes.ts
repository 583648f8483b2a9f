// The pieces that layout.ts puts together: a step, a frame, and what they are made of.

import type { Block } from "../protocol";
import type { Destination } from "../state/state";
import { countSteps } from "../state/tree";

export type Outline = "step" | "wait" | "decision" | "break" | "http" | "opaque" | "frame" | "folded" | "sequence";

export interface Box {
  block: Block;
  outline: Outline;
  x: number;
  y: number;
  width: number;
  height: number;
  /** Lines of detail that fit. */
  lines: number;
  /** Of a frame whose condition is not a block of its own (IF_ROWS): the diamond's place inside it. */
  question: Rect | null;
}

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Wire {
  id: string;
  kind: "then" | "fork" | "again";
  /** Corners; drawn rounded. */
  points: [number, number][];
  arrow: boolean;
  label: string | null;
}

/** A `+` on the canvas: a step can be added or moved there. */
export interface Slot extends Destination {
  id: string;
  x: number;
  y: number;
}

export interface Picture {
  boxes: Box[];
  wires: Wire[];
  slots: Slot[];
  /** x of the left edge; 0 is the wire through the whole program, so that it stays where it is when widths change. */
  left: number;
  width: number;
  height: number;
}

export const STEP_WIDTH = 248;
export const HEADER = 36;
const LINE = 16;
const MOST_LINES = 3;
/** Characters of a line in a step: of SQL in the fixed-width font, of words on average. */
const CODE_CHARACTERS = 31;
const WORD_CHARACTERS = 34;
export const GAP = 40;
export const STUB = 30;
const PADDING = 18;
export const BETWEEN = 22;
export const LANE = 30;
export const BAR = 20;

/** A part with its own origin; `axis` is the x of the wires that enter and leave it. */
export interface Part extends Picture {
  axis: number;
}

export const emptyPart = (): Part => ({ boxes: [], wires: [], slots: [], left: 0, width: 0, height: 0, axis: 0 });

export function single(block: Block, outline: Outline): Part {
  const lines = outline === "folded" ? 1 : detailLines(block);
  const chips = block.name !== null || block.badge !== null;
  const width = STEP_WIDTH + (outline === "decision" ? 44 : outline === "wait" || outline === "break" ? 16 : 0);
  const height = 38 + lines * LINE + (chips ? 24 : 0);
  const box: Box = { block, outline, x: 0, y: 0, width, height, lines, question: null };
  return { ...emptyPart(), boxes: [box], width, height, axis: width / 2 };
}

/** The width of a frame's header: title, chips, and the state of a run beside them. */
function headerWidth(block: Block): number {
  const chips = [block.name && `→ ${block.name}`, block.badge].reduce((sum, chip) => sum + (chip === null ? 0 : 6.5 * chip.length + 18), 0);
  return Math.min(560, 150 + 7.5 * block.title.length + 7 * Math.min(24, block.detail.length) + chips);
}

/** Puts a frame with a header around `inner`, which begins below the header. */
export function frame(block: Block, inner: Part, question: Rect | null = null): Part {
  const width = Math.max(inner.width + 2 * PADDING, headerWidth(block));
  const left = Math.max(PADDING, Math.min(width / 2 - inner.axis, width - PADDING - inner.width));
  const height = HEADER + inner.height + PADDING / 2;
  const moved = question && { ...question, x: question.x + left, y: question.y + HEADER };
  const whole = emptyPart();
  whole.boxes.push({ block, outline: "frame", x: 0, y: 0, width, height, lines: 0, question: moved });
  merge(whole, inner, left, HEADER);
  const axis = left + inner.axis;
  whole.wires.push({ id: `${block.id}:exit`, kind: "then", points: [[axis, HEADER + inner.height], [axis, height]], arrow: false, label: null });
  return { ...whole, width, height, axis };
}

export function merge(into: Part, part: Picture, dx: number, dy: number): void {
  for (const box of part.boxes) {
    const question = box.question && { ...box.question, x: box.question.x + dx, y: box.question.y + dy };
    into.boxes.push({ ...box, x: box.x + dx, y: box.y + dy, question });
  }
  for (const wire of part.wires) {
    into.wires.push({ ...wire, points: wire.points.map(([x, y]) => [x + dx, y + dy]) });
  }
  for (const slot of part.slots) into.slots.push({ ...slot, x: slot.x + dx, y: slot.y + dy });
}

/** Characters that turn the text behind them around, as marks; Python does the same with every other text of a block. */
const inOrder = (text: string): string => text.replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

/** SQL is shown from the whole statement: `detail` has only its first line, and more than that fits. */
export function detailOf(block: Block): string {
  return (block.sql ? inOrder(block.sql.value).replace(/\s+/g, " ") : block.detail).trim();
}

/** Lines that the detail takes, broken between words as the browser breaks it. */
function detailLines(block: Block): number {
  const room = block.sql ? CODE_CHARACTERS : WORD_CHARACTERS;
  let [lines, used] = [0, room];
  for (const word of detailOf(block).split(" ")) {
    const length = wide(word);
    if (length === 0) continue;
    if (used + 1 + length > room) {
      lines += Math.ceil(length / room);
      used = length % room || room;
    } else used += 1 + length;
    if (lines >= MOST_LINES) return MOST_LINES;
  }
  return lines;
}

/** Characters, those of East Asian scripts and pictures counted as two. */
function wide(word: string): number {
  return /^[\x20-\x7e]*$/.test(word) ? word.length : [...word].reduce((sum, one) => sum + (one >= "\u1100" ? 2 : 1), 0);
}

/** The text of a folded frame. */
export function foldedDetail(block: Block): string {
  const steps = countSteps(block);
  return steps === 1 ? "1 step" : `${steps} steps`;
}
