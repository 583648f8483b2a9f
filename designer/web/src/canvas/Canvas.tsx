// The canvas: React Flow moves and zooms it, layout.ts computes all positions.

import { Background, Controls, MiniMap, ReactFlow, ReactFlowProvider, useReactFlow, useStore as useFlow, ViewportPortal, type Node } from "@xyflow/react";
import { useEffect, useMemo, useRef } from "react";
import { BlockNode, domId, type BlockData } from "./BlockNode";
import { useDesigner, useDesignerState } from "../state/context";
import { canvasKey } from "./keys";
import type { Picture } from "./boxes";
import { layOut } from "./layout";
import { editable, shownProgram } from "../state/state";
import { Toolbar } from "./Toolbar";
import { indexOf, type Index } from "../state/tree";
import { DataWires, Slots, Wires } from "./Wires";

const NODE_TYPES = { block: BlockNode };
/** Room around what is shown; the toolbar of a selected block fits in. */
const MARGIN = 44;
const TOOLBAR_HEIGHT = 120;
const SMALLEST_READABLE = 0.5;
const READABLE = 0.85;
/** Smallest zoom of the first view. In a notebook the view is small and the page scrolls, so its text must be readable. */
const SMALLEST_START = { studio: 0.6, widget: READABLE };

export function Canvas() {
  return (
    <ReactFlowProvider>
      <Flow />
    </ReactFlowProvider>
  );
}

function Flow() {
  const designer = useDesigner();
  const program = useDesignerState(shownProgram);
  const folded = useDesignerState((state) => state.folded);
  const theme = useDesignerState((state) => state.theme);
  const selected = useDesignerState((state) => state.selected);
  const past = useDesignerState((state) => (state.run?.past ? state.run.instance : null));
  const root = program?.root ?? null;
  const index = useMemo(() => indexOf(root), [root]);
  const picture = useMemo(() => layOut(root, folded), [root, folded]);
  const nodes = useMemo(() => nodesOf(picture, index, folded), [picture, index, folded]);

  return (
    <div
      className="pw-canvas"
      data-testid="canvas"
      role="tree"
      aria-label={program ? `Workflow ${program.label ?? program.name}` : "Workflow"}
      aria-activedescendant={selected === null ? undefined : domId(selected)}
      aria-owns={nodes.map((node) => domId(node.id)).join(" ")}
      tabIndex={0}
      onKeyDown={(event) => canvasKey(designer, index, event)}
    >
      <ReactFlow
        nodes={nodes}
        edges={[]}
        nodeTypes={NODE_TYPES}
        colorMode={theme}
        nodesDraggable={false}
        nodesConnectable={false}
        nodesFocusable={false}
        elementsSelectable={false}
        onlyRenderVisibleElements
        disableKeyboardA11y
        deleteKeyCode={null}
        selectionKeyCode={null}
        multiSelectionKeyCode={null}
        panActivationKeyCode={null}
        zoomOnDoubleClick={false}
        panOnScroll
        minZoom={0.05}
        maxZoom={2}
        onMoveStart={(byHand) => byHand && designer.set({ tools: null })}
        onPaneClick={() => designer.select(null)}
      >
        <Background gap={24} size={1} />
        <ViewportPortal>
          <Wires picture={picture} />
          <DataWires picture={picture} />
          <Slots slots={picture.slots} />
        </ViewportPortal>
        <Overview picture={picture} />
        <Controls showInteractive={false} position="bottom-left" />
        <Toolbar index={index} picture={picture} />
        <Camera picture={picture} program={program ? `${past ?? ""}:${program.index}` : ""} />
      </ReactFlow>
      {!root && <Empty />}
    </div>
  );
}

function nodesOf(picture: Picture, index: Index, folded: ReadonlySet<string>): Node[] {
  const boxes = new Map(picture.boxes.map((box) => [box.block.id, box]));
  // In reading order, for screen readers: a condition comes before its branches.
  return [...index].flatMap(([id, place]) => {
    const box = boxes.get(id);
    if (!box) return [];
    const frame = box.outline === "frame" || box.outline === "sequence";
    const data: BlockData = { box, place, folded: folded.has(box.block.id) };
    const { width, height } = box;
    return {
      id: box.block.id,
      type: "block",
      position: { x: box.x, y: box.y },
      data,
      width,
      height,
      measured: { width, height },
      zIndex: frame ? 0 : 2,
      className: frame ? "pw-node-frame nopan" : "nopan",
    };
  });
}

