// The page: top bar, then text, canvas and panel side by side.

import { useEffect, useRef, useState, type KeyboardEvent as ReactKeyboardEvent, type PointerEvent, type RefObject } from "react";
import { Boundary } from "./parts/Boundary";
import { Canvas } from "./canvas/Canvas";
import { useDesigner, useDesignerState } from "./state/context";
import { Dialogs } from "./page/Dialogs";
import { nextFinding } from "./state/findings";
import { Floating } from "./parts/Floating";
import { Inspector } from "./panels/Inspector";
import { Palette } from "./canvas/Palette";
import { Findings } from "./panels/Findings";
import { RunPanel } from "./runs/RunPanel";
import { save } from "./state/saving";
import { Search } from "./canvas/Search";
import { TextPane } from "./text/TextPane";
import { Banner, Notices, Tabs, TopBar } from "./page/TopBar";

const NARROWEST = 220;
/** In a narrower window or notebook cell the text starts hidden; the button "Text" shows it. */
const WIDE_ENOUGH = 1000;
const PANES = [".pw-canvas", ".pw-text .cm-content", ".pw-panel"];

export function App() {
  const designer = useDesigner();
  const theme = useDesignerState((state) => state.theme);
  const dragging = useDesignerState((state) => state.dragging !== null);
  const [textWidth, setTextWidth] = useState(() => Math.max(NARROWEST, Math.min(430, 0.3 * designer.root.host.clientWidth)));
  const [textShown, setTextShown] = useState(designer.root.host.clientWidth >= WIDE_ENOUGH);
  const app = useRef<HTMLDivElement>(null);
  useNoticeTimer();

  useKeys(app);

  return (
    <div ref={app} className={dragging ? "pgweave pw-dragging" : "pgweave"} data-theme={theme}>
      <TopBar textShown={textShown} onText={() => setTextShown(!textShown)} />
      <div className="pw-panes">
        {textShown && (
          <>
            <div className="pw-textpane" style={{ width: textWidth }}>
              <TextPane />
            </div>
            <Divider width={textWidth} onWidth={setTextWidth} />
          </>
        )}
        <main className="pw-middle">
          <Tabs />
          <Banner />
          <Search />
          <Boundary>
            <Canvas />
          </Boundary>
        </main>
        <Boundary>
          <Panel />
        </Boundary>
      </div>
      <Boundary>
        <Palette />
        <Dialogs />
      </Boundary>
      <Notices />
      <DragPreview />
    </div>
  );
}

function Panel() {
  const designer = useDesigner();
  const panel = useDesignerState((state) => state.panel);
  const runnable = useDesignerState((state) => state.runnable);
  const tabs = [["step", "Step"], ["problems", "Findings"], ...(runnable ? [["run", "Run"]] : [])] as ["step" | "problems" | "run", string][];
  return (
    <aside className="pw-panel" aria-label="Panel" tabIndex={-1}>
      <div role="tablist" aria-label="Panel" className="pw-tabs">
        {tabs.map(([name, title]) => (
          <button key={name} type="button" role="tab" aria-selected={panel === name} onClick={() => designer.set({ panel: name })}>
            {title}
          </button>
        ))}
      </div>
      <div className="pw-panelbody">
        {panel === "step" && <Inspector />}
        {panel === "problems" && <Findings />}
        {panel === "run" && <RunPanel />}
      </div>
    </aside>
  );
}

function Divider({ width, onWidth }: { width: number; onWidth(width: number): void }) {
  const drag = (event: PointerEvent<HTMLDivElement>): void => {
    const start = event.clientX;
    const element = event.currentTarget;
    element.setPointerCapture(event.pointerId);
    element.onpointermove = (now) => onWidth(Math.max(NARROWEST, width + now.clientX - start));
    element.onpointerup = () => {
      element.onpointermove = null;
      element.onpointerup = null;
    };
  };
  const key = (event: ReactKeyboardEvent): void => {
    const by = event.key === "ArrowLeft" ? -20 : event.key === "ArrowRight" ? 20 : 0;
    if (by) onWidth(Math.max(NARROWEST, width + by));
  };
  return (
    <div
      className="pw-divider"
      role="separator"
      aria-orientation="vertical"
      aria-label="Width of the text pane"
      aria-valuenow={width}
      tabIndex={0}
      onPointerDown={drag}
      onKeyDown={key}
    />
  );
}

/** What is being dragged, beside the pointer. */
function DragPreview() {
  const dragging = useDesignerState((state) => state.dragging);
  const designer = useDesigner();
  if (!dragging) return null;
  const block = designer.selectedBlock();
  return (
    <Floating at={() => ({ left: dragging.x + 12, top: dragging.y + 12 })} className="pw-ghost">
      {block?.title} {block?.detail}
    </Floating>
  );
}

const NOTICE_MILLISECONDS = 7000;

/** Hides information after a few seconds; warnings and errors stay until they are dismissed. */
function useNoticeTimer(): void {
  const designer = useDesigner();
  const oldest = useDesignerState((state) => state.notices.find((one) => one.level === "info")?.id ?? null);
  useEffect(() => {
    if (oldest === null) return undefined;
    const timer = setTimeout(() => designer.set({ notices: designer.state.notices.filter((one) => one.id !== oldest) }), NOTICE_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [designer, oldest]);
}

/** Keys that work in every pane: in the studio on the whole page, in a notebook only when the focus is in the designer. */
function useKeys(app: RefObject<HTMLDivElement | null>): void {
  const designer = useDesigner();
  const home = useDesignerState((state) => state.home);
  useEffect(() => {
    const target = home === "studio" ? document : app.current;
    const key = (event: Event): void => {
      if (!(event instanceof KeyboardEvent)) return;
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") void save(designer);
      else if (event.key === "F8") nextFinding(designer);
      else if (event.key === "F6") nextPane(designer.root, event.shiftKey ? -1 : 1);
      else return;
      event.preventDefault();
      event.stopPropagation();
    };
    target?.addEventListener("keydown", key);
    return () => target?.removeEventListener("keydown", key);
  }, [designer, home, app]);
}

function nextPane(root: ShadowRoot, by: 1 | -1): void {
  const panes = PANES.map((selector) => root.querySelector<HTMLElement>(selector)).filter((one) => one !== null);
  const at = panes.findIndex((one) => one.contains(root.activeElement));
  panes[(at + by + panes.length) % panes.length]?.focus();
}
