"""The graph as Mermaid text, for the places that draw Mermaid themselves: pull requests, wikis, notebooks on the web.

Text of the program never becomes markup here either: whatever Mermaid or HTML could read as its own is written as a
character code (`#60;`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pgweave.compiler.graph import frames
from pgweave.compiler.pictures import step_words
from pgweave.compiler.pictures.palette import DIFFERENCES, LIGHT
from pgweave.grammar import durations
from pgweave.grammar.kinds import KINDS, OPAQUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pgweave.compiler.graph import Frames, Graph

# Graphviz shape of a kind -> brackets of Mermaid; what is not here is round, as a wait is.
_BRACKETS = {
    "box": ('["', '"]'),
    "component": ('[["', '"]]'),
    "diamond": ('{"', '"}'),
    "cds": ('>"', '"]'),
    "note": ('[/"', '"/]'),
}
_SHAPES = {kind.name: _BRACKETS[kind.shape] for kind in (*KINDS.values(), OPAQUE) if kind.shape in _BRACKETS}
_ROUND = ('(["', '"])')


def mermaid(graph: Graph, *, differences: Mapping[str, str] | None = None) -> str:
    """Flowchart of a graph; equal graphs give equal text. differences: id of a node -> one of palette.DIFFERENCES."""
    lines = ["flowchart TD", *_block(graph, frames(graph), None, "    ")]
    for source, target, attributes in graph.edges(data=True):
        lines.append("    " + _edge(source, target, attributes))
    lines += [
        f"    classDef wait fill:{LIGHT.fills['wait'][0]},stroke:{LIGHT.fills['wait'][1]},color:{LIGHT.ink}",
        f"    classDef mark fill:{LIGHT.line},stroke:{LIGHT.line},color:{LIGHT.background}",
    ]
    for change in DIFFERENCES:
        changed = [_name(identifier) for identifier, what in (differences or {}).items() if what == change]
        if changed:
            fill, line = LIGHT.differences[change]
            dashed = ",stroke-dasharray:4" if change == "removed" else ""
            lines.append(f"    classDef {change} fill:{fill},stroke:{line},color:{LIGHT.ink}{dashed}")
            lines.append(f"    class {','.join(changed)} {change}")
    return "\n".join(lines) + "\n"


def _block(graph: Graph, inside: Frames, block: str | None, indent: str) -> Iterator[str]:
    for identifier in inside.nodes[block]:
        yield indent + _node(identifier, graph.nodes[identifier])
    for inner in inside.blocks[block]:
        if graph.graph["blocks"][inner]["kind"] == "IF":  # the lines into an arm say yes and no
            yield from _block(graph, inside, inner, indent)
            continue
        yield f'{indent}subgraph b_{inner}["{plain(graph.graph["blocks"][inner]["title"])}"]'
        yield from _block(graph, inside, inner, indent + "    ")
        yield f"{indent}end"


def _node(identifier: str, attributes: Mapping[str, Any]) -> str:
    name, kind, part = _name(identifier), attributes["kind"], attributes["part"]
    if part in ("start", "end"):
        return f'{name}(("{part}")):::mark'
    if part in ("fork", "merge"):
        opening, closing = _ROUND
        return f"{name}{opening}{step_words.BARS[kind, part]}{closing}"
    if part in ("head", "test"):
        return f'{name}{{{{"repeat"}}}}' if part == "head" else f'{name}{{"again?"}}'
    first = " ".join([attributes["verb"], *(["as " + ", ".join(attributes["names"])] if attributes["names"] else [])])
    seconds = attributes["timeout_seconds"]
    lines = [first, attributes["detail"], "" if seconds is None else f"at most {durations.exact(seconds)}"]
    opening, closing = ('[["', '"]]') if part == "fold" else _SHAPES.get(kind, _ROUND)
    style = ":::wait" if kind not in _SHAPES and part != "fold" else ""
    return f"{name}{opening}{'<br/>'.join(plain(line) for line in lines if line)}{closing}{style}"


def _edge(source: str, target: str, attributes: Mapping[str, Any]) -> str:
    role = attributes["role"]
    match role:
        case "data":
            return f'{_name(source)} -.->|"{plain("$" + attributes["name"])}"| {_name(target)}'
        case "child":
            return f"{_name(source)} -.-> {_name(target)}"
        case "yes" | "no" | "again":
            return f"{_name(source)} -->|{role}| {_name(target)}"
        case _:
            return f"{_name(source)} --> {_name(target)}"


def _name(identifier: str) -> str:
    """`end` is a word of Mermaid's own."""
    return f"{identifier}_" if identifier in ("start", "end") else identifier


# A list of what is harmless: Mermaid's own signs differ from version to version, and HTML is read in its
# labels.
_SPECIAL = re.compile(r"[^A-Za-z0-9 .,:()$=+_?!'/-]", re.ASCII)


def plain(text: str) -> str:
    """Text as a Mermaid label that shows just that text, in one line."""
    return _SPECIAL.sub(_code, " ".join(text.split()))


def _code(found: re.Match[str]) -> str:
    character = found[0]
    # Letters beyond ASCII need no code.
    if character.isalnum():
        return character
    return f"#{ord(character)};" if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
