// Starts the program and shows the watched instance: what it waits for, its result or error; below, other instances.

import { useState } from "react";
import { useDesigner, useDesignerState } from "../state/context";
import { Icon } from "../parts/icons";
import { Instances } from "./Instances";
import { NodeRun } from "./NodeRun";
import type { Block, RunEvent, Wait } from "../protocol";
import { cancel, leave, open, start } from "./runs";
import { SignalForm } from "./SignalForm";
import { shownProgram, type Run } from "../state/state";
import { ErrorText, Result } from "./Table";
import { indexOf } from "../state/tree";

const ENDED = new Set(["completed", "failed", "cancelled"]);

export function RunPanel() {
  const run = useDesignerState((state) => state.run);
  const runnable = useDesignerState((state) => state.runnable);
  const selected = useDesignerState((state) => state.selected);
  if (!runnable) return <p className="pw-hint pw-runpanel">Workflows cannot be run in this session.</p>;
  return (
    <div className="pw-runpanel" data-testid="run-panel">
      {run ? <Watched key={run.instance} run={run} /> : <StartForm />}
      {run && selected !== null && (
        <section>
          <h3>The selected step</h3>
          <NodeRun block={selected} below />
        </section>
      )}
      <Instances />
    </div>
  );
}

function StartForm() {
  const designer = useDesigner();
  const program = useDesignerState(shownProgram);
  const errors = useDesignerState((state) => state.stale || state.findings.some((one) => one.severity === "error"));
  const [label, setLabel] = useState("");
  const [values, setValues] = useState<Record<string, string>>({});
  const [check, setCheck] = useState(true);
  const [starting, setStarting] = useState(false);
  const begin = async (): Promise<void> => {
    setStarting(true);
    await start(designer, label.trim() === "" ? null : label, values, check);
    setStarting(false);
  };
  return (
    <section>
      <h2>Run</h2>
      <div className="pw-field">
        <label htmlFor="pw-runlabel">Label</label>
        <input id="pw-runlabel" value={label} placeholder={program?.label ?? program?.name ?? ""} onChange={(event) => setLabel(event.target.value)} />
      </div>
      {(program?.variables ?? []).map(({ name, value }) => (
        <div className="pw-field" key={name}>
          <label htmlFor={`pw-var-${name}`}>{`{${name}}`}</label>
          <input
            id={`pw-var-${name}`}
            value={values[name] ?? value ?? ""}
            onChange={(event) => setValues({ ...values, [name]: event.target.value })}
          />
        </div>
      ))}
      <label className="pw-check">
        <input type="checkbox" data-testid="check-first" checked={check} onChange={(event) => setCheck(event.target.checked)} />
        Have the database check every step first
      </label>
      <button type="button" className="pw-button pw-primary" data-testid="start" disabled={starting || !program?.root} onClick={() => void begin()}>
        <Icon name="play" size={14} /> {starting ? "Starting …" : "Start"}
      </button>
      {errors && <p className="pw-hint">The program has errors. Fix them before you start it.</p>}
    </section>
  );
}

function Watched({ run }: { run: Run }) {
  const designer = useDesigner();
  const { instance, event, past, edited } = run;
  const status = event?.status ?? "pending";
  return (
    <section aria-live="polite">
      <h2>
        <span className={`pw-mark pw-mark-${status}`} data-testid="run-status">
          <Icon name={status} size={14} />
          {status}
        </span>
        <code>{instance}</code>
      </h2>
      {edited && !past && (
        <p className="pw-hint">
          The program was edited after this run was started.{" "}
          <button type="button" className="pw-link" onClick={() => void open(designer, instance)}>
            Show the program of this run
          </button>
        </p>
      )}
      {(event?.waits ?? []).map((wait) => (
        <WaitRow key={`${wait.block ?? ""}:${wait.sentence}`} instance={instance} wait={wait} />
      ))}
      {event && <Ending event={event} />}
      <div className="pw-row">
        {!ENDED.has(status) && <CancelButton instance={instance} />}
        <button type="button" className="pw-button" onClick={() => void leave(designer)}>
          {past ? "Back to the program" : ENDED.has(status) ? "Close" : "Stop watching"}
        </button>
      </div>
    </section>
  );
}

/** Needs a second click: a cancelled instance cannot be resumed. */
function CancelButton({ instance }: { instance: string }) {
  const designer = useDesigner();
  const [sure, setSure] = useState(false);
  return (
    <button type="button" className="pw-button" onBlur={() => setSure(false)} onClick={() => (sure ? void cancel(designer, instance) : setSure(true))}>
      {sure ? "Confirm: cancel it" : "Cancel the instance"}
    </button>
  );
}

function Ending({ event }: { event: RunEvent }) {
  const designer = useDesigner();
  const program = useDesignerState(shownProgram);
  if (event.error) {
    const failing = failingStep(program?.root ?? null, event.states);
    return (
      <>
        <ErrorText text={event.error} />
        {failing !== null && (
          <button type="button" className="pw-link" onClick={() => designer.showStep(failing)}>
            Show the step that failed
          </button>
        )}
      </>
    );
  }
  if (event.result) {
    return (
      <>
        <h3>Result</h3>
        <Result rows={event.result} />
      </>
    );
  }
  return null;
}

/** The innermost failed block: those around it failed because of it. In reading order a block comes after its parents. */
function failingStep(root: Block | null, states: RunEvent["states"]): string | null {
  const failed = [...indexOf(root).keys()].filter((id) => states[id]?.status === "failed");
  return failed.at(-1) ?? null;
}

function WaitRow({ instance, wait }: { instance: string; wait: Wait }) {
  const designer = useDesigner();
  const { block } = wait;
  return (
    <div className="pw-wait" data-testid="wait">
      {block === null ? (
        <p>{wait.sentence}</p>
      ) : (
        <button type="button" className="pw-link" onClick={() => designer.showStep(block)}>
          {wait.sentence}
        </button>
      )}
      {wait.action.kind === "signal" && wait.action.name !== undefined && <SignalForm instance={instance} name={wait.action.name} />}
    </div>
  );
}
