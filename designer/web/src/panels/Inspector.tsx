// The panel about the selected block: its path, SQL, result name, options and findings.

import { useMemo } from "react";
import { useDesigner, useDesignerState } from "../state/context";
import { useDraft } from "../state/draft";
import { Fields } from "./Fields";
import { FindingRow } from "./Findings";
import { Icon } from "../parts/icons";
import { NodeRun } from "../runs/NodeRun";
import type { Block, Program } from "../protocol";
import { SqlEditor } from "../text/SqlEditor";
import { isResultName } from "../state/names";
import { editable, shownProgram } from "../state/state";
import { AddWorkflow } from "../canvas/AddWorkflow";
import { frameTitle, indexOf, isColumn, isEndless, type Index } from "../state/tree";

export function Inspector() {
  const program = useDesignerState(shownProgram);
  const selected = useDesignerState((state) => state.selected);
  const index = useMemo(() => indexOf(program?.root ?? null), [program]);
  const block = selected === null ? undefined : index.get(selected)?.block;
  return (
    <div className="pw-inspector" data-testid="inspector">
      {block ? <OneBlock key={block.id} block={block} index={index} /> : <WholeProgram program={program} />}
    </div>
  );
}

function OneBlock({ block, index }: { block: Block; index: Index }) {
  const designer = useDesigner();
  const active = useDesignerState(editable);
  const all = useDesignerState((state) => (state.run?.past ? null : state.findings));
  const running = useDesignerState((state) => state.run?.event?.states[block.id] !== undefined);
  const readOnly = !active || !block.editable;
  const findings = (all ?? []).filter((one) => one.block === block.id);
  const takesName = block.shape !== "break" && !isColumn(block);
  return (
    <>
      <Path block={block} index={index} />
      <h2>
        <Icon name={block.shape} /> {block.title}
      </h2>
      {block.why_not !== null && <p className="pw-hint">{block.why_not}</p>}
      {running && <NodeRun block={block.id} />}
      {findings.map((one) => (
        <FindingRow key={one.index} finding={one} />
      ))}
      {block.sql && <SqlEditor block={block} readOnly={readOnly} />}
      {!block.sql && block.fields.length === 0 && block.full.trim() !== "" && block.children.length === 0 && <pre className="pw-full">{block.full}</pre>}
      {takesName && <NameField block={block} readOnly={readOnly} />}
      <Fields block={block} readOnly={readOnly} />
      {isEndless(block) && !readOnly && (
        <button type="button" className="pw-button" onClick={() => void designer.gesture({ target: block.id, gesture: "insert_into", role: "condition", entry: "sql" })}>
          <Icon name="plus" size={14} /> Add a condition
        </button>
      )}
      {block.reads.length > 0 && (
        <section>
          <h3>Reads</h3>
          <ul className="pw-reads">
            {block.reads.map((read) => (
              <li key={read.name}>
                <span className="pw-chip pw-name">{`$${read.name}`}</span>
                {read.from.map((id) => (
                  <button key={id} type="button" className="pw-link" onClick={() => designer.select(id)}>
                    {index.get(id)?.block.title ?? "a step"}
                  </button>
                ))}
                {read.from.length === 0 && <span className="pw-hint">no step defines this name</span>}
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

function Path({ block, index }: { block: Block; index: Index }) {
  const designer = useDesigner();
  const path: Block[] = [];
  for (let parent = index.get(block.id)?.parent; parent; parent = index.get(parent.id)?.parent) path.unshift(parent);
  if (path.length === 0) return null;
  return (
    <nav className="pw-path" aria-label="Enclosing blocks">
      {path.map((one) => (
        <button key={one.id} type="button" className="pw-link" onClick={() => designer.select(one.id)}>
          {frameTitle(one)}
        </button>
      ))}
    </nav>
  );
}

/** The name of the result. Changing it renames it in every step that reads it; an empty field removes it. */
function NameField({ block, readOnly }: { block: Block; readOnly: boolean }) {
  const designer = useDesigner();
  const saved = block.name ?? "";
  const { text, setText, commit } = useDraft(saved, async (typed) => {
    const name = typed.trim();
    if (name !== "" && !isResultName(name)) return false;
    const gesture = saved !== "" && name !== "" ? "rename" : "set_name";
    return designer.gesture({ target: block.id, gesture, name: name === "" ? null : name });
  });
  const wrong = text.trim() !== "" && !isResultName(text.trim());
  return (
    <div className="pw-field" data-field="name">
      <label htmlFor="pw-name">Result name</label>
      <input
        id="pw-name"
        value={text}
        readOnly={readOnly}
        className="pw-code"
        placeholder="none"
        spellCheck={false}
        autoComplete="off"
        aria-invalid={wrong}
        onChange={(event) => setText(event.target.value)}
        onBlur={() => void commit()}
        onKeyDown={(event) => {
          if (event.key === "Enter") void commit();
          if (event.key !== "Escape") return;
          setText(saved);
          designer.focusCanvas();
        }}
      />
      {wrong ? (
        <p className="pw-wrong">Use letters, digits and underscores; the first may not be a digit.</p>
      ) : (
        <p className="pw-hint">{saved ? "A new name also replaces the old one in the steps that read it." : "Later steps can read it as $name."}</p>
      )}
    </div>
  );
}

function WholeProgram({ program }: { program: Program | null }) {
  const designer = useDesigner();
  const active = useDesignerState(editable);
  const stale = useDesignerState((state) => state.stale);
  const target = program?.root?.id ?? "";
  const saved = program?.label ?? "";
  const { text, setText, commit } = useDraft(saved, (typed) => designer.gesture({ target, gesture: "set_label", label: typed === "" ? null : typed }));
  if (!program) return <p className="pw-hint">{stale ? "The text does not parse." : "There is no workflow in the text yet."}</p>;
  return (
    <>
      <h2>{program.label ?? program.name}</h2>
      <div className="pw-field">
        <label htmlFor="pw-label">Label of new instances</label>
        <input
          id="pw-label"
          value={text}
          readOnly={!active}
          onChange={(event) => setText(event.target.value)}
          onBlur={() => void commit()}
          onKeyDown={(event) => event.key === "Enter" && void commit()}
        />
      </div>
      {program.variables.length > 0 && (
        <section>
          <h3>Variables</h3>
          <dl className="pw-variables">
            {program.variables.map((one) => (
              <div key={one.name}>
                <dt>{`{${one.name}}`}</dt>
                <dd>{one.value ?? "computed by the database"}</dd>
              </div>
            ))}
          </dl>
        </section>
      )}
      <p className="pw-hint pw-apart">Select a block to see what it does. Press ? on the canvas for keyboard shortcuts.</p>
      {active && <AddWorkflow words="Add a workflow" />}
    </>
  );
}
