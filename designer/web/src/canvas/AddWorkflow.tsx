// The button that adds a workflow to the text.

import { Icon } from "../parts/icons";
import { useDesigner, useDesignerState } from "../state/context";
import { editable } from "../state/state";

/** One more workflow at the end of the text, begun with a step from the palette. */
export function AddWorkflow({ words }: { words?: string }) {
  const designer = useDesigner();
  const active = useDesignerState(editable);
  const slot = { where: "into" as const, target: "", label: "Add a workflow" };
  return (
    <button
      type="button"
      className={words === undefined ? "pw-tool" : "pw-button"}
      aria-label={words ?? "Add a workflow"}
      title="Add a workflow to this text"
      disabled={!active}
      onClick={(event) => {
        const { left, bottom } = event.currentTarget.getBoundingClientRect();
        designer.set({ menu: { slot, x: left + 20, y: bottom + 24 } });
      }}
    >
      <Icon name="plus" size={14} />
      {words}
    </button>
  );
}
