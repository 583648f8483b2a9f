"""A workflow in its other forms: canonical text, tree, rows, SQL, graph, pictures.

In: a definition and its module. Out: text, a networkx graph, or bytes of a picture. `pgweave.workflow` loads this when a
form is asked for, since networkx takes longer to load than a small program takes to check.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from pgweave.compiler import graph, lower, script
from pgweave.compiler.pictures import draw, folding, mermaid, outline, picture, table
from pgweave.form_names import STYLES
from pgweave.formatting import format as formatted
from pgweave.grammar.writing.printer import print_definition
from pgweave.texts import ProgramError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgweave.compiler.graph import Graph
    from pgweave.form_names import Emit, Format, Style
    from pgweave.grammar.nodes import Definition, Module


def text(definition: Definition) -> str:
    """A statement that starts this workflow and no other, as `pgweave fmt` would write it; without comments."""
    return formatted(print_definition(definition))


def emit(module: Module, definition: Definition, form: Emit, style: Style | None) -> str:
    """Compile to text. ProgramError when the workflow holds what only the database can evaluate.

    style: one of `STYLES[form]`; None: the default. ValueError on any other.
    """
    if style is not None and style not in STYLES.get(form, ()):
        raise ValueError(f"{form} has no style {style!r}")
    try:
        match form:
            case "tree":
                return lower.tree(definition)
            case "rows":
                rows = lower.rows(definition)
                if style == "table":
                    return table.table(rows)
                return json.dumps([asdict(row) for row in rows.rows], indent=2, ensure_ascii=False)
            case "sql":
                return script.script(module, definition, "start" if style == "start" else "rows")
            case "graph":
                return graph.to_json(graph.build(definition))
            case "dot":
                return picture.dot(graph.build(definition))
            case "mermaid":
                return mermaid.mermaid(graph.build(definition))
            case "ascii":
                return outline.ascii(definition)
    except lower.LoweringError as error:
        raise ProgramError(error.diagnostics, module.source) from error


def build_graph(definition: Definition) -> Graph:
    """Control flow, blocks and data flow as one networkx graph."""
    return graph.build(definition)


def render(
    control_flow: Graph,
    title: str,
    form: Format,
    *,
    state: Mapping[int | str, str] | None,
    dark: bool,
    depth: int | Literal["readable"] | None,
) -> bytes:
    """Draw it. state, depth: as for `Workflow.render`. DrawError when nothing that draws is installed."""
    match depth:
        case None:
            drawn = control_flow
        case "readable":
            drawn = folding.readable(control_flow)
        case _:
            drawn = folding.fold(control_flow, depth)
    if form == "mmd":
        return mermaid.mermaid(drawn).encode()
    dot = picture.dot(drawn, state=state, dark=dark, title=title)
    return dot.encode() if form == "dot" else draw.render(dot, form)
