// A field whose value goes into the text when it is left, on Enter, and before the program is saved or started.

import { useEffect, useRef, useState } from "react";
import { useDesigner } from "./context";

export interface Draft {
  text: string;
  setText(text: string): void;
  give(): Promise<void>;
}

/** accept: takes the text over; false when it did not, then it can be given once more. */
export function useDraft(saved: string, accept: (text: string) => Promise<boolean>): Draft {
  const designer = useDesigner();
  const [text, setText] = useState(saved);
  const given = useRef(saved);
  useEffect(() => {
    setText(saved);
    given.current = saved;
  }, [saved]);

  const give = async (): Promise<void> => {
    if (text === given.current) return;
    given.current = text;
    if (!(await accept(text))) given.current = saved;
  };
  const latest = useRef(give);
  useEffect(() => {
    latest.current = give;
  });
  useEffect(() => designer.draft(() => latest.current()), [designer]);
  return { text, setText, give };
}
