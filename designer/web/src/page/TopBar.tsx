// The top bar: the file, its commands and findings; below it the tabs of workflows, the banner and the notices.

import { useEffect } from "react";
import { AddWorkflow } from "../canvas/AddWorkflow";
import { useDesigner, useDesignerState } from "../state/context";
import { showFinding } from "../state/findings";
import { Icon } from "../parts/icons";
import { FindingCount, InlineCode } from "../panels/Findings";
import { leave } from "../runs/runs";
import { save } from "../state/saving";
import { shownProgram } from "../state/state";

export function TopBar({ textShown, onText }: { textShown: boolean; onText(): void }) {
  const designer = useDesigner();
  const name = useDesignerState((state) => state.name);
  const title = useDesignerState((state) => shownProgram(state)?.label ?? shownProgram(state)?.name ?? null);
  const saved = useDesignerState((state) => state.saved);
  const phase = useDesignerState((state) => state.phase);
  const home = useDesignerState((state) => state.home);
  const theme = useDesignerState((state) => state.theme);
  const runnable = useDesignerState((state) => state.runnable);
  const panel = useDesignerState((state) => state.panel);
  const shown = fileName(name) ?? title ?? "new program";
  useEffect(() => {
    if (home === "studio") document.title = `${saved ? "" : "• "}${shown} - pgweave`;
  }, [home, saved, shown]);
  return (
    <header className="pw-topbar">
      <strong className="pw-filename" data-testid="file" title={name}>
        {shown}
      </strong>
      <span className="pw-hint" data-testid="saved" aria-live="polite">
        {phase === "lost" ? "connection lost, reconnecting" : phase === "connecting" ? "connecting" : home === "studio" ? (saved ? "saved" : "not saved") : ""}
      </span>
      <FindingCount />
      <span className="pw-space" />
      <Tool icon="undo" label="Undo (Ctrl+Z)" onClick={() => designer.undo()} />
      <Tool icon="redo" label="Redo (Ctrl+Y)" onClick={() => designer.redo()} />
      <Tool icon="search" label="Search the steps (Ctrl+F)" onClick={() => designer.set({ searching: true })} />
      <Tool icon="format" label="Format the text" onClick={() => void designer.rewrite("format")} />
      <Tool icon="compare" label="Compare versions" onClick={() => designer.set({ dialog: { kind: "compare" } })} />
      <Tool icon="keys" label="Keyboard shortcuts (?)" onClick={() => designer.set({ dialog: { kind: "keys" } })} />
      <Tool icon={theme === "dark" ? "sun" : "moon"} label={theme === "dark" ? "Light theme" : "Dark theme"} onClick={() => designer.set({ theme: theme === "dark" ? "light" : "dark" })} />
      <button type="button" className="pw-button" aria-pressed={textShown} onClick={onText}>
        Text
      </button>
      {runnable && (
        <button
          type="button"
          className="pw-button"
          aria-pressed={panel === "run"}
          data-testid="run"
          onClick={() => designer.set({ panel: panel === "run" ? "step" : "run" })}
        >
          <Icon name="play" size={14} /> Run
        </button>
      )}
      <button type="button" className="pw-button pw-primary" data-testid="save" onClick={() => void save(designer)}>
        <Icon name="save" size={14} /> Save
      </button>
    </header>
  );
}

/** The file's name without its folders; null for a text that has no file: Python names that "<text>" or "". */
function fileName(name: string): string | null {
  return name === "" || name.startsWith("<") ? null : (name.split(/[\\/]/).at(-1) ?? name);
}

function Tool({ icon, label, onClick }: { icon: string; label: string; onClick(): void }) {
  return (
    <button type="button" className="pw-tool" aria-label={label} title={label} onClick={onClick}>
      <Icon name={icon} />
    </button>
  );
}

/** One tab for each workflow, when the text holds several. */
export function Tabs() {
  const designer = useDesigner();
  const programs = useDesignerState((state) => state.drawing?.programs);
  const current = useDesignerState((state) => state.program);
  const past = useDesignerState((state) => state.run?.past !== undefined && state.run.past !== null);
  if (past || !programs || programs.length < 2) return null;
  return (
    <div className="pw-tabs" role="tablist" aria-label="Workflows">
      {programs.map((program, position) => (
        <button
          key={program.index}
          type="button"
          role="tab"
          aria-selected={position === current}
          title={program.label ?? program.name}
          onClick={() => designer.showProgram(position)}
        >
          {program.label ?? program.name}
        </button>
      ))}
      <AddWorkflow />
    </div>
  );
}

/** Says why the canvas does not show the current text: it does not parse, or a past run is shown. */
export function Banner() {
  const designer = useDesigner();
  const stale = useDesignerState((state) => state.stale);
  const first = useDesignerState((state) => state.findings.find((one) => one.severity === "error"));
  const run = useDesignerState((state) => state.run);
  const drawn = useDesignerState((state) => shownProgram(state) !== null);
  if (run?.past) {
    return (
      <div className="pw-banner" role="status">
        Instance <code>{run.instance}</code>, shown with the program that it was started with.{" "}
        <button type="button" className="pw-link" onClick={() => void leave(designer)}>
          Back to the program
        </button>
      </div>
    );
  }
  if (!stale) return null;
  return (
    <div className="pw-banner pw-error" role="status" data-testid="stale">
      <Icon name="warning" size={14} /> The text does not parse{drawn ? "; the canvas shows the last version that did" : "; fix it to see it on the canvas"}.{" "}
      {first && (
        <button type="button" className="pw-link" onClick={() => showFinding(designer, first)}>
          <InlineCode text={first.label ? `${first.title}: ${first.label}` : first.title} />
        </button>
      )}
    </div>
  );
}

export function Notices() {
  const designer = useDesigner();
  const notices = useDesignerState((state) => state.notices);
  return (
    <div className="pw-notices" role="log" aria-live="polite" data-testid="notices">
      {notices.map((one) => (
        <div key={one.id} className={`pw-notice pw-${one.level}`}>
          <div>
            <strong>{one.message}</strong>
            {one.advice && <p>{one.advice}</p>}
          </div>
          <button
            type="button"
            className="pw-tool"
            aria-label="Dismiss"
            onClick={() => designer.set({ notices: designer.state.notices.filter((other) => other.id !== one.id) })}
          >
            <Icon name="close" size={12} />
          </button>
        </div>
      ))}
    </div>
  );
}
