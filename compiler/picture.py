"""The graph as DOT text: control flow drawn, blocks as frames, the data that steps share dotted.

In comes a graph from `graph.build` and, for a running instance, the state of each row; out comes text for Graphviz.
Text of the program never becomes markup: labels are plain (no HTML labels), every backslash, entity and control
character in them is spelled out. Ids (`pw_n3`) and classes (`pw_SQL`, `state_running`) stand on every element, so that
CSS can colour a picture anew without laying it out again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgweave.compiler import words
from pgweave.compiler.graph import frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    import graphviz

    from pgweave.compiler.graph import Graph

STATES = ("pending", "running", "waiting", "completed", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of one theme. states: fill and line for each state."""

    background: str
    ink: str
    faint: str
    line: str
    box: str
    frame: str
    child: str
    data: str
    states: Mapping[str, tuple[str, str]]
    fills: Mapping[str, str]


LIGHT = Palette(
    background="#ffffff",
    ink="#1f2933",
    faint="#7b8794",
    line="#52606d",
    box="#f5f7fa",
    frame="#f9fafb",
    child="#f2f6ff",
    data="#0b7285",
    states={
        "pending": ("#f5f7fa", "#9aa5b1"),
        "running": ("#d0ebff", "#1971c2"),
        "waiting": ("#fff3bf", "#b08900"),
        "completed": ("#d3f9d8", "#2b8a3e"),
        "failed": ("#ffe3e3", "#c92a2a"),
        "skipped": ("#ffffff", "#b8c0c8"),
    },
    fills={"wait": "#fff9db", "choice": "#e7f0ff", "http": "#f3e8ff", "call": "#e6fcf5", "opaque": "#ffffff"},
)
DARK = Palette(
    background="#15191e",
    ink="#e4e7eb",
    faint="#8a97a6",
    line="#9aa5b1",
    box="#262d35",
    frame="#1b2027",
    child="#1a2233",
    data="#5bc8dc",
    states={
        "pending": ("#262d35", "#616e7c"),
        "running": ("#123c5e", "#4dabf7"),
        "waiting": ("#4a3d08", "#fcc419"),
        "completed": ("#153d1f", "#51cf66"),
        "failed": ("#541717", "#ff8787"),
        "skipped": ("#15191e", "#4a5561"),
    },
    fills={"wait": "#3a3312", "choice": "#1d2f4f", "http": "#34224a", "call": "#123a33", "opaque": "#15191e"},
)

_LOOKS: dict[str, tuple[str, str]] = {
    "SQL": ("box", ""),
    "SLEEP": ("octagon", "wait"),
    "WAIT_SCHEDULE": ("octagon", "wait"),
    "SIGNAL": ("octagon", "wait"),
    "AWAIT_INSTANCE": ("octagon", "wait"),
    "HTTP": ("component", "http"),
    "HTTP_MULTIPART": ("component", "http"),
    "IF": ("diamond", "choice"),
    "BREAK": ("cds", ""),
    "OPAQUE": ("note", "opaque"),
}
_MARGINS = {"octagon": "0.02,0.02", "cds": "0.22,0.09", "diamond": "0.02,0.02"}


def dot(graph: Graph, *, state: Mapping[int, str] | None = None, dark: bool = False) -> str:
    """DOT text of a graph; equal graphs give equal text.

    state: row position -> one of STATES; rows that are not in it are pending. None: nothing is running, nothing is
    coloured by state.
    """
    return str(_Picture(graph, state, DARK if dark else LIGHT).draw())


