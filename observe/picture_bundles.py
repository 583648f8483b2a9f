"""Pictures of workflows and of runs, as mime bundles.

A picture is an SVG image and an outline as text, and deliberately not HTML: GitHub, and JupyterLab with a notebook that it
does not trust, remove the tags of HTML and would leave a heap of labels. They show the SVG and the outline. Mermaid comes
instead of SVG where there is no Graphviz, or on demand: JupyterLab would prefer it, and it draws less well.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from pgweave.compiler.pictures import outline
from pgweave.compiler.pictures.draw import DrawError
from pgweave.observe import sentences, theme

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from pgweave.observe.display import Bundle
    from pgweave.observe.run_state import RunState
    from pgweave.workflow import WorkflowSource

MERMAID = "text/vnd.mermaid"


def of_workflow(
    workflow: WorkflowSource, state: Mapping[int | str, str] | None = None, include: Container[str] | None = None
) -> Bundle:
    """The picture of a workflow. state: as for Workflow.render. include: the mime types that are wanted; None: the default ones."""
    bundle = {"text/plain": f"{workflow.name}\n{outline.ascii(workflow.definition)}".rstrip()}
    try:
        bundle["image/svg+xml"] = svg(workflow, state)
    except DrawError as problem:  # no Graphviz at all: Mermaid and the outline need none
        bundle["text/plain"] += f"\n({problem})"
    if "image/svg+xml" not in bundle or (include is not None and MERMAID in include):
        from pgweave.compiler.pictures import folding, mermaid  # lazy: start-up, networkx

        bundle[MERMAID] = mermaid.mermaid(folding.readable(workflow.graph))
    return bundle if include is None else {kind: text for kind, text in bundle.items() if kind in include}


def svg(workflow: WorkflowSource, state: Mapping[int | str, str] | None = None) -> str:
    """The picture as an SVG element with a style sheet for dark surroundings. DrawError without any Graphviz."""
    drawn = workflow.render("svg", state=state, depth="readable").decode()
    drawn = drawn[drawn.index("<svg") :]
    words = html.escape(workflow.name)
    head, end, rest = drawn.partition(">")
    return (
        f'{head} class="pgweave-picture" role="img" aria-label="{words}"{end}\n<style>{theme.svg_style()}</style>{rest}'
    )


def of_run(state: RunState) -> Bundle:
    """The picture in the colours of the moment, for front ends without widgets and for what is saved."""
    bundle = of_workflow(state.workflow, state.boxes)
    if "image/svg+xml" in bundle:
        bundle.pop(MERMAID, None)  # it cannot show states
    return {**bundle, "text/plain": "\n".join(sentences.lines(state))}
