// What asks for an answer: compare, a conflict with the file, a name for a new file; and the list of keys.

import { useEffect, useRef, useState, type ReactNode } from "react";
import { useDesigner, useDesignerState } from "./context";
import { KEYS } from "./keys";
import type { CompareResult } from "./protocol";

export function Dialogs() {
  const dialog = useDesignerState((state) => state.dialog);
  switch (dialog?.kind) {
    case "compare":
      return <Compare />;
    case "conflict":
      return <Conflict theirs={dialog.theirs} />;
    case "name":
      return <SaveAs />;
    case "keys":
      return (
        <Box title="Keys on the canvas">
          <dl className="pw-keys">
            {KEYS.map(([key, meaning]) => (
              <div key={key}>
                <dt>{key}</dt>
                <dd>{meaning}</dd>
              </div>
            ))}
          </dl>
        </Box>
      );
    default:
      return null;
  }
}

function Box({ title, children, wide }: { title: string; children: ReactNode; wide?: boolean }) {
  const designer = useDesigner();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  const close = (): void => {
    designer.set({ dialog: null });
    designer.focusCanvas();
  };
  return (
    <dialog ref={dialog} className={wide ? "pw-dialog pw-wide" : "pw-dialog"} aria-label={title} onClose={close}>
      <header>
        <h2>{title}</h2>
        <button type="button" className="pw-button" onClick={close}>
          Close
        </button>
      </header>
      {children}
    </dialog>
  );
}

const VERSIONS: ["saved" | "git", string][] = [
  ["saved", "the saved file"],
  ["git", "the last commit"],
];

function Compare() {
  const designer = useDesigner();
  const theme = useDesignerState((state) => state.theme);
  const [than, setThan] = useState<"saved" | "git">("saved");
  const [result, setResult] = useState<CompareResult | string | null>(null);
  useEffect(() => {
    let current = true;
    setResult(null);
    void designer
      .settle()
      .then(() => designer.wire.ask("compare", { with: than, dark: theme === "dark" }))
      .then((answer) => current && setResult(answer))
      .catch((problem: unknown) => current && setResult(problem instanceof Error ? problem.message : String(problem)));
    return () => {
      current = false;
    };
  }, [designer, than, theme]);
  return (
    <Box title="What has changed" wide>
      <div className="pw-row" role="radiogroup" aria-label="Compare with">
        {VERSIONS.map(([name, title]) => (
          <label key={name}>
            <input type="radio" name="pw-than" checked={than === name} onChange={() => setThan(name)} /> since {title}
          </label>
        ))}
      </div>
      <div data-testid="comparison">
        {result === null && <p className="pw-hint">Comparing …</p>}
        {typeof result === "string" && <p className="pw-wrong">{result}</p>}
        {result !== null && typeof result !== "string" && (
          <>
            {result.words.length === 0 ? <p>Nothing has changed.</p> : <ul>{result.words.map((line) => <li key={line}>{line}</li>)}</ul>}
            {result.svg !== null && (
              // As an image: a picture's scripts do not run and it loads nothing.
              <img className="pw-picture" alt="Both versions in one picture" src={`data:image/svg+xml;charset=utf-8,${encodeURIComponent(result.svg)}`} />
            )}
          </>
        )}
      </div>
    </Box>
  );
}

function Conflict({ theirs }: { theirs: string }) {
  const designer = useDesigner();
  const mine = designer.view?.state.doc.toString() ?? "";
  return (
    <Box title="The file was changed by somebody else" wide>
      <p>Both changed the same lines. Nothing has been written yet; choose which text the file gets. The other stays in the undo history.</p>
      <div className="pw-sides">
        <section>
          <h3>Here</h3>
          <pre className="pw-code">{mine}</pre>
          <button type="button" className="pw-button pw-primary" onClick={() => void designer.resolve("mine")}>
            Keep mine
          </button>
        </section>
        <section>
          <h3>On disk</h3>
          <pre className="pw-code">{theirs}</pre>
          <button type="button" className="pw-button" onClick={() => void designer.resolve("theirs")}>
            Take the file's
          </button>
        </section>
      </div>
    </Box>
  );
}

function SaveAs() {
  const designer = useDesigner();
  const [name, setName] = useState("workflow.df");
  return (
    <Box title="Save as">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void designer.save(name);
        }}
      >
        <div className="pw-field">
          <label htmlFor="pw-filename">Name of the file</label>
          <input id="pw-filename" value={name} autoFocus onChange={(event) => setName(event.target.value)} />
        </div>
        <button type="submit" className="pw-button pw-primary" disabled={name.trim() === ""}>
          Save
        </button>
      </form>
    </Box>
  );
}
