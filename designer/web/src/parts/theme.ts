// Light or dark: the notebook's theme where it states one, else the system's.

export function prefersDark(): boolean {
  const { jpThemeLight, vscodeThemeKind } = document.body.dataset;
  if (jpThemeLight !== undefined) return jpThemeLight === "false";
  if (vscodeThemeKind !== undefined) return vscodeThemeKind.includes("dark");
  if (document.body.classList.contains("dark-theme") || document.body.classList.contains("dark")) return true; // marimo
  return window.matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Calls `changed` when either of them changes; returns what ends that. */
export function followTheme(changed: (dark: boolean) => void): () => void {
  const tell = (): void => changed(prefersDark());
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const body = new MutationObserver(tell);
  system.addEventListener("change", tell);
  body.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-vscode-theme-kind"] });
  return () => {
    system.removeEventListener("change", tell);
    body.disconnect();
  };
}
