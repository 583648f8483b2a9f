// Shows a finding, or the next one, on the canvas and in the text.

import type { Designer } from "./designer";
import type { Finding } from "../protocol";
import { programOf } from "./tree";

/** Shows a finding: its workflow, its block, its place in the text, and the list of findings. */
export function showFinding(designer: Designer, finding: Finding): void {
  const program = programOf(designer.state.drawing?.programs ?? [], finding.block, null);
  if (program !== null) designer.set({ program });
  if (finding.block !== null) designer.showStep(finding.block);
  designer.showOffset(finding.from);
  designer.set({ panel: "problems" });
}

export function nextFinding(designer: Designer): void {
  const { findings } = designer.state;
  designer.lastFinding = (designer.lastFinding + 1) % Math.max(1, findings.length);
  const finding = findings[designer.lastFinding];
  if (finding) showFinding(designer, finding);
}
