// Completion by Python: steps and options in the text, $names and their columns in SQL.

import { autocompletion, type CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import type { Extension } from "@codemirror/state";
import { markdown } from "./markdown";
import type { CompleteResult } from "../protocol";

const KINDS: Record<string, string> = { call: "function", name: "variable", column: "property", option: "property", value: "enum", variable: "constant" };
const TRIGGER = /[\w$.{'"]$/;

/** ask: at an offset of the editor's text. ready: resolves to whether Python has that text. */
export function completion(ask: (offset: number) => Promise<CompleteResult>, ready: () => Promise<boolean>): Extension {
  const source = async (context: CompletionContext): Promise<CompletionResult | null> => {
    if (!context.explicit && !context.matchBefore(TRIGGER)) return null;
    if (!(await ready()) || context.aborted) return null;
    const found = await ask(context.pos).catch(() => null);
    if (!found || found.options.length === 0) return null;
    return {
      from: found.from,
      validFor: /^[\w$.]*$/,
      options: found.options.map((one) => ({
        label: one.label,
        type: KINDS[one.kind] ?? "text",
        detail: one.detail,
        info: one.documentation ? () => markdown(one.documentation) : undefined,
      })),
    };
  };
  return autocompletion({ override: [source] });
}