/** Only when the program does not fit into the window. */
function Overview({ picture }: { picture: Picture }) {
  const needed = useFlow(({ width, height, transform: [, , zoom] }) => picture.width * zoom > width || picture.height * zoom + MARGIN > height);
  return needed ? <MiniMap pannable zoomable nodeColor={miniColour} nodeStrokeWidth={0} ariaLabel="Overview" /> : null;
}

function miniColour(node: Node): string {
  const { box } = node.data as BlockData;
  if (box.outline === "sequence") return "transparent";
  return box.outline === "frame" ? `var(--mini-frame)` : `var(--mini-${box.outline}, var(--mini-step))`;
}

/** Moves the view: to the top of a program when it is opened, to the selected block when that is out of sight. */
function Camera({ picture, program }: { picture: Picture; program: string }) {
  const flow = useReactFlow();
  const [width, height] = useFlow((state) => [state.width, state.height] as const, (a, b) => a[0] === b[0] && a[1] === b[1]);
  const reveal = useDesignerState((state) => state.reveal);
  const selected = useDesignerState((state) => state.selected);
  const home = useDesignerState((state) => state.home);
  const opened = useRef<string | null>(null);
  const revealed = useRef(0);

  useEffect(() => {
    if (width === 0 || height === 0 || picture.width === 0 || opened.current === program) return;
    opened.current = program;
    const [across, down] = [(width - 2 * MARGIN) / picture.width, (height - 2 * MARGIN) / picture.height];
    const whole = Math.min(across, down, 1);
    const smallest = SMALLEST_START[home];
    // The whole program if it is readable then; else its top at full width.
    const zoom = whole >= smallest ? whole : Math.max(smallest, Math.min(across, READABLE));
    void flow.setViewport({ x: (width - picture.width * zoom) / 2 - picture.left * zoom, y: MARGIN, zoom });
  }, [flow, picture, program, width, height, home]);

  useEffect(() => {
    if (revealed.current === reveal) return;
    revealed.current = reveal;
    const box = picture.boxes.find((one) => one.block.id === selected);
    if (!box || width === 0) return;
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const duration = still ? 0 : 200;
    const { x, y, zoom } = flow.getViewport();
    if (zoom < SMALLEST_READABLE) {
      void flow.setCenter(box.x + box.width / 2, box.y + Math.min(box.height, height) / 2, { zoom: SMALLEST_READABLE, duration });
      return;
    }
    const dx = into(box.x * zoom + x, box.width * zoom, width);
    const dy = into(box.y * zoom + y, Math.max(box.height * zoom, TOOLBAR_HEIGHT), height);
    if (dx !== 0 || dy !== 0) void flow.setViewport({ x: x + dx, y: y + dy, zoom }, { duration });
  }, [flow, picture, reveal, selected, width, height]);
  return null;
}

/** How far a range must move to be inside [0, room] with a margin; of one that is too long, its start is shown. */
function into(start: number, length: number, room: number): number {
  const end = Math.min(start + length, start + room - 2 * MARGIN);
  if (start < MARGIN) return MARGIN - start;
  return end > room - MARGIN ? room - MARGIN - end : 0;
}

function Empty() {
  const designer = useDesigner();
  const active = useDesignerState((state) => editable(state) && state.drawing !== null);
  if (!active) return null;
  const slot = { where: "into" as const, target: "", label: "Add the first step" };
  return (
    <div className="pw-empty">
      <p>This workflow has no steps yet.</p>
      <button
        type="button"
        className="pw-button pw-primary"
        onClick={(event) => designer.set({ menu: { slot, x: event.clientX, y: event.clientY } })}
      >
        Add the first step
      </button>
      <p className="pw-hint">or type it in the text pane.</p>
    </div>
  );
}
