"""The tutorials: texts in notebooks/tutorial, each beside the notebook that it becomes when it is executed.

A text is what people write and compare, the notebook what they open. `executed` runs a text in a kernel of its own;
`plain` is what of a notebook has to be the same after every run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jupytext
import nbformat
from jupyter_core.utils import ensure_async
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "notebooks" / "tutorial"
TEXTS = sorted(FOLDER.glob("*.md"))
CELL_SECONDS = 120

# A run that has ended gets its last picture from a thread, which a notebook that is saved at once would miss.
SETTLE = """
import threading
for thread in threading.enumerate():
    if thread.name == "pgweave watch":
        thread.join(30)
"""


class _Client(NotebookClient):
    """Takes what changes the output of an earlier cell, too, as every front end does; nbclient looks at one cell only."""

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: NotebookNode, cell_index: int) -> None:
        assert self.kc is not None
        while True:
            message = await ensure_async(self.kc.iopub_channel.get_msg(timeout=None))
            if message["parent_header"].get("msg_id") == parent_msg_id or message["msg_type"] == "update_display_data":
                try:
                    self.process_message(message, cell, cell_index)
                except CellExecutionComplete:
                    return


def read(text: Path) -> NotebookNode:
    """The notebook of a text, without outputs. Cells are numbered, so that their ids do not change by themselves."""
    notebook = cast("NotebookNode", jupytext.read(text))
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = None, []
    notebook.metadata["jupytext"] = {"formats": "ipynb,md"}
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def executed(text: Path, folder: Path, environment: Mapping[str, str]) -> NotebookNode:
    """Execute a text from top to bottom in `folder`; CellExecutionError where a cell fails that is not to."""
    notebook = read(text)
    notebook.cells.append(nbformat.v4.new_code_cell(SETTLE))  # type: ignore[no-untyped-call]
    client = _Client(
        notebook,
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        coalesce_streams=True,
    )
    client.execute(env=dict(environment))
    notebook.cells.pop()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            _without_widgets(output)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def _without_widgets(output: NotebookNode) -> None:
    """A widget needs the kernel it came from; the picture beside it does not."""
    output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)


_CHANGING = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\b[0-9a-f]{8}\b"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d(:?\d\d)?)?"), "<time>"),
    (re.compile(r"\d\d:\d\d:\d\d"), "<time>"),
    (re.compile(r"turn \d+"), "turn <number>"),
    (re.compile(r"\d+(\.\d+)? (m?s|min|seconds?)\b"), "<seconds>"),
    (re.compile(r"\b(0\.\d{1,3}|\d+\.\d{3})\b"), "<seconds>"),
    (re.compile(r"[ ─]{2,}"), " "),
    (re.compile(r"│[^│\n]*│"), "<bar>"),
)


def plain(notebook: NotebookNode) -> list[list[Any]]:
    """For each cell of code what it shows: the kinds of each output, and its words without what changes with every run."""
    return [[_plain(output) for output in cell.outputs] for cell in notebook.cells if cell.cell_type == "code"]


def _plain(output: NotebookNode) -> tuple[str, str]:
    match output.output_type:
        case "stream":
            return output.name, _same(output.text)
        case "error":
            return "error", _same("\n".join(output.traceback))
        case _:
            return " ".join(sorted(output.data)), _same(output.data.get("text/plain", ""))


def _same(words: str) -> str:
    for pattern, name in _CHANGING:
        words = pattern.sub(name, words)
    return words


def stored(text: Path) -> NotebookNode:
    """The notebook beside a text."""
    return cast("NotebookNode", nbformat.read(text.with_suffix(".ipynb"), 4))  # type: ignore[no-untyped-call]


def store(notebook: NotebookNode, text: Path) -> None:
    """Write the notebook beside a text, unless there is nothing new: other ids and times are differences nobody reads."""
    path = text.with_suffix(".ipynb")
    if not path.exists() or (plain(notebook), cells(notebook)) != (plain(stored(text)), cells(stored(text))):
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


def cells(notebook: NotebookNode) -> list[tuple[str, str, list[str]]]:
    """What is written in a notebook: kind, text and tags of each cell."""
    return [(cell.cell_type, cell.source, list(cell.metadata.get("tags", []))) for cell in notebook.cells]


def link_targets(markdown: str) -> list[str]:
    """Files that a page links to."""
    return re.findall(r"\]\((?!https?:)([^)#]+)\)", markdown)
