// Findings as a list, with their fixes.

import { useDesigner, useDesignerState } from "../state/context";
import { nextFinding, showFinding } from "../state/findings";
import { Icon } from "../parts/icons";
import type { Finding } from "../protocol";

export function Problems() {
  const findings = useDesignerState((state) => state.findings);
  return (
    <div className="pw-problemlist" data-testid="problems">
      <h2>Findings</h2>
      {findings.length === 0 && <p className="pw-hint">Nothing to complain about.</p>}
      {findings.map((one) => (
        <FindingRow key={one.index} finding={one} />
      ))}
    </div>
  );
}

export function FindingRow({ finding }: { finding: Finding }) {
  const designer = useDesigner();
  return (
    <div className={`pw-finding pw-${finding.severity}`} data-code={finding.code}>
      <button type="button" className="pw-findingtitle" onClick={() => showFinding(designer, finding)}>
        <Icon name="warning" size={14} />
        <Said text={finding.title} />
        <code>{finding.code}</code>
      </button>
      {finding.label && <p><Said text={finding.label} /></p>}
      {finding.help && <p className="pw-hint"><Said text={finding.help} /></p>}
      {finding.fix !== null && (
        <button type="button" className="pw-button pw-fix" onClick={() => void designer.rewrite({ fix: finding.index })}>
          {finding.fix}
        </button>
      )}
    </div>
  );
}

/** Diagnostics put code between backticks. */
export function Said({ text }: { text: string }) {
  return <span>{text.split("`").map((part, position) => (position % 2 ? <code key={position}>{part}</code> : part))}</span>;
}

/** "2 errors, 1 warning", and with it the way to the next one. */
export function ProblemCount() {
  const designer = useDesigner();
  const errors = useDesignerState((state) => state.findings.filter((one) => one.severity === "error").length);
  const warnings = useDesignerState((state) => state.findings.filter((one) => one.severity === "warning").length);
  const infos = useDesignerState((state) => state.findings.length) - errors - warnings;
  const parts = ([[errors, "error"], [warnings, "warning"], [infos, "note"]] as const).filter(([count]) => count > 0);
  const words = parts.map(([count, what]) => `${count} ${what}${count === 1 ? "" : "s"}`).join(", ");
  return (
    <button
      type="button"
      className={`pw-count ${errors ? "pw-error" : warnings ? "pw-warning" : ""}`}
      data-testid="problem-count"
      title="Next finding (F8)"
      onClick={() => (parts.length > 0 ? nextFinding(designer) : designer.set({ panel: "problems" }))}
    >
      <Icon name={parts.length > 0 ? "warning" : "completed"} size={14} />
      {words || "no findings"}
    </button>
  );
}
