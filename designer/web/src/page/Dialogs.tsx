// The dialogs: a conflict with the file, the name of a new file, the list of keyboard shortcuts, comparing versions.

import { useState } from "react";
import { Dialog } from "./Dialog";
import { Compare } from "./Compare";
import { useDesigner, useDesignerState } from "../state/context";
import { KEYS } from "../canvas/keys";
import { resolve, save } from "../state/saving";

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
        <Dialog title="Keyboard shortcuts on the canvas">
          <dl className="pw-keys">
            {KEYS.map(([key, meaning]) => (
              <div key={key}>
                <dt>{key}</dt>
                <dd>{meaning}</dd>
              </div>
            ))}
          </dl>
        </Dialog>
      );
    default:
      return null;
  }
}

function Conflict({ theirs }: { theirs: string }) {
  const designer = useDesigner();
  const mine = designer.view?.state.doc.toString() ?? "";
  return (
    <Dialog title="The file was changed outside this page" wide>
      <p>The file and the text in this page have changes in the same lines. Nothing has been written yet: choose which text to save. The other one stays in the undo history.</p>
      <div className="pw-sides">
        <section>
          <h3>In this page</h3>
          <pre className="pw-code">{mine}</pre>
          <button type="button" className="pw-button pw-primary" onClick={() => void resolve(designer, "mine")}>
            Save this page's text
          </button>
        </section>
        <section>
          <h3>On disk</h3>
          <pre className="pw-code">{theirs}</pre>
          <button type="button" className="pw-button" onClick={() => void resolve(designer, "theirs")}>
            Use the file's text
          </button>
        </section>
      </div>
    </Dialog>
  );
}

function SaveAs() {
  const designer = useDesigner();
  const [name, setName] = useState("workflow.df");
  return (
    <Dialog title="Save as">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save(designer, name);
        }}
      >
        <div className="pw-field">
          <label htmlFor="pw-filename">File name</label>
          <input id="pw-filename" value={name} autoFocus onChange={(event) => setName(event.target.value)} />
        </div>
        <button type="submit" className="pw-button pw-primary" disabled={name.trim() === ""}>
          Save
        </button>
      </form>
    </Dialog>
  );
}
