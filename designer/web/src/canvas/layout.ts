// The position of every block, wire and `+` of a program. Blocks nest, so this is a box model: a sequence is a column on
// one axis, branches and arms are columns side by side in a frame. Sizes are computed from the text alone, nothing is
// measured in the page: equal drawings give equal pictures.
//
// dagre was tried per frame: it moved the `else` arm before the `then` arm when that was wider, and took 230 ms for a
// column of 500 steps; this takes 10 ms for as many blocks of all kinds.

import { BAR, BETWEEN, emptyPart, frame, GAP, HEADER, LANE, merge, single, STUB, type Part, type Picture } from "./boxes";
import type { Block, Child } from "../protocol";
import { isColumn } from "../state/tree";

export function layOut(root: Block | null, folded: ReadonlySet<string>): Picture {
  if (!root) return emptyPart();
  const part = column(root, folded);
  const picture = { ...emptyPart(), left: -part.axis, width: part.width, height: part.height };
  merge(picture, part, -part.axis, 0);
  return picture;
}

/** Blocks one below the other, with a `+` before and after. A column with several steps gets a box that can be selected. */
function column(block: Block, folded: ReadonlySet<string>): Part {
  if (!isColumn(block) || folded.has(block.id)) return stacked([block], folded);
  const whole = stacked(steps(block), folded);
  if (block.children.length > 1) {
    const rect = { x: -6, y: STUB - 6, width: whole.width + 12, height: whole.height - 2 * STUB + 12 };
    whole.boxes.unshift({ block, outline: "sequence", ...rect, lines: 0, question: null });
  }
  return whole;
}

const steps = (block: Block): Block[] => block.children.map((child) => child.block);

function stacked(blocks: Block[], folded: ReadonlySet<string>): Part {
  const parts = blocks.map((one) => place(one, folded));
  const whole = emptyPart();
  whole.axis = Math.max(...parts.map((part) => part.axis));
  whole.width = whole.axis + Math.max(...parts.map((part) => part.width - part.axis));
  const put = (part: Part, y: number): void => merge(whole, part, whole.axis - part.axis, y);

  let y = STUB;
  parts.forEach((part, position) => {
    const one = blocks[position] as Block;
    const from = position === 0 ? 0 : y - GAP;
    link(whole, `${one.id}:in`, from, y, true);
    if (position === 0) addSlot(whole, one, "before", from + 11);
    put(part, y);
    y += part.height;
    const last = position === parts.length - 1;
    addSlot(whole, one, "after", y + (last ? STUB - 11 : GAP / 2 - 3));
    if (last) link(whole, `${one.id}:out`, y, y + STUB, false);
    else y += GAP;
  });
  whole.height = y + STUB;
  return whole;
}

function link(part: Part, id: string, from: number, to: number, arrow: boolean): void {
  part.wires.push({ id, kind: "then", points: [[part.axis, from], [part.axis, to]], arrow, label: null });
}

function addSlot(part: Part, block: Block, where: "before" | "after", y: number): void {
  const label = `Add a step ${where} ${[block.title, block.detail].filter(Boolean).join(", ")}`;
  part.slots.push({ id: `${where}:${block.id}`, x: part.axis, y, where, target: block.id, label });
}

function place(block: Block, folded: ReadonlySet<string>): Part {
  if (block.children.length > 0 && folded.has(block.id)) return single(block, "folded");
  switch (block.shape) {
    case "join":
    case "race":
      return branches(block, folded);
    case "decision":
      return block.children.length > 0 ? decision(block, folded) : single(block, "decision");
    case "loop":
      return loop(block, folded);
    case "child":
      return block.children.length > 0 ? child(block, folded) : single(block, "step");
    case "sequence":
      return block.name === null ? column(block, folded) : frame(block, stacked(steps(block), folded));
    default:
      return single(block, block.shape);
  }
}

/** Columns side by side between two bars, tops in line; labels above each. */
function columns(block: Block, children: Child[], labels: (string | null)[], folded: ReadonlySet<string>, top: number): Part {
  const parts = children.map((one) => column(one.block, folded));
  const whole = emptyPart();
  const height = Math.max(...parts.map((part) => part.height));
  const axes: number[] = [];
  let x = 0;
  parts.forEach((part, position) => {
    merge(whole, part, x, top);
    axes.push(x + part.axis);
    const id = `${block.id}:${position}`;
    if (labels[position]) {
      const start: [number, number] = [x + part.axis, top]; // a wire without length: only its label is drawn
      whole.wires.push({ id: `${id}:label`, kind: "fork", points: [start, start], arrow: false, label: labels[position] ?? null });
    }
    whole.wires.push({
      id: `${id}:end`,
      kind: "then",
      points: [[x + part.axis, top + part.height], [x + part.axis, top + height]],
      arrow: false,
      label: null,
    });
    x += part.width + BETWEEN;
  });
  whole.width = x - BETWEEN;
  const [first, last] = [Math.min(...axes), Math.max(...axes)];
  for (const [name, y] of [["fork", top], ["meet", top + height]] as const) {
    whole.wires.push({ id: `${block.id}:${name}`, kind: "fork", points: [[first, y], [last, y]], arrow: false, label: null });
  }
  whole.axis = (first + last) / 2;
  whole.height = top + height;
  return whole;
}

