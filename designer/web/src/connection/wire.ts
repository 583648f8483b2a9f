// Requests to Python with their replies, and events from it, over any transport.

import type { Requests, Event } from "../protocol";

export interface Transport {
  send(message: object): void;
  listen(receive: (message: object) => void): void;
  /** Calls `changed` when the connection opens or closes. A transport without it is always open. */
  status?(changed: (open: boolean) => void): void;
  close?(): void;
}

/** A request that was refused, with a message and advice to show. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly advice: string,
  ) {
    super(message);
  }
}

type Name = keyof Requests;
type Reply = { type: "reply"; re: number } & ({ ok: true } | { ok: false; message: string; advice: string });

interface Waiting {
  settle(answer: object): void;
  refuse(why: Refused): void;
  timer: ReturnType<typeof setTimeout>;
}

/** Long, as a first start creates a database. Needed at all, as a kernel that has ended closes no connection. */
const REPLY_TIMEOUT_MILLISECONDS = 60_000;

export class Wire {
  private readonly waiting = new Map<number, Waiting>();
  // Several views of one notebook widget receive each other's replies: their ids must differ, hence a random start.
  private count = Math.floor(Math.random() * 2 ** 40);

  constructor(
    private readonly transport: Transport,
    private readonly onEvent: (event: Event) => void,
    onStatus: (open: boolean) => void,
  ) {
    transport.listen((message) => this.receive(message as Reply | Event));
    if (transport.status) {
      transport.status((open) => {
        if (!open) this.refuseAll();
        onStatus(open);
      });
    } else {
      void Promise.resolve().then(() => onStatus(true));
    }
  }

  ask<T extends Name>(type: T, fields: Requests[T][0]): Promise<Requests[T][1]> {
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(new Refused("pgweave does not respond.", "If the notebook kernel was restarted, run the cell again. The text in this page is kept."));
      }, REPLY_TIMEOUT_MILLISECONDS);
      this.waiting.set(id, { settle: resolve, refuse: reject, timer });
      this.transport.send({ type, id, ...fields });
    });
  }

  close(): void {
    this.refuseAll();
    this.transport.close?.();
  }

  private receive(message: Reply | Event): void {
    if (message.type !== "reply") {
      this.onEvent(message);
      return;
    }
    const waiting = this.waiting.get(message.re);
    if (!waiting) return;
    this.waiting.delete(message.re);
    clearTimeout(waiting.timer);
    if (message.ok) waiting.settle(message);
    else waiting.refuse(new Refused(message.message, message.advice));
  }

  private refuseAll(): void {
    for (const { refuse, timer } of this.waiting.values()) {
      clearTimeout(timer);
      refuse(new Refused("The connection is lost.", "The page reconnects by itself."));
    }
    this.waiting.clear();
  }
}
