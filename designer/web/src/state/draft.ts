// A field whose value goes into the text when it loses the focus, on Enter, and before the program is saved or started.

import { useEffect, useRef, useState } from "react";
import { useDesigner } from "./context";

export interface Draft {
  text: string;
  setText(text: string): void;
  commit(): Promise<void>;
}

/** accept: puts the value into the text; false when it was refused, so that the same value can be sent again. */
export function useDraft(saved: string, accept: (text: string) => Promise<boolean>): Draft {
  const designer = useDesigner();
  const [text, setText] = useState(saved);
  const sent = useRef(saved);
  useEffect(() => {
    setText(saved);
    sent.current = saved;
  }, [saved]);

  const commit = async (): Promise<void> => {
    if (text === sent.current) return;
    sent.current = text;
    if (!(await accept(text))) sent.current = saved;
  };
  // Registered once; a new function on every render would lose its place among the drafts.
  const latest = useRef(commit);
  useEffect(() => {
    latest.current = commit;
  });
  useEffect(() => designer.addDraft(() => latest.current()), [designer]);
  return { text, setText, commit };
}
