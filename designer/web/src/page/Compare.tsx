// Compares the text with its saved file, the last commit or a pasted text: a list of changes, and one coloured picture.

import { useEffect, useState } from "react";
import { Dialog } from "./Dialog";
import { useDesigner, useDesignerState } from "../state/context";
import type { CompareRequest, CompareResult } from "../protocol";
import { Refused } from "../connection/wire";

type Base = CompareRequest["with"];

const VERSIONS: [Base, string][] = [
  ["saved", "the saved file"],
  ["git", "the last commit"],
  ["text", "a pasted text"],
];
const PAUSE_MILLISECONDS = 300;

export function Compare() {
  const home = useDesignerState((state) => state.home);
  const [base, setBase] = useState<Base>(home === "studio" ? "saved" : "text");
  const [pasted, setPasted] = useState("");
  return (
    <Dialog title="Compare versions" wide>
      <div className="pw-row pw-choices" role="radiogroup" aria-label="Compare with">
        Compare with
        {VERSIONS.map(([name, title]) => (
          <label key={name}>
            <input type="radio" name="pw-base" checked={base === name} onChange={() => setBase(name)} /> {title}
          </label>
        ))}
      </div>
      {base === "text" && (
        <div className="pw-field">
          <label htmlFor="pw-pasted">Text to compare with</label>
          <textarea
            id="pw-pasted"
            rows={6}
            className="pw-code"
            spellCheck={false}
            placeholder="Paste the text here."
            value={pasted}
            onChange={(event) => setPasted(event.target.value)}
          />
        </div>
      )}
      <div data-testid="comparison">{(base !== "text" || pasted.trim() !== "") && <Comparison base={base} pasted={pasted} />}</div>
    </Dialog>
  );
}

function Comparison({ base, pasted }: { base: Base; pasted: string }) {
  const result = useComparison(base, base === "text" ? pasted : null);
  const [large, setLarge] = useState(false);
  if (result === null) return <p className="pw-hint">Comparing …</p>;
  if (typeof result === "string") return <p className="pw-wrong">{result}</p>;
  return (
    <>
      {result.words.length === 0 ? (
        <p>{base === "text" ? "Both texts are the same program." : "No changes."}</p>
      ) : (
        <ul>
          {result.words.map((line, position) => (
            <li key={position}>{line}</li>
          ))}
        </ul>
      )}
      {result.svg !== null && (
        <button type="button" className="pw-pictureframe" title={large ? "Fit to the window" : "Show at full size"} onClick={() => setLarge(!large)}>
          {/* As an <img>, an SVG runs no scripts and loads nothing. */}
          <img
            className={large ? "pw-picture" : "pw-picture pw-fitted"}
            alt="Both versions in one picture"
            src={`data:image/svg+xml;charset=utf-8,${encodeURIComponent(result.svg)}`}
          />
        </button>
      )}
    </>
  );
}

/** Null while Python computes it; a sentence when it cannot be compared. */
function useComparison(base: Base, text: string | null): CompareResult | string | null {
  const designer = useDesigner();
  const theme = useDesignerState((state) => state.theme);
  const [result, setResult] = useState<CompareResult | string | null>(null);
  useEffect(() => {
    let current = true;
    const ask = async (): Promise<CompareResult | string> => {
      try {
        await designer.settle();
        return await designer.wire.ask("compare", { with: base, ...(text === null ? {} : { text }), dark: theme === "dark" });
      } catch (problem) {
        if (problem instanceof Refused) return [problem.message, problem.advice].filter(Boolean).join(" ");
        return problem instanceof Error ? problem.message : String(problem);
      }
    };
    setResult(null);
    const timer = setTimeout(() => void ask().then((answer) => current && setResult(answer)), text === null ? 0 : PAUSE_MILLISECONDS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [designer, base, text, theme]);
  return result;
}
