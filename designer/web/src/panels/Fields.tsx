// The form of a step: its arguments and options, and for a schedule its meaning in words.

import { useEffect, useId, useState, type KeyboardEvent } from "react";
import { useDesigner } from "../state/context";
import { useDraft } from "../state/draft";
import { inWords } from "../parts/durations";
import type { Block, CronResult, Field } from "../protocol";

const CRON_PAUSE_MILLISECONDS = 250;

export function Fields({ block, readOnly }: { block: Block; readOnly: boolean }) {
  return (
    <>
      {block.fields.map((field) => (
        <FieldRow key={field.name} block={block} field={field} readOnly={readOnly} />
      ))}
    </>
  );
}

function FieldRow({ block, field, readOnly }: { block: Block; field: Field; readOnly: boolean }) {
  const designer = useDesigner();
  const id = useId();
  const send = (value: Field["value"]): Promise<boolean> => designer.gesture({ target: block.id, gesture: "set_field", field: field.name, value });
  return (
    <div className="pw-field" data-field={field.name}>
      <label htmlFor={id}>
        {field.title}
        {field.required && <span className="pw-required"> (required)</span>}
      </label>
      <Input id={id} field={field} readOnly={readOnly} send={send} />
      {field.help && <p className="pw-hint">{field.help}</p>}
    </div>
  );
}

interface InputProps {
  id: string;
  field: Field;
  readOnly: boolean;
  send(value: Field["value"]): Promise<boolean>;
}

function Input({ id, field, readOnly, send }: InputProps) {
  const { type, value } = field;
  if (type === "boolean") {
    return <input id={id} type="checkbox" checked={value === true} disabled={readOnly} onChange={(event) => void send(event.target.checked)} />;
  }
  if (type === "choice") {
    return (
      <select id={id} value={String(value ?? "")} disabled={readOnly} onChange={(event) => void send(event.target.value || null)}>
        {!field.required && <option value="">(default)</option>}
        {(field.choices ?? []).map((choice) => (
          <option key={choice}>{choice}</option>
        ))}
      </select>
    );
  }
  return <Typed id={id} field={field} readOnly={readOnly} send={send} />;
}

/** Sent on Enter or when the field loses the focus; Escape restores the saved value. */
function Typed({ id, field, readOnly, send }: InputProps) {
  const designer = useDesigner();
  const saved = field.value === null ? "" : String(field.value);
  const number = field.type === "integer" || field.type === "seconds";
  const [problem, setProblem] = useState<string | null>(null);
  const { text, setText, commit } = useDraft(saved, async (typed) => {
    const empty = typed.trim() === "";
    const wrong = number && !empty && !/^-?\d+$/.test(typed.trim());
    setProblem(wrong ? "Enter a whole number." : null);
    return !wrong && send(empty && !field.required ? null : number ? Number(typed) : typed);
  });
  const key = (event: KeyboardEvent): void => {
    if (event.key === "Enter" && field.type !== "json") void commit();
    else if (event.key === "Escape") {
      setText(saved);
      designer.focusCanvas();
    } else return;
    event.preventDefault();
  };
  const shared = {
    id,
    value: text,
    readOnly,
    "aria-invalid": problem !== null,
    onBlur: () => void commit(),
    onKeyDown: key,
    spellCheck: false,
    autoComplete: "off",
  };
  return (
    <>
      {field.type === "json" ? (
        <textarea {...shared} rows={4} className="pw-code" onChange={(event) => setText(event.target.value)} />
      ) : (
        <input
          {...shared}
          className={field.type === "cron" || field.type === "url" ? "pw-code" : undefined}
          inputMode={number ? "numeric" : undefined}
          onChange={(event) => setText(event.target.value)}
        />
      )}
      {problem && <p className="pw-wrong">{problem}</p>}
      {field.type === "seconds" && /^\d+$/.test(text) && <p className="pw-hint">{inWords(Number(text))}</p>}
      {field.type === "cron" && <CronWords expression={text} />}
    </>
  );
}

function CronWords({ expression }: { expression: string }) {
  const designer = useDesigner();
  const [meaning, setMeaning] = useState<CronResult | string | null>(null);
  useEffect(() => {
    let current = true;
    const timer = setTimeout(() => {
      designer.wire
        .ask("cron", { expression, zone: null })
        .then((answer) => current && setMeaning(answer))
        .catch((problem: unknown) => current && setMeaning(problem instanceof Error ? problem.message : String(problem)));
    }, CRON_PAUSE_MILLISECONDS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [designer, expression]);
  if (meaning === null) return null;
  if (typeof meaning === "string") return <p className="pw-wrong">{meaning}</p>;
  return (
    <div className="pw-cron" data-testid="cron">
      <p>{meaning.words}</p>
      <ol aria-label="Next times">
        {meaning.next.map((time) => (
          <li key={time}>{time}</li>
        ))}
      </ol>
    </div>
  );
}
