// The list of findings, with their fixes.

import { useDesigner, useDesignerState } from "../state/context";
import { nextFinding, showFinding } from "../state/findings";
import { Icon } from "../parts/icons";
import type { Finding } from "../protocol";

export function Findings() {
  const findings = useDesignerState((state) => state.findings);
  return (
    <div className="pw-problemlist" data-testid="problems">
      <h2>Findings</h2>
      {findings.length === 0 && <p className="pw-hint">No findings.</p>}
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
        <InlineCode text={finding.title} />
        <code>{finding.code}</code>
      </button>
      {finding.label && <p><InlineCode text={finding.label} /></p>}
      {finding.help && <p className="pw-hint"><InlineCode text={finding.help} /></p>}
      {finding.fix !== null && (
        <button type="button" className="pw-button pw-fix" onClick={() => void designer.rewrite({ fix: finding.index })}>
          {finding.fix}
        </button>
      )}
    </div>
  );
}

/** A text in which code stands between backticks, as diagnostics write it. */
export function InlineCode({ text }: { text: string }) {
  return <span>{text.split("`").map((part, position) => (position % 2 ? <code key={position}>{part}</code> : part))}</span>;
}

/** "2 errors, 1 warning"; a click shows the next finding. */
export function FindingCount() {
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
