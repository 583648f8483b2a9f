// The list of instances, with filters. Loaded when it is opened, filtered or refreshed, and when the watched instance changes.

import { useCallback, useEffect, useState } from "react";
import { useDesigner, useDesignerState } from "../state/context";
import { duration, moment } from "../parts/durations";
import { Icon } from "../parts/icons";
import type { InstanceRow } from "../protocol";
import { open } from "./runs";

const STATUSES = ["pending", "running", "waiting", "completed", "failed", "cancelled"];
const LIMIT = 50;
const PAUSE_MILLISECONDS = 250;

export function Instances() {
  const [shown, setShown] = useState(false);
  return (
    <section>
      <h3>
        <button type="button" className="pw-link" aria-expanded={shown} data-testid="show-instances" onClick={() => setShown(!shown)}>
          <Icon name={shown ? "fold" : "unfold"} size={14} /> Instances
        </button>
      </h3>
      {shown && <List />}
    </section>
  );
}

function List() {
  const designer = useDesigner();
  const current = useDesignerState((state) => state.run?.instance);
  const status = useDesignerState((state) => state.run?.event?.status);
  const [wanted, setWanted] = useState("");
  const [text, setText] = useState("");
  const [rows, setRows] = useState<InstanceRow[] | null>(null);
  const [again, setAgain] = useState(0);
  const load = useCallback(async () => {
    try {
      const filter = { status: wanted === "" ? null : wanted, text: text === "" ? null : text, limit: LIMIT };
      setRows((await designer.wire.ask("instances", filter)).instances);
    } catch (problem) {
      designer.complain(problem);
      setRows([]);
    }
  }, [designer, wanted, text]);
  useEffect(() => {
    const timer = setTimeout(() => void load(), PAUSE_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [load, again, current, status]);

  return (
    <>
      <div className="pw-row">
        <select aria-label="Status" value={wanted} onChange={(event) => setWanted(event.target.value)}>
          <option value="">all</option>
          {STATUSES.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
        <input aria-label="Id or label" placeholder="id or label" value={text} onChange={(event) => setText(event.target.value)} />
        <button type="button" className="pw-button" onClick={() => setAgain(again + 1)}>
          Refresh
        </button>
      </div>
      {rows?.length === 0 && <p className="pw-hint">{wanted === "" && text === "" ? "There are no instances yet." : "No instance matches the filter."}</p>}
      <ul className="pw-instances">
        {(rows ?? []).map((row) => (
          <li key={row.id}>
            <button type="button" className="pw-instance" aria-current={row.id === current} data-instance={row.id} onClick={() => void open(designer, row.id)}>
              <span className={`pw-mark pw-mark-${row.status}`}>
                <Icon name={row.status} size={12} />
                {row.status}
              </span>
              <strong>{row.label ?? row.id}</strong>
              <code>{row.id}</code>
              <span className="pw-hint">
                {moment(row.created_at)}, {duration(row.duration_seconds)}
              </span>
              {row.waits_for !== null && <span className="pw-hint">{row.waits_for}</span>}
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}
