// The form that sends a signal.

import { useEffect, useId, useState } from "react";
import { useDesigner } from "../state/context";
import { signal } from "./runs";

/** Sends a JSON payload. Text that is not JSON is refused: a signal cannot be taken back. */
export function SignalForm({ instance, name }: { instance: string; name: string }) {
  const designer = useDesigner();
  const id = useId();
  const [text, setText] = useState("{}");
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => setProblem(null), [text]);
  const send = async (): Promise<void> => {
    try {
      const payload: unknown = JSON.parse(text.trim() === "" ? "{}" : text);
      await signal(designer, instance, name, payload);
    } catch {
      setProblem('This is not valid JSON. Text needs double quotes: "yes".');
    }
  };
  return (
    <form
      className="pw-signal"
      data-testid="signal-form"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <label htmlFor={id}>
        Payload of <code>{name}</code>
      </label>
      <textarea id={id} rows={2} className="pw-code" value={text} spellCheck={false} onChange={(event) => setText(event.target.value)} />
      {problem && <p className="pw-wrong">{problem}</p>}
      <button type="submit" className="pw-button pw-primary">
        Send signal
      </button>
    </form>
  );
}