function branches(block: Block, folded: ReadonlySet<string>): Part {
  const inner = columns(block, block.children, [], folded, BAR);
  inner.wires.push(
    { id: `${block.id}:enter`, kind: "then", points: [[inner.axis, 0], [inner.axis, BAR]], arrow: false, label: null },
    { id: `${block.id}:leave`, kind: "then", points: [[inner.axis, inner.height], [inner.axis, inner.height + BAR]], arrow: false, label: null },
  );
  inner.height += BAR;
  const framed = frame(block, inner);
  const slot = { x: framed.width - 20, y: HEADER / 2, target: block.id, label: `Add a branch to ${block.title}` };
  framed.slots.push({ id: `branch:${block.id}`, where: "branch", ...slot });
  return framed;
}

function decision(block: Block, folded: ReadonlySet<string>): Part {
  const condition = block.children.find((child) => child.role === "condition");
  const arms = block.children.filter((child) => child.role !== "condition");
  const asked = condition ? conditionPart(condition.block, folded) : single({ ...block, name: null, badge: null, detail: "" }, "decision");
  const below = BAR + asked.height + BAR;
  const inner = columns(block, arms, arms.map((arm) => (arm.role === "then" ? "yes" : "no")), folded, below);
  const shift = Math.max(0, asked.axis - inner.axis); // when the diamond reaches further left than the arms
  const whole = emptyPart();
  merge(whole, inner, shift, 0);
  whole.axis = inner.axis + shift;
  whole.width = Math.max(inner.width + shift, whole.axis + asked.width - asked.axis);
  whole.height = inner.height + BAR;
  const rect = { x: whole.axis - asked.axis, y: BAR, width: asked.width, height: asked.height };
  if (condition) merge(whole, asked, rect.x, rect.y);
  whole.wires.push(
    { id: `${block.id}:enter`, kind: "then", points: [[whole.axis, 0], [whole.axis, BAR]], arrow: true, label: null },
    { id: `${block.id}:asked`, kind: "then", points: [[whole.axis, BAR + asked.height], [whole.axis, below]], arrow: false, label: null },
    { id: `${block.id}:leave`, kind: "then", points: [[whole.axis, inner.height], [whole.axis, whole.height]], arrow: false, label: null },
  );
  return frame(block, whole, condition ? null : rect);
}

/** A condition: a single SQL step is drawn as a diamond, anything larger as the block that it is. */
function conditionPart(block: Block, folded: ReadonlySet<string>): Part {
  return block.shape === "step" ? single(block, "decision") : place(block, folded);
}

/** The body, then the condition if there is one; on the left the wire back to the start. */
function loop(block: Block, folded: ReadonlySet<string>): Part {
  const body = block.children.find((child) => child.role === "body");
  const condition = block.children.find((child) => child.role === "condition");
  const inner = body ? column(body.block, folded) : emptyPart();
  const asked = condition ? conditionPart(condition.block, folded) : null;
  const whole = emptyPart();
  whole.axis = LANE + Math.max(inner.axis, asked?.axis ?? 0);
  const right = Math.max(inner.width - inner.axis, asked ? asked.width - asked.axis : 0);
  whole.width = whole.axis + right + LANE / 2;
  merge(whole, inner, whole.axis - inner.axis, 0);
  let end = inner.height;
  let from: [number, number] = [whole.axis, end];
  if (asked) {
    whole.wires.push({ id: `${block.id}:ask`, kind: "then", points: [[whole.axis, end - 2], [whole.axis, end + 6]], arrow: true, label: null });
    end += 6;
    const x = whole.axis - asked.axis;
    merge(whole, asked, x, end);
    from = [x, end + asked.height / 2];
    whole.wires.push({
      id: `${block.id}:leave`,
      kind: "then",
      points: [[whole.axis, end + asked.height], [whole.axis, end + asked.height + BAR]],
      arrow: false,
      label: "no",
    });
    end += asked.height + BAR;
  }
  const back: [number, number][] = [from, [LANE / 2, from[1]], [LANE / 2, 4], [whole.axis - 3, 4]];
  whole.wires.push({ id: `${block.id}:again`, kind: "again", points: back, arrow: true, label: asked ? "yes" : null });
  whole.height = end;
  return frame(block, whole);
}

function child(block: Block, folded: ReadonlySet<string>): Part {
  const [first] = block.children;
  return frame(block, first ? column(first.block, folded) : emptyPart());
}

