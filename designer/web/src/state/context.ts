// Gives components access to the designer and its state.

import { createContext, useContext } from "react";
import { useStore } from "zustand";
import type { Designer } from "./designer";
import type { State } from "./state";

export const DesignerContext = createContext<Designer | null>(null);

export function useDesigner(): Designer {
  const designer = useContext(DesignerContext);
  if (!designer) throw new Error("outside of a designer");
  return designer;
}

export function useDesignerState<T>(select: (state: State) => T): T {
  return useStore(useDesigner().store, select);
}
