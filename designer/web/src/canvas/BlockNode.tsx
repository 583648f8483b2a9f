// One block on the canvas. A step is a shape with its text; a frame is a header above the blocks inside.

import type { NodeProps } from "@xyflow/react";
import { memo } from "react";
import { useDesigner, useDesignerState } from "../state/context";
import { startDrag } from "./drag";
import { duration } from "../parts/durations";
import { Icon } from "../parts/icons";
import { detailOf, foldedDetail, type Box } from "./boxes";
import type { StepState } from "../protocol";
import type { State } from "../state/state";
import { frameTitle, type Place } from "../state/tree";

export interface BlockData extends Record<string, unknown> {
  box: Box;
  place: Place;
  folded: boolean;
}

/** Only an ended step shows its duration: events come when its state changes, so a running one would stand still. */
const ENDED = new Set(["completed", "failed"]);

export const domId = (block: string): string => `pw-block-${block}`;

export const BlockNode = memo(function BlockNode({ data }: NodeProps) {
  const { box, place, folded } = data as BlockData;
  const designer = useDesigner();
  const { block } = box;
  const selected = useDesignerState((state) => state.selected === block.id);
  const dragged = useDesignerState((state) => state.dragging?.id === block.id);
  const problems = useDesignerState((state) => problemsOf(state, block.id));
  const run = useDesignerState((state) => stateOf(state, block.id));
  const classes = ["pw-block", `pw-as-${box.outline}`, `pw-is-${block.shape}`, `pw-kind-${block.kind.toLowerCase()}`];
  if (selected) classes.push("pw-selected");
  if (dragged) classes.push("pw-dragged");
  if (run) classes.push(`pw-run-${run.status}`);
  if (box.outline === "sequence" && !selected) return null;

  return (
    <div
      id={domId(block.id)}
      className={classes.join(" ")}
      data-block-id={block.id}
      data-status={run?.status}
      role="treeitem"
      aria-label={spokenLabel(data as BlockData, problems, run)}
      aria-selected={selected}
      aria-level={place.depth}
      aria-posinset={place.position + 1}
      aria-setsize={place.siblings}
      aria-expanded={block.children.length > 0 ? !folded : undefined}
      style={{ width: box.width, height: box.height }}
    >
      <Shape box={box} />
      <div
        className="pw-handle"
        onPointerDown={(event) => startDrag(designer, event, block)}
        onClick={() => designer.select(block.id)}
        onDoubleClick={() => (block.children.length > 0 ? designer.toggleFold(block.id) : designer.focusInspector())}
      >
        <BlockText box={box} folded={folded} run={run} />
      </div>
      {box.question && <Question box={box} />}
      {problems && <Problems problems={problems} />}
    </div>
  );
});

function BlockText({ box, folded, run }: { box: Box; folded: boolean; run: StepState | null }) {
  const { block } = box;
  const designer = useDesigner();
  const foldable = block.children.length > 0;
  return (
    <>
      <div className="pw-title">
        {foldable && (
          <button
            type="button"
            className="pw-fold"
            tabIndex={-1}
            aria-label={folded ? "Unfold" : "Fold"}
            onClick={(event) => {
              event.stopPropagation();
              designer.toggleFold(block.id);
            }}
          >
            <Icon name={folded ? "unfold" : "fold"} size={14} />
          </button>
        )}
        <Icon name={box.outline === "decision" ? "decision" : block.shape} />
        <span className="pw-verb">{box.outline === "frame" ? frameTitle(block) : block.title}</span>
        {box.outline === "frame" && <Chips box={box} />}
        {run && <RunMark run={run} />}
      </div>
      {box.outline !== "frame" && box.lines > 0 && (
        <div className={block.sql ? "pw-detail pw-code" : "pw-detail"} style={{ WebkitLineClamp: box.lines }}>
          {box.outline === "folded" ? foldedDetail(block) : detailOf(block)}
        </div>
      )}
      {box.outline !== "frame" && (block.name !== null || block.badge !== null) && (
        <div className="pw-chips">
          <Chips box={box} />
        </div>
      )}
    </>
  );
}

