// Colours in JupyterLab 4 and Notebook 7: for cells that begin with %%pgweave, and for .df files.
//
// Written by hand as what a bundler would make: a module federation container. What it needs it takes from JupyterLab
// itself, the mode of the language from pgweave-mode.js beside it; so there is nothing to build and nothing to ship twice.
"use strict";
(() => {
  const here = document.currentScript.src;
  const CELL = /^%%pgweave\b(?![ \t]+sql\b)/;
  const SQL_CELL = /^%%pgweave[ \t]+sql\b/;
  const MIME = "text/x-pgweave";
  let shared;

  // A module that JupyterLab has loaded, whatever its version.
  async function module(name) {
    const versions = Object.values(shared[name] ?? {});
    if (!versions.length) throw new Error(`pgweave: this front end has no ${name}`);
    return (await versions[0].get())();
  }

  // The mode of the language, but that a magic may stand on the first line.
  function inCells(mode) {
    return {
      ...mode,
      startState: () => ({ first: true, inner: mode.startState() }),
      copyState: (state) => ({ first: state.first, inner: mode.copyState(state.inner) }),
      token: (stream, state) => {
        const first = state.first;
        state.first = false;
        if (first && stream.sol() && stream.match(/^%%\w.*/)) return "meta";
        return mode.token(stream, state.inner);
      },
    };
  }

  const known = new WeakSet(); // cells whose changes of language we hear of

  function colour(panel) {
    const notebook = panel.content;
    for (const cell of notebook.widgets) {
      if (cell.model.type !== "code") continue;
      if (!known.has(cell.model)) {
        known.add(cell.model);
        cell.model.mimeTypeChanged.connect(() => colour(panel)); // the kernel's language takes every cell, once it is known
      }
      const source = cell.model.sharedModel.getSource();
      const wanted = CELL.test(source) ? MIME : SQL_CELL.test(source) ? "text/x-sql" : null;
      const ours = cell.model.mimeType === MIME || cell.model.mimeType === "text/x-sql";
      const mime = wanted ?? (ours ? notebook.codeMimetype : null);
      if (mime && mime !== cell.model.mimeType) cell.model.mimeType = mime;
    }
  }

  async function watch(panel) {
    await panel.context.ready;
    panel.content.modelContentChanged.connect(() => colour(panel));
    colour(panel);
  }

  async function extension() {
    const [{ LanguageSupport, StreamLanguage }, { IEditorLanguageRegistry }, { INotebookTracker }, { pgweave }] =
      await Promise.all([
        module("@codemirror/language"),
        module("@jupyterlab/codemirror"),
        module("@jupyterlab/notebook"),
        import(new URL("pgweave-mode.js", here).href),
      ]);
    const plugin = {
      id: "pgweave:colours",
      description: "Colours for pgweave programs in cells and in .df files",
      autoStart: true,
      requires: [IEditorLanguageRegistry],
      optional: [INotebookTracker],
      activate: (app, languages, tracker) => {
        const support = new LanguageSupport(StreamLanguage.define(inCells(pgweave)));
        languages.addLanguage({ name: "pgweave", displayName: "pgweave", mime: MIME, extensions: ["df"], support });
        app.docRegistry.addFileType({
          name: "pgweave", displayName: "pgweave program", extensions: [".df"], mimeTypes: [MIME], fileFormat: "text",
        });
        tracker?.forEach(watch);
        tracker?.widgetAdded.connect((_, panel) => watch(panel));
      },
    };
    return { __esModule: true, default: plugin };
  }

  globalThis._JUPYTERLAB = globalThis._JUPYTERLAB ?? {};
  globalThis._JUPYTERLAB.pgweave = {
    init: (scope) => { shared = scope; },
    get: async (name) => {
      if (name !== "./extension") throw new Error(`pgweave: there is no ${name}`);
      const made = await extension();
      return () => made;
    },
  };
})();
