// One conversation with Python: requests with their replies, and events. Where the frames travel is the transport's affair.

import type { Answers, Event } from "../protocol";

export interface Transport {
  send(message: object): void;
  listen(receive: (message: object) => void): void;
  /** Tells whether messages get through. A transport without it is always open. */
  status?(changed: (open: boolean) => void): void;
  close?(): void;
}

/** A refusal of Python, in words for the person. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly advice: string,
  ) {
    super(message);
  }
}

type Name = keyof Answers;
type Asked<T extends Name> = Omit<Answers[T][0], "type" | "id">;
type Reply = { type: "reply"; re: number } & ({ ok: true } | { ok: false; message: string; advice: string });

interface Waiting {
  settle(answer: object): void;
  refuse(why: Refused): void;
  timer: ReturnType<typeof setTimeout>;
}

/** Starting may first make a database. A kernel that is gone says nothing at all. */
const PATIENCE_MILLISECONDS = 60_000;

export class Wire {
  private readonly waiting = new Map<number, Waiting>();
  // Several views of one notebook widget hear each other's replies: their numbers must differ.
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

  ask<T extends Name>(type: T, fields: Asked<T>): Promise<Answers[T][1]> {
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(new Refused("Python does not answer.", "If its kernel was restarted, run the cell again; the text is still here."));
      }, PATIENCE_MILLISECONDS);
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
      refuse(new Refused("The connection is lost.", "It is being made again."));
    }
    this.waiting.clear();
  }
}
