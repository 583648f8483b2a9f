// Menus and the like: in the browser's top layer, where neither the canvas nor a notebook's cell clips them, and moved
// so that they fit into the window.

import { useLayoutEffect, useRef, type HTMLAttributes, type RefObject } from "react";

const EDGE_PIXELS = 8;

/** In pixels of the window. above: the bottom edge to use when there is no room below `top`. */
export interface Spot {
  left: number;
  top: number;
  above?: number;
}

/** at: called after every render, when the element beside it has its final position. */
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

/** Covers the window, so that a press outside of a menu closes it and does nothing else. */
export function Backdrop({ onPress }: { onPress(): void }) {
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
