// One step of the watched instance: the SQL that was executed, rows, error, attempts, times.

import { useEffect, useState } from "react";
import { useDesigner, useDesignerState } from "../state/context";
import { duration, moment } from "../parts/durations";
import { Icon } from "../parts/icons";
import type { NodeResult } from "../protocol";
import { SignalForm } from "./SignalForm";
import { ErrorText, Result } from "./Table";

/** below: shown below the whole run, which already has the signal forms and the error. */
export function NodeRun({ block, below = false }: { block: string; below?: boolean }) {
  const designer = useDesigner();
  const instance = useDesignerState((state) => state.run?.instance);
  const state = useDesignerState((all) => all.run?.event?.states[block]);
  const waits = useDesignerState((all) => all.run?.event?.waits);
  const reason = useDesignerState((all) => all.run?.event?.error);
  const [details, setDetails] = useState<NodeResult | null>(null);
  useEffect(() => {
    let current = true;
    if (instance === undefined) return undefined;
    designer.wire
      .ask("node", { instance, block })
      .then((answer) => current && setDetails(answer))
      .catch((problem: unknown) => current && designer.complain(problem));
    return () => {
      current = false;
    };
  }, [designer, instance, block, state]);
  if (!state || instance === undefined) return null;
  const signals = (waits ?? []).filter((one) => !below && one.block === block && one.action.kind === "signal");
  return (
    <section className="pw-noderun" data-testid="node-run">
      <h3>
        <span className={`pw-mark pw-mark-${state.status}`}>
          <Icon name={state.status} size={12} />
          {state.status}
        </span>
        {state.iteration !== null && <span className="pw-hint">turn {state.iteration}</span>}
      </h3>
      {signals.map((one) => one.action.name !== undefined && <SignalForm key={one.action.name} instance={instance} name={one.action.name} />)}
      {details && <Details details={below && details.error === reason ? { ...details, error: null } : details} />}
    </section>
  );
}

function Details({ details }: { details: NodeResult }) {
  const { started_at: started, completed_at: completed } = details;
  return (
    <>
      {started !== null && (
        <p className="pw-hint">
          {moment(started)}
          {completed !== null && `, ${duration((Date.parse(completed) - Date.parse(started)) / 1000)}`}
        </p>
      )}
      {details.error !== null && <ErrorText text={details.error} />}
      {details.result && <Result rows={details.result} />}
      {details.sql !== null && (
        <details>
          <summary>Executed SQL</summary>
          <pre className="pw-full pw-code">{details.sql}</pre>
        </details>
      )}
      {details.attempts.length > 1 && (
        <details>
          <summary>{details.attempts.length} runs of this step</summary>
          <ol className="pw-attempts">
            {details.attempts.map((one, position) => (
              <li key={position}>
                {one.status}
                {one.iteration !== null && `, turn ${one.iteration}`}
                {one.started_at !== null && `, ${moment(one.started_at)}`}
                {one.attempts !== null && one.attempts > 1 && `, ${one.attempts} attempts`}
                {one.error !== null && <ErrorText text={one.error} />}
              </li>
            ))}
          </ol>
        </details>
      )}
    </>
  );
}
