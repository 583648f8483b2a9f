// Starts, watches, signals and cancels instances, and shows past ones. Each only when the person asks for it.

import type { Designer } from "../state/designer";
import { shownProgram } from "../state/state";

export async function start(designer: Designer, label: string | null, variables: Record<string, string>, check: boolean): Promise<void> {
  try {
    await designer.settle();
    await designer.tracker.upToDate();
    const program = shownProgram(designer.state);
    const { instance } = await designer.wire.ask("start", { target: program ? String(program.index) : "", label, variables, check });
    designer.set({ run: { instance, event: null, edited: false, past: null }, panel: "run" });
    await designer.wire.ask("watch", { instance });
  } catch (problem) {
    designer.complain(problem);
  }
}

/** Shows an instance with the program that it was started with, and watches it. */
export async function open(designer: Designer, instance: string): Promise<void> {
  try {
    await leave(designer);
    const past = await designer.wire.ask("past", { instance });
    designer.set({ run: { instance, event: null, edited: false, past }, selected: null, panel: "run", folded: new Set() });
    await designer.wire.ask("watch", { instance });
  } catch (problem) {
    designer.complain(problem);
  }
}

/** Shows the program again; the instance itself goes on. */
export async function leave(designer: Designer): Promise<void> {
  const { run } = designer.state;
  if (!run) return;
  designer.set({ run: null, selected: null });
  await designer.wire.ask("unwatch", { instance: run.instance }).catch(() => undefined);
}

export async function signal(designer: Designer, instance: string, name: string, payload: unknown): Promise<boolean> {
  try {
    await designer.wire.ask("signal", { instance, name, payload });
    return true;
  } catch (problem) {
    designer.complain(problem);
    return false;
  }
}

export async function cancel(designer: Designer, instance: string): Promise<void> {
  await designer.wire.ask("cancel", { instance }).catch((problem: unknown) => designer.complain(problem));
}
