"""Colours in JupyterLab's cells: the container that JupyterLab loads, and where it is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from pgweave import __version__

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks" / "labextension"
NODE = shutil.which("node")


def test_everything_that_jupyterlab_asks_for_is_installed_where_it_looks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    installed = {
        f"{folder}/{Path(file).name}": ROOT / file
        for folder, files in project["tool"]["setuptools"]["data-files"].items()
        for file in files
    }
    assert all(file.is_file() for file in installed.values())
    home = "share/jupyter/labextensions/pgweave"
    about = json.loads(installed[f"{home}/package.json"].read_text(encoding="utf-8"))
    assert about["version"] == __version__
    load = f"{home}/{about['jupyterlab']['_build']['load']}"
    assert load in installed
    # The container fetches the mode from beside itself.
    assert f"{load.rpartition('/')[0]}/pgweave-mode.js" in installed


_HARNESS = """
class Signal {
  constructor() { this.slots = []; }
  connect(slot) { this.slots.push(slot); }
  emit() { for (const slot of this.slots) slot(null, null); }
}
class Cell {
  constructor(type, source) {
    this.type = type;
    this.source = source;
    this.sharedModel = { getSource: () => this.source };
    this.mimeTypeChanged = new Signal();
    this.mime = "text/x-ipython";
  }
  get mimeType() { return this.mime; }
  set mimeType(mime) { this.mime = mime; this.mimeTypeChanged.emit(); }
}
const cells = [
  new Cell("code", "%%pgweave wf\\n'SELECT 1'"), new Cell("code", "%%pgweave sql\\nselect 1"),
  new Cell("code", "print(1)"), new Cell("markdown", "%%pgweave"), new Cell("code", "%%pgweavers"),
];
const content = {
  widgets: cells.map((model) => ({ model })), codeMimetype: "text/x-ipython", modelContentChanged: new Signal(),
};
const widgetAdded = new Signal();
widgetAdded.emit = (panel) => { for (const slot of widgetAdded.slots) slot(null, panel); };
const tracker = { forEach: () => undefined, widgetAdded };
let mode;
const modules = {
  "@codemirror/language": { LanguageSupport: class {}, StreamLanguage: { define: (made) => { mode = made; } } },
  "@jupyterlab/codemirror": { IEditorLanguageRegistry: "languages" },
  "@jupyterlab/notebook": { INotebookTracker: "tracker" },
};
const scope = Object.fromEntries(
  Object.entries(modules).map(([name, found]) => [name, { "9.9.9": { get: async () => () => found } }])
);
globalThis.document = { currentScript: { src: new URL("remoteEntry.js", import.meta.url).href } };
await import("./remoteEntry.js");
const container = globalThis._JUPYTERLAB.pgweave;
await container.init(scope);
const { default: plugin } = (await container.get("./extension"))();
const added = [];
plugin.activate(
  { docRegistry: { addFileType: (type) => added.push(type.extensions[0]) } },
  { addLanguage: (language) => added.push(language.mime) },
  tracker,
);
widgetAdded.emit({ content, context: { ready: Promise.resolve() } });
await new Promise((resolve) => setImmediate(resolve));
const seen = [cells.map((cell) => cell.mime)];
for (const cell of cells) cell.mimeType = "text/x-ipython"; // the kernel says what it speaks
seen.push(cells.map((cell) => cell.mime));
cells[0].source = "print(2)";
cells[2].source = "%%pgweave\\n";
content.modelContentChanged.emit();
seen.push(cells.map((cell) => cell.mime));
const stream = (line) => ({
  pos: 0, sol() { return this.pos === 0; }, next() { return line[this.pos++]; },
  match(pattern) {
    const rest = line.slice(this.pos);
    const found = typeof pattern === "string" ? rest.startsWith(pattern) && [pattern] : rest.match(pattern);
    if (!found || found.index > 0) return null;
    this.pos += found[0].length;
    return found;
  },
});
const state = mode.startState();
const tags = [mode.token(stream("%%pgweave wf --run"), state), mode.token(stream("df.sleep"), mode.copyState(state))];
console.log(JSON.stringify({ added, seen, tags, requires: plugin.requires }));
"""


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_cells_of_programs_are_coloured_and_others_left_alone(tmp_path: Path) -> None:
    """With stand-ins for JupyterLab's modules: as cells are opened, told the kernel's language, and rewritten."""
    for file in (FOLDER / "remoteEntry.js", ROOT / "notebooks" / "static" / "pgweave-mode.js"):
        shutil.copy(file, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    (tmp_path / "harness.js").write_text(_HARNESS, encoding="utf-8")
    assert NODE is not None
    done = subprocess.run([NODE, str(tmp_path / "harness.js")], capture_output=True, text=True, check=True, timeout=60)
    told = json.loads(done.stdout)
    ours, python, sql = "text/x-pgweave", "text/x-ipython", "text/x-sql"
    assert told["added"] == [ours, ".df"]
    assert told["requires"] == ["languages"]
    assert told["seen"] == [
        [ours, sql, python, python, python],
        [ours, sql, python, python, python],
        [python, sql, ours, python, python],
    ]
    assert told["tags"] == ["meta", "variableName.standard"]
