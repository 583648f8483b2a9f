// Saves the text to its file. Findings never prevent it; a change of the file by another program is never overwritten unasked.

import type { Designer } from "./designer";

/** name: of a new file, where there is none yet. */
export async function save(designer: Designer, name?: string): Promise<void> {
  try {
    await designer.settle();
    const reply = await designer.wire.ask("save", { version: designer.sync.version, ...(name === undefined ? {} : { name }) });
    if (reply.conflict) designer.set({ dialog: { kind: "conflict", theirs: reply.theirs ?? "" } });
    else if (reply.name_needed) designer.set({ dialog: { kind: "name" } });
    else designer.set({ saved: reply.saved && designer.sync.clean, name: reply.name, dialog: null });
  } catch (problem) {
    designer.complain(problem);
  }
}

/** Resolves a conflict with the file. */
export async function resolve(designer: Designer, choice: "mine" | "theirs"): Promise<void> {
  try {
    const { saved } = await designer.wire.ask("resolve", { version: designer.sync.version, choice });
    designer.set({ saved, dialog: null });
  } catch (problem) {
    designer.complain(problem);
  }
}