function Chips({ box: { block, outline, question } }: { box: Box }) {
  return (
    <>
      {outline === "frame" && !question && block.detail && !block.sql && <span className="pw-framedetail">{block.detail}</span>}
      {block.name !== null && (
        <span className="pw-chip pw-name" title={`Result name: ${block.name}`}>
          → {block.name}
        </span>
      )}
      {block.badge !== null && (
        <span className="pw-chip" title={block.badge}>
          {block.badge}
        </span>
      )}
    </>
  );
}

function RunMark({ run }: { run: StepState }) {
  const seconds = ENDED.has(run.status) ? run.duration_seconds : null;
  // A pending step shows its icon alone: the title needs the room.
  const words = run.status === "pending" ? null : seconds === null ? run.status : duration(seconds);
  return (
    <span className={`pw-mark pw-mark-${run.status}`} title={run.status}>
      <Icon name={run.status} size={12} />
      {words}
    </span>
  );
}

function Question({ box }: { box: Box }) {
  const { question, block } = box;
  if (!question) return null;
  const inner: Box = { ...box, ...question, outline: "decision" };
  return (
    <div className="pw-question" style={{ left: question.x - box.x, top: question.y - box.y, width: question.width, height: question.height }}>
      <Shape box={inner} />
      <div className="pw-handle">
        <div className="pw-title">
          <Icon name="decision" />
          <span className="pw-verb">{`${block.title} ${block.detail}`}</span>
        </div>
      </div>
    </div>
  );
}

function Shape({ box }: { box: Box }) {
  const { width: w, height: h, outline } = box;
  if (outline === "frame" || outline === "sequence") return null;
  return (
    <svg className="pw-shape" width={w} height={h} aria-hidden="true">
      <path d={outlinePath(outline, w, h)} />
      {outline === "http" && <path className="pw-inner" d={`M9 1V${h - 1}`} />}
      {outline === "folded" && <path className="pw-inner" d={`M6 ${h - 5}H${w - 6}`} />}
    </svg>
  );
}

function outlinePath(outline: Box["outline"], w: number, h: number): string {
  const [r, b] = [w - 1, h - 1];
  switch (outline) {
    case "wait":
      return `M15 1H${r - 14}L${r} 15V${b - 14}L${r - 14} ${b}H15L1 ${b - 14}V15Z`;
    case "decision":
      return `M24 1H${r - 23}L${r} ${h / 2}L${r - 23} ${b}H24L1 ${h / 2}Z`;
    case "break":
      return `M7 1H${r - 16}L${r} ${h / 2}L${r - 16} ${b}H7a6 6 0 0 1-6-6V7a6 6 0 0 1 6-6Z`;
    default:
      return `M8 1H${r - 7}a7 7 0 0 1 7 7V${b - 7}a7 7 0 0 1-7 7H8a7 7 0 0 1-7-7V8a7 7 0 0 1 7-7Z`;
  }
}

/** "error:2": the worst severity and how many; a string, so that equal ones are equal. */
function problemsOf(state: State, id: string): string {
  if (state.run?.past) return "";
  const mine = state.findings.filter((one) => one.block === id);
  const worst = ["error", "warning", "info"].find((severity) => mine.some((one) => one.severity === severity));
  return worst ? `${worst}:${mine.length}` : "";
}

function stateOf(state: State, id: string): StepState | null {
  if (!state.run?.event || (state.run.edited && !state.run.past)) return null;
  return state.run.event.states[id] ?? null;
}

function Problems({ problems }: { problems: string }) {
  const [severity, count] = problems.split(":");
  return (
    <span className={`pw-problems pw-${severity}`} title={count === "1" ? `1 ${severity}` : `${count} findings`}>
      <Icon name="warning" size={12} />
      {count}
    </span>
  );
}

function spokenLabel({ box: { block }, folded }: BlockData, problems: string, run: StepState | null): string {
  const words = [block.title, block.detail];
  if (block.name !== null) words.push(`result named ${block.name}`);
  if (block.badge !== null) words.push(block.badge);
  if (folded) words.push("folded");
  if (problems) words.push(problems.replace(":", " findings: "));
  if (run) words.push(run.status);
  return words.filter(Boolean).join(", ");
}
