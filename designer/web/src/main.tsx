// The two entry points: `mount` for the page of pgweave studio, the default export for anywidget.

import { EditorView } from "@codemirror/view";
import flowStyle from "@xyflow/react/dist/base.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import canvasStyle from "./canvas/canvas.css";
import colours from "./colours.css";
import { DesignerContext } from "./state/context";
import { Designer } from "./state/designer";
import { textState } from "./text/editor";
import style from "./style.css";
import { followTheme, prefersDark } from "./parts/theme";
import { custom, websocket, type Model } from "./connection/transports";
import type { Transport } from "./connection/wire";

export { websocket };

/**
 * Puts a designer into `element`; returns what removes it.
 *
 * It is in a shadow root, so that the notebook's style sheets and the designer's do not affect each other.
 */
export function mount(element: HTMLElement, transport: Transport): () => void {
  const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync([flowStyle, colours, style, canvasStyle].join("\n"));
  root.adoptedStyleSheets = [sheet];
  // JupyterLab ignores its shortcuts for keys pressed in here.
  element.dataset["lmSuppressShortcuts"] = "true";

  const designer = new Designer(transport, root, textState);
  const follow = (dark: boolean): void => designer.set({ theme: dark ? "dark" : "light" });
  follow(prefersDark());
  const unfollow = followTheme(follow);
  designer.view = new EditorView({ root, state: textState(designer, "", 0) });
  const place = document.createElement("div");
  place.className = "pw-root";
  root.append(place);
  const react = createRoot(place);
  react.render(
    <StrictMode>
      <DesignerContext.Provider value={designer}>
        <App />
      </DesignerContext.Provider>
    </StrictMode>,
  );
  return () => {
    unfollow();
    react.unmount();
    designer.close();
    place.remove();
  };
}

export default {
  render({ model, el }: { model: Model; el: HTMLElement }): () => void {
    // In an inner element: JupyterLab resets the styles of the widget's own.
    const place = el.appendChild(document.createElement("div"));
    place.style.height = "560px";
    const unmount = mount(place, custom(model));
    return () => {
      unmount();
      place.remove();
    };
  },
};
