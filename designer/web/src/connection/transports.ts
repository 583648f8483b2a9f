// The two ways to Python: a WebSocket (pgweave studio) and anywidget's custom messages (notebooks).

import type { Transport } from "./wire";

/** The part of anywidget's model that is used. */
export interface Model {
  send(message: unknown): void;
  on(event: "msg:custom", handler: (message: object) => void): void;
  off(event: "msg:custom", handler: (message: object) => void): void;
}

const RETRY_MILLISECONDS = [250, 500, 1000, 2000, 4000];

/** Reconnects by itself until closed. A message sent while it is not open is dropped; Wire refuses the requests pending then. */
export function websocket(address: URL | string): Transport {
  const url = new URL(address);
  url.protocol = url.protocol.replace("http", "ws");
  let socket: WebSocket | null = null;
  let closed = false;
  let failures = 0;
  let receive: (message: object) => void = () => undefined;
  let changed: (open: boolean) => void = () => undefined;

  const connect = (): void => {
    const opening = new WebSocket(url);
    socket = opening;
    opening.onopen = () => {
      failures = 0;
      changed(true);
    };
    opening.onmessage = (event) => receive(JSON.parse(String(event.data)) as object);
    opening.onclose = () => {
      changed(false);
      const pause = RETRY_MILLISECONDS[Math.min(failures++, RETRY_MILLISECONDS.length - 1)];
      if (!closed) setTimeout(connect, pause);
    };
  };

  return {
    send: (message) => {
      if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
    },
    listen: (handler) => {
      receive = handler;
    },
    status: (handler) => {
      changed = handler;
      connect();
    },
    close: () => {
      closed = true;
      socket?.close();
    },
  };
}

export function custom(model: Model): Transport {
  let handler: ((message: object) => void) | null = null;
  return {
    send: (message) => model.send(message),
    listen: (receive) => {
      handler = receive;
      model.on("msg:custom", receive);
    },
    close: () => {
      if (handler) model.off("msg:custom", handler);
    },
  };
}
