// What lies above everything: in the browser's top layer, where neither the canvas nor a notebook's cell clips it, and
// beside its place as far as the window has room.

import { useLayoutEffect, useRef, type HTMLAttributes, type RefObject } from "react";

const EDGE_PIXELS = 8;

/** In pixels of the window. above: where it ends when there is no room below `top`. */
export interface Spot {
  left: number;
  top: number;
  above?: number;
}

/** at: asked after every redraw, when what it stands beside has its place. */
export function Floating({ at, className, ...rest }: { at(): Spot } & HTMLAttributes<HTMLDivElement>) {
  const element = useTopLayer();
  useLayoutEffect(() => {
    const { left, top, above } = at();
    const { style, offsetWidth: width, offsetHeight: height } = element.current as HTMLDivElement;
    const down = top + height + EDGE_PIXELS <= window.innerHeight || above === undefined;
    style.left = `${within(left, width, window.innerWidth)}px`;
    style.top = `${within(down ? top : above - height, height, window.innerHeight)}px`;
  });
  return <div ref={element} popover="manual" className={`pw-floating ${className ?? ""}`} {...rest} />;
}

/** Everything under the pointer, so that a press beside what floats closes it. */
export function Veil({ onPress }: { onPress(): void }) {
  return <div ref={useTopLayer()} popover="manual" className="pw-veil" onPointerDown={onPress} />;
}

function within(start: number, length: number, room: number): number {
  return Math.max(EDGE_PIXELS, Math.min(start, room - length - EDGE_PIXELS));
}

function useTopLayer(): RefObject<HTMLDivElement | null> {
  const element = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (!element.current?.matches(":popover-open")) element.current?.showPopover();
  }, []);
  return element;
}
