// Everything on the canvas except the blocks: wires, the `+` buttons, and dotted lines from the steps whose results the
// selected block reads.

import { useStore as useFlow } from "@xyflow/react";
import { memo, type CSSProperties } from "react";
import { useDesigner, useDesignerState } from "../state/context";
import { Icon } from "../parts/icons";
import type { Box, Picture, Slot, Wire } from "./boxes";
import { editable } from "../state/state";

const ROUND = 8;
/** A `+` keeps its size on the screen when the canvas is zoomed out, up to this. */
const LARGEST_SLOT = 1.35;

/** A line through the corners, each of them rounded. */
function path(points: Wire["points"]): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let d = `M${first[0]} ${first[1]}`;
  rest.forEach(([x, y], position) => {
    const next = rest[position + 1];
    const [px, py] = points[position] as [number, number];
    // Two roundings share a short segment, so each gets at most half of it.
    const room = next ? Math.min(ROUND, Math.hypot(x - px, y - py) / 2, Math.hypot(next[0] - x, next[1] - y) / 2) : 0;
    d += `L${x - Math.sign(x - px) * room} ${y - Math.sign(y - py) * room}`;
    if (next) d += `Q${x} ${y} ${x + Math.sign(next[0] - x) * room} ${y + Math.sign(next[1] - y) * room}`;
  });
  return d;
}

function head(points: Wire["points"]): string {
  const [x, y] = points.at(-1) as [number, number];
  const [px, py] = points.at(-2) as [number, number];
  const [dx, dy] = [Math.sign(x - px), Math.sign(y - py)];
  return `M${x - 6 * dx - 4 * dy} ${y - 6 * dy - 4 * dx}L${x} ${y}L${x - 6 * dx + 4 * dy} ${y - 6 * dy + 4 * dx}Z`;
}

export const Wires = memo(function Wires({ picture }: { picture: Picture }) {
  return (
    <svg className="pw-wires" width={picture.width} height={picture.height} aria-hidden="true">
      {picture.wires.map((wire) => (
        <g key={wire.id} className={`pw-wire pw-wire-${wire.kind}`}>
          <path d={path(wire.points)} />
          {wire.arrow && <path className="pw-head" d={head(wire.points)} />}
          {wire.label && <Label wire={wire} />}
        </g>
      ))}
    </svg>
  );
});

function Label({ wire }: { wire: Wire }) {
  const [[x, y] = [0, 0], second] = wire.points;
  const left = wire.kind === "again";
  // The wire back of a loop has its label beside the diamond; the others to the right of their start.
  return (
    <text x={left ? (second?.[0] ?? x) + 5 : x + 17} y={left ? y - 22 : y + 15}>
      {wire.label}
    </text>
  );
}

/** Where the values that the selected block reads come from. */
export function DataWires({ picture }: { picture: Picture }) {
  const selected = useDesignerState((state) => state.selected);
  const places = new Map(picture.boxes.map((box) => [box.block.id, box]));
  const to = selected === null ? undefined : places.get(selected);
  if (!to) return null;
  return (
    <svg className="pw-wires pw-datawires" width={picture.width} height={picture.height} aria-hidden="true">
      {to.block.reads.flatMap((read) =>
        read.from.map((id) => {
          const from = places.get(id);
          return from && from !== to ? <DataWire key={`${read.name}:${id}`} from={from} to={to} /> : null;
        }),
      )}
    </svg>
  );
}

function DataWire({ from, to }: { from: Box; to: Box }) {
  const [x1, y1] = [from.x + from.width, from.y + from.height / 2];
  const [x2, y2] = [to.x + to.width, to.y + to.height / 2];
  const out = Math.max(x1, x2) + 30 + Math.min(40, Math.abs(y2 - y1) / 10);
  return (
    <g className="pw-wire pw-wire-data">
      <path d={`M${x1} ${y1}C${out} ${y1} ${out} ${y2} ${x2} ${y2}`} />
      <path className="pw-head" d={`M${x2 + 7} ${y2 - 4}L${x2} ${y2}L${x2 + 7} ${y2 + 4}Z`} />
    </g>
  );
}

export const Slots = memo(function Slots({ slots }: { slots: Slot[] }) {
  const active = useDesignerState(editable);
  const zoom = useFlow((state) => state.transform[2]);
  if (!active) return null;
  const style = { "--slot-scale": Math.min(LARGEST_SLOT, Math.max(1, 1 / zoom)) } as CSSProperties;
  return (
    <div className="pw-slots" style={style}>
      {slots.map((slot) => (
        <SlotButton key={slot.id} slot={slot} />
      ))}
    </div>
  );
});

function SlotButton({ slot }: { slot: Slot }) {
  const designer = useDesigner();
  const over = useDesignerState((state) => state.dragging?.over === slot.id || (state.menu !== null && state.menu.slot === slot));
  return (
    <button
      type="button"
      className={over ? "pw-slot pw-slot-over nopan" : "pw-slot nopan"}
      style={{ left: slot.x, top: slot.y }}
      data-slot={slot.id}
      aria-label={slot.label}
      title={slot.label}
      tabIndex={-1}
      onClick={(event) => designer.set({ menu: { slot, x: event.clientX, y: event.clientY } })}
    >
      <Icon name="plus" size={12} />
    </button>
  );
}
