// A modal dialog: the browser keeps the focus inside, Escape closes it.

import { useEffect, useRef, type ReactNode } from "react";
import { useDesigner } from "../state/context";

export function Dialog({ title, children, wide }: { title: string; children: ReactNode; wide?: boolean }) {
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
