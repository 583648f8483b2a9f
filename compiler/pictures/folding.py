"""A graph made smaller for a picture: deep blocks and long runs of plain steps each become one box.

In comes a graph from `graph.build`, out comes a smaller one of the same shape. Levels count frames: a loop at the top
is level 1, a branch inside it level 2. A box that stands for others has part `fold`; what it stands for is its `full`.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import networkx as nx

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pgweave.compiler.graph import Graph

READABLE_NODES = 90
"""Boxes that a screen or a page still shows legibly; more are folded unless somebody asks for them."""
FEW_NODES = 12
"""Fewer boxes than this say too little: rather one level more."""
LONG_RUN = 6
"""Steps in a row without anything else between them, from which on a run may be shortened to its first and last."""
ENDS = (8, 4, 2, 1)
"""How many steps of a run are shown at each of its ends: the first of these that makes the picture legible."""


def readable(graph: Graph) -> Graph:
    """Fold no more than what makes a picture legible: blocks first, the deepest first of all, then long runs."""
    if len(graph) <= READABLE_NODES:
        return graph
    for kept in ENDS:
        smaller = shorten(graph, kept)
        if len(smaller) <= READABLE_NODES:
            return smaller
    deepest = max(_levels(graph).values(), default=0)
    steps = [shorten(fold(graph, depth)) for depth in range(deepest)] + [smaller]
    fitting = [number for number, folded in enumerate(steps) if len(folded) <= READABLE_NODES]
    chosen = fitting[-1] if fitting else 0
    if len(steps[chosen]) < FEW_NODES and chosen + 1 < len(steps) and len(steps[chosen + 1]) <= 3 * READABLE_NODES:
        chosen += 1
    return steps[chosen]


def fold(graph: Graph, depth: int) -> Graph:
    """Copy a graph, blocks below level `depth` folded. A block of one box stays a box."""
    hidden = _hidden(graph, depth)
    inside: dict[str, list[str]] = {}
    for identifier, attributes in graph.nodes(data=True):
        if attributes["block"] in hidden:
            inside.setdefault(hidden[attributes["block"]], []).append(identifier)
    blocks: Mapping[str, Mapping[str, Any]] = graph.graph["blocks"]
    boxes = {block: _block(graph, block, members) for block, members in inside.items() if len(members) > 1}
    folded = _replaced(graph, {block: inside[block] for block in boxes}, boxes)
    for members in inside.values():
        if len(members) == 1:
            folded.nodes[members[0]]["block"] = blocks[hidden[graph.nodes[members[0]]["block"]]]["parent"]
    folded.graph["blocks"] = {block: about for block, about in blocks.items() if block not in hidden}
    return folded


def shorten(graph: Graph, kept: int = 1) -> Graph:
    """Copy a graph, the middle of every long run of plain steps in one box. kept: steps that stay at each end."""
    long = max(LONG_RUN, 2 * kept + 2)
    middles = {run[kept]: run[kept:-kept] for run in _runs(graph) if len(run) >= long}
    boxes = {first: _box(graph, members, "", f"{len(members)} more steps") for first, members in middles.items()}
    return _replaced(graph, middles, boxes)


def differences(folded: Graph, of: Mapping[str, str]) -> dict[str, str]:
    """What became of the boxes of a folded graph, when `of` says it of the nodes: what it was for all, or changed."""
    found = dict(of)
    for identifier, attributes in folded.nodes(data=True):
        inside = {of.get(member) for member in attributes.get("members", ())}
        if inside - {None}:
            found[identifier] = next(iter(inside)) or "" if len(inside) == 1 else "changed"
    return found


def _replaced(
    graph: Graph, groups: Mapping[str, list[str]], boxes: Mapping[str, Mapping[str, Any]]
) -> nx.MultiDiGraph[str]:
    """Copy a graph with one box, called `NAME_fold`, in place of each group of nodes."""
    place = {member: f"{name}_fold" for name, members in groups.items() for member in members}
    result: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    result.graph["blocks"] = dict(graph.graph["blocks"])
    about = {f"{name}_fold": box for name, box in boxes.items()}
    for identifier, attributes in graph.nodes(data=True):
        box = place.get(identifier)
        if box is None:
            result.add_node(identifier, **attributes)
        elif box not in result:
            result.add_node(box, **about[box])
    for source, target, attributes in graph.edges(data=True):
        ends = (place.get(source, source), place.get(target, target))
        if ends[0] == ends[1] and source in place:
            continue
        # What a box decides inside is not seen from outside.
        role = "then" if source in place and attributes["role"] in {"yes", "no", "condition"} else attributes["role"]
        key = f"data {attributes['name']}" if role == "data" else role
        result.add_edge(*ends, key=key, **{**attributes, "role": role})
    return result


def _levels(graph: Graph) -> dict[str, int]:
    """Level of each block; a block stands behind the one it is in."""
    levels: dict[str, int] = {}
    for block, about in graph.graph["blocks"].items():
        levels[block] = levels.get(about["parent"], 0) + 1
    return levels


def _hidden(graph: Graph, depth: int) -> dict[str, str]:
    """For each block that is not shown the outermost such block around it, itself included."""
    hidden: dict[str, str] = {}
    levels = _levels(graph)
    for block, about in graph.graph["blocks"].items():
        # The outermost hidden block becomes the box; those inside are in it.
        if levels[block] > depth:
            hidden[block] = hidden.get(about["parent"], block)
    return hidden


def _runs(graph: Graph) -> Iterator[list[str]]:
    """Steps that follow each other with nothing between them, in one block, in the order of the program."""
    plain = {identifier: _is_plain(graph, identifier) for identifier in graph}
    heads: dict[str, str] = {}  # step -> first of its run
    for identifier in graph:
        before = [source for source, _, edge in graph.in_edges(identifier, data=True) if edge["role"] == "then"]
        joined = plain[identifier] and len(before) == 1 and plain[before[0]]
        same = joined and graph.nodes[before[0]]["block"] == graph.nodes[identifier]["block"]
        if plain[identifier]:
            heads[identifier] = heads[before[0]] if same and before[0] in heads else identifier
    for _, run in groupby(sorted(heads, key=lambda step: _position(graph, heads[step])), key=lambda step: heads[step]):
        yield list(run)


def _position(graph: Graph, identifier: str) -> tuple[str, int]:
    attributes = graph.nodes[identifier]
    return attributes["instance"], attributes["position"]


def _is_plain(graph: Graph, identifier: str) -> bool:
    """Whether control enters a step from one place and leaves it to one place."""
    entered = [edge for _, _, edge in graph.in_edges(identifier, data=True) if edge["role"] != "data"]
    # Data edges are no control flow: a step in a run may be read from anywhere.
    left = [edge["role"] for _, _, edge in graph.out_edges(identifier, data=True) if edge["role"] != "data"]
    return graph.nodes[identifier]["part"] == "step" and len(entered) == 1 and left == ["then"]


def _block(graph: Graph, block: str, members: list[str]) -> dict[str, Any]:
    """Attributes of the box that stands for a block. An arm of a choice has no row of its own: its first step's."""
    about = graph.graph["blocks"][block]
    arm = about["kind"] == "IF"
    box = _box(graph, members, "" if arm else about["title"], _count(graph, members))
    box |= {"kind": about["kind"], "instance": about["instance"], "block": about["parent"]}
    return box if arm else {**box, "position": about["position"]}


