// Two versions of the text as one coloured picture: the one here, and the saved one, the last commit's or one pasted here.

import { useEffect, useState } from "react";
import { Dialog } from "./Dialog";
import { useDesigner, useDesignerState } from "../state/context";
import type { CompareRequest, CompareResult } from "../protocol";
import { Refused } from "../connection/wire";

type Than = CompareRequest["with"];

const VERSIONS: [Than, string][] = [
  ["saved", "since the file was saved"],
  ["git", "since the last commit"],
  ["text", "since another version"],
];
const PAUSE_MILLISECONDS = 300;

export function Compare() {
  const home = useDesignerState((state) => state.home);
  const [than, setThan] = useState<Than>(home === "studio" ? "saved" : "text");
  const [other, setOther] = useState("");
  return (
    <Dialog title="What has changed" wide>
      <div className="pw-row pw-choices" role="radiogroup" aria-label="Compare with">
        {VERSIONS.map(([name, title]) => (
          <label key={name}>
            <input type="radio" name="pw-than" checked={than === name} onChange={() => setThan(name)} /> {title}
          </label>
        ))}
      </div>
      {than === "text" && (
        <div className="pw-field">
          <label htmlFor="pw-other">That version</label>
          <textarea
            id="pw-other"
            rows={6}
            className="pw-code"
            spellCheck={false}
            placeholder="Paste its text here."
            value={other}
            onChange={(event) => setOther(event.target.value)}
          />
        </div>
      )}
      <div data-testid="comparison">{(than !== "text" || other.trim() !== "") && <Comparison than={than} other={other} />}</div>
    </Dialog>
  );
}

function Comparison({ than, other }: { than: Than; other: string }) {
  const result = useComparison(than, than === "text" ? other : null);
  const [large, setLarge] = useState(false);
  if (result === null) return <p className="pw-hint">Comparing …</p>;
  if (typeof result === "string") return <p className="pw-wrong">{result}</p>;
  return (
    <>
      {result.words.length === 0 ? (
        <p>{than === "text" ? "Both say the same." : "Nothing has changed."}</p>
      ) : (
        <ul>
          {result.words.map((line, position) => (
            <li key={position}>{line}</li>
          ))}
        </ul>
      )}
      {result.svg !== null && (
        <button type="button" className="pw-pictureframe" title={large ? "Fit into the window" : "Show at full size"} onClick={() => setLarge(!large)}>
          {/* As an image: a picture's scripts do not run and it loads nothing. */}
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

/** Null while it is worked out; a sentence when it cannot be. */
function useComparison(than: Than, text: string | null): CompareResult | string | null {
  const designer = useDesigner();
  const theme = useDesignerState((state) => state.theme);
  const [result, setResult] = useState<CompareResult | string | null>(null);
  useEffect(() => {
    let current = true;
    const ask = async (): Promise<CompareResult | string> => {
      try {
        await designer.settle();
        return await designer.wire.ask("compare", { with: than, ...(text === null ? {} : { text }), dark: theme === "dark" });
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
  }, [designer, than, text, theme]);
  return result;
}