class _Picture:
    def __init__(self, graph: Graph, state: Mapping[int, str] | None, colours: Palette) -> None:
        self.graph = graph
        self.blocks: Mapping[str, Mapping[str, Any]] = graph.graph["blocks"]
        self.frames = frames(graph)
        self.state = state
        self.colours = colours

    def draw(self) -> graphviz.Digraph:
        from graphviz import Digraph

        colours = self.colours
        picture = Digraph("pgweave")
        picture.attr("graph", rankdir="TB", bgcolor=colours.background, nodesep="0.35", ranksep="0.4", ordering="out")
        picture.attr("graph", fontname="Helvetica", fontsize="11", fontcolor=colours.faint, id="pgweave")
        picture.attr("node", fontname="Helvetica", fontsize="11", fontcolor=colours.ink, penwidth="1.2")
        picture.attr("edge", fontname="Helvetica", fontsize="10", fontcolor=colours.faint, color=colours.line)
        picture.attr("edge", arrowsize="0.7")
        self.frame(picture, None)
        for source, target, attributes in self.graph.edges(data=True):
            self.edge(picture, source, target, attributes)
        self.place_unreached(picture)
        return picture

    def place_unreached(self, picture: graphviz.Digraph) -> None:
        """Steps that nothing leads to would float to the top: keep them below what stands before them."""
        before = None
        for identifier, attributes in self.graph.nodes(data=True):
            entered = any(about["role"] != "data" for _, _, about in self.graph.in_edges(identifier, data=True))
            if before and not entered and not attributes["reachable"]:
                picture.edge(before, identifier, style="invis")
            before = identifier

    def frame(self, picture: graphviz.Digraph, block: str | None) -> None:
        """Write the nodes of one block, then the blocks inside it."""
        for identifier in self.frames.nodes[block]:
            self.node(picture, identifier, self.graph.nodes[identifier])
        for inner in self.frames.blocks[block]:
            about = self.blocks[inner]
            if about["kind"] == "IF" and not self.shows_arms(inner):
                self.frame(picture, inner)
                continue
            with picture.subgraph(name=f"cluster_{inner}") as cluster:
                self.frame_line(cluster, inner, about)
                self.frame(cluster, inner)

    def shows_arms(self, arm: str) -> bool:
        """Whether the arms of a choice get frames: when one of them is more than one box."""
        choice = arm.removesuffix("_yes").removesuffix("_no")
        arms = (f"{choice}_yes", f"{choice}_no")
        return any(len(self.frames.nodes[arm]) > 1 or self.frames.blocks[arm] for arm in arms)

    def frame_line(self, cluster: graphviz.Digraph, block: str, about: Mapping[str, Any]) -> None:
        colours = self.colours
        kind = about["kind"]
        cluster.attr(
            label=plain(about["title"]),
            labeljust="l",
            id=f"pw_block_{block}",
            **{"class": f"pw_block pw_{kind}"},
            style="rounded,filled" if kind != "IF" else "rounded,dashed",
            color=colours.data if kind == "CHILD" else colours.faint,
            fillcolor=colours.child if kind == "CHILD" else colours.frame,
            penwidth="1.4" if kind == "CHILD" else "1",
            margin="12",
        )

    def node(self, picture: graphviz.Digraph, identifier: str, attributes: Mapping[str, Any]) -> None:
        colours, kind, part = self.colours, attributes["kind"], attributes["part"]
        status = self.status(attributes)
        classes = ["pw_node", f"pw_{kind}", f"pw_part_{part}"]
        look: dict[str, str] = {}
        shape, fill = _LOOKS.get(kind, ("box", ""))
        fillcolor, line = colours.fills.get("call" if part == "call" else fill, colours.box), colours.line
        if status:
            fillcolor, line = colours.states[status]
            classes.append(f"state_{status}")
        style = "rounded,filled" if shape == "box" else "filled"
        label = self.label(attributes)
        if part in ("start", "end"):
            look = {"shape": "circle" if part == "start" else "doublecircle", "width": "0.16", "fixedsize": "true"}
            label, fillcolor, line = "", colours.line, colours.line
        elif part in ("fork", "merge"):
            look = {"shape": "box", "height": "0.06", "width": "1.4", "fixedsize": "true"}
            look["group"] = identifier.removesuffix("_merge")
            label, style, fillcolor = "", "filled", line
        elif part in ("head", "test"):
            shape, style = "hexagon" if part == "head" else "diamond", "filled"
        if shape in _MARGINS:
            look["margin"] = _MARGINS[shape]
        if status == "skipped" or not attributes["reachable"] or kind == "OPAQUE":
            style += ",dashed"
        if not attributes["reachable"]:
            classes.append("pw_unreachable")
        picture.node(
            identifier,
            label=label,
            **{"shape": shape, **look},
            style=style,
            fillcolor=fillcolor,
            color=line,
            tooltip=plain(self.tooltip(attributes, status)),
            id=f"pw_{identifier}",
            **{"class": " ".join(classes)},
        )

    def status(self, attributes: Mapping[str, Any]) -> str | None:
        """State of the node's row; rows of a called child belong to another instance."""
        if self.state is None or attributes["instance"] or attributes["position"] is None:
            return None
        return self.state.get(attributes["position"], "pending")

    def label(self, attributes: Mapping[str, Any]) -> str:
        verb, detail, names = attributes["verb"], attributes["detail"], attributes["names"]
        if attributes["part"] == "head":
            verb, detail = "repeat", ""
        first = " ".join([verb, *(["as " + ", ".join(names)] if names else [])])
        lines = [first, *([detail] if detail else [])]
        if attributes["part"] == "step" or attributes["part"] == "wait":
            seconds = attributes["timeout_seconds"]
            if seconds is not None:
                lines.append(f"at most {words.duration(seconds)}")
            elif attributes["kind"] in ("AWAIT_INSTANCE", "SIGNAL"):
                lines.append("no timeout")
        return plain("\n".join(lines))

    def tooltip(self, attributes: Mapping[str, Any], status: str | None) -> str:
        text = attributes["full"] or attributes["label"]
        return f"{text}\n[{status}]" if status else text

    def edge(self, picture: graphviz.Digraph, source: str, target: str, attributes: Mapping[str, Any]) -> None:
        colours, role = self.colours, attributes["role"]
        look = {"id": f"pw_{source}_{target}_{role.replace(' ', '_')}", "class": f"pw_edge pw_{role.split()[0]}"}
        if role == "data":
            name = attributes["name"]
            look |= {"id": f"pw_{source}_{target}_data_{name}", "style": "dotted", "color": colours.data}
            look |= {"fontcolor": colours.data, "constraint": "false", "arrowhead": "open", "label": plain(f"${name}")}
        elif role == "child":
            look |= {"style": "dashed", "color": colours.data}
        elif role == "again":
            look |= {"label": "again", "constraint": "false"}
        elif role.startswith("branch"):
            look |= {"weight": "3"}
        elif role in ("yes", "no"):
            look |= {"label": role, "weight": "3"}
        picture.edge(source, target, **look)


_ENTITY = re.compile(r"&(?=#?\w+;)")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def plain(text: str) -> str:
    r"""Text as a Graphviz label that shows just that text, its lines centred.

    Graphviz would otherwise read `\N`, `\l` and entities, take `<..>` for HTML, and copy control characters, which
    XML forbids, into the SVG.
    """
    from graphviz import escape, nohtml

    shown = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\t", " ").replace("\r\n", "\n"))
    label: str = nohtml(escape(_ENTITY.sub("&amp;", shown)).replace("\n", r"\n"))
    return label