def _box(graph: Graph, members: list[str], title: str, count: str) -> dict[str, Any]:
    nodes = [graph.nodes[member] for member in members]
    lines = (f"{node['label']} ({node['full']})" if node["part"] == "fold" else node["label"] for node in _steps(nodes))
    return {
        **nodes[0],
        "part": "fold",
        "members": tuple(step for member in members for step in graph.nodes[member].get("members", (member,))),
        "verb": title or count,
        "detail": count if title else "",
        "label": f"{title}: {count}" if title else count,
        "full": "\n".join(lines),
        "query": None,
        "result_name": None,
        "names": tuple(_read_outside(graph, members)),
        "timeout_seconds": None,
        "reachable": any(node["reachable"] for node in nodes),
    }


def _steps(nodes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [node for node in nodes if node["part"] in {"step", "call", "wait", "fold"}]


def _count(graph: Graph, members: list[str]) -> str:
    count = len(_steps(graph.nodes[member] for member in members))
    return f"{count} steps" if count != 1 else "1 step"


def _read_outside(graph: Graph, members: Iterable[str]) -> dict[str, None]:
    """Names that are bound inside and read outside, in the order of the program."""
    inside = set(members)
    return {
        edge["name"]: None
        for member in members
        for _, target, edge in graph.out_edges(member, data=True)
        if edge["role"] == "data" and target not in inside
    }
