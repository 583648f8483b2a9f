"""The graph as DOT text: control flow drawn, blocks as frames, the data that steps share dotted.

In comes a graph from `graph.build` and, for a running instance, the state of each row, or, for a comparison, what
became of each node; out comes text for Graphviz. Text of the program never becomes markup: labels are plain (no HTML
labels), every backslash, entity and control character in them is spelled out. Ids (`pw_n3`) and classes (`pw_SQL`,
`state_running`, `diff_added`) are on every element, so that CSS can change colours without another layout.

What is drawn beside the graph's own nodes is there for the eye: the bar where branches part and meet says how, and
every path back to the head of a loop goes through one point at its foot, so that there is one line back and what
follows the loop stands below it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pgweave.compiler.graph import frames
from pgweave.compiler.pictures import step_words
from pgweave.compiler.pictures.palette import DARK, DIFFERENCES, LIGHT, SIGNS, STATES, Palette
from pgweave.grammar import durations
from pgweave.grammar.kinds import KINDS, OPAQUE, Wait
from pgweave.grammar.shortened import cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import graphviz

    from pgweave.compiler.graph import Graph

__all__ = ["DARK", "DIFFERENCES", "LIGHT", "STATES", "Palette", "dot", "plain"]

_LOOKS = {kind.name: (kind.shape, kind.fill) for kind in (*KINDS.values(), OPAQUE)}
_TIMED = {kind.name for kind in KINDS.values() if kind.waits_for in (Wait.SIGNAL, Wait.INSTANCE)}
WIDEST_TITLE = 60  # characters of a label or name that is drawn in one line
LONGEST_TOOLTIP = 3_000  # characters; Graphviz refuses a quoted text of 16,384 bytes, and an entity makes five of one
_MARGINS = {"octagon": "0.02,0.02", "cds": "0.22,0.09", "diamond": "0.02,0.02"}


def dot(
    graph: Graph,
    *,
    state: Mapping[int | str, str] | None = None,
    differences: Mapping[str, str] | None = None,
    dark: bool = False,
    title: str = "",
) -> str:
    """DOT text of a graph; equal graphs give equal text.

    state: row position -> one of STATES, for rows of a called child the id of its node -> state; rows that are not in
    it are pending. None: nothing is running, nothing is coloured by state. differences: id of a node -> one of
    DIFFERENCES. title: what stands above the picture.
    """
    return str(_Picture(graph, state, differences or {}, DARK if dark else LIGHT).draw(title))


class _Picture:
    def __init__(
        self,
        graph: Graph,
        state: Mapping[int | str, str] | None,
        differences: Mapping[str, str],
        colours: Palette,
    ) -> None:
        self.graph = graph
        self.blocks: Mapping[str, Mapping[str, Any]] = graph.graph["blocks"]
        self.frames = frames(graph)
        self.state = state
        self.differences = differences
        self.colours = colours
        self.feet = dict(self.find_feet())

    def draw(self, title: str) -> graphviz.Digraph:
        from graphviz import Digraph

        colours = self.colours
        picture = Digraph("pgweave")
        picture.attr("graph", rankdir="TB", bgcolor=colours.background, nodesep="0.3", ranksep="0.38", ordering="out")
        picture.attr("graph", fontname="Helvetica", fontsize="11", fontcolor=colours.faint, id="pgweave", pad="0.15")
        picture.attr("node", fontname="Helvetica", fontsize="11", fontcolor=colours.ink, penwidth="1.1")
        picture.attr("edge", fontname="Helvetica", fontsize="10", fontcolor=colours.line, color=colours.line)
        picture.attr("edge", arrowsize="0.7")
        self.frame(picture, None)
        for source, target, attributes in self.graph.edges(data=True):
            self.edge(picture, source, target, attributes)
        self.close_loops(picture)
        self.place_unreached(picture)
        if title:
            # A node of its own and not the graph's label: that would be centred below or move with the frames.
            picture.node(
                "title",
                label=plain(cut(title, WIDEST_TITLE)),
                shape="plaintext",
                fontsize="15",
                id="pw_title",
                height="0.1",
                margin="0",
            )
            picture.edge("title", "start", style="invis")
        return picture

    def find_feet(self) -> Iterator[tuple[str, str]]:
        """For each endless loop that is drawn open: its head, and the foot that all ways back go through."""
        for block, about in self.blocks.items():
            if about["kind"] == "LOOP" and block in self.graph:
                back = [edge for _, _, edge in self.graph.in_edges(block, data=True) if edge["role"] == "again"]
                if back and f"{block}_test" not in self.graph:
                    # With a test the way back begins there; only a loop without one has several ways back that
                    # are to be joined.
                    yield block, f"{block}_foot"

    def close_loops(self, picture: graphviz.Digraph) -> None:
        """One line from the foot of each loop back to its head; what follows the loop stands below its foot."""
        for head, foot in self.feet.items():
            look = {"id": f"pw_{foot}_{head}", "class": "pw_edge pw_again", "constraint": "false"}
            picture.edge(f"{foot}:e", f"{head}:e", **look)
            for follower in self.followers(head):
                # Invisible edges have a rank: they keep what follows a loop below it, though control comes from
                # the middle, by a break.
                picture.edge(foot, follower, style="invis")

    def followers(self, block: str) -> list[str]:
        """Nodes outside of a block that a step inside leads to."""
        found: dict[str, None] = {}
        for source, target, attributes in self.graph.edges(data=True):
            if attributes["role"] != "data" and self.is_in(source, block) and not self.is_in(target, block):
                found[target] = None
        return list(found)

    def is_in(self, identifier: str, block: str) -> bool:
        frame = self.graph.nodes[identifier]["block"]
        while frame is not None and frame != block:
            frame = self.blocks[frame]["parent"]
        return bool(frame == block)

    def is_drawn(self, identifier: str) -> bool:
        """All but the end of what never ends."""
        attributes = self.graph.nodes[identifier]
        ends_nowhere = attributes["part"] == "end" and not attributes["reachable"]
        # A workflow that loops for ever has no end to draw, unless a step that is never reached leads there.
        return not ends_nowhere or bool(self.graph.in_edges(identifier))

    def place_unreached(self, picture: graphviz.Digraph) -> None:
        """Steps that nothing leads to would float to the top: keep them below what stands before them."""
        before = None
        for identifier, attributes in self.graph.nodes(data=True):
            entered = any(about["role"] != "data" for _, _, about in self.graph.in_edges(identifier, data=True))
            if before and not entered and not attributes["reachable"] and self.is_drawn(identifier):
                picture.edge(before, identifier, style="invis")
            before = identifier

    def frame(self, picture: graphviz.Digraph, block: str | None) -> None:
        """Write the nodes of one block, then the blocks inside it."""
        for identifier in self.frames.nodes[block]:
            if self.is_drawn(identifier):
                self.node(picture, identifier, self.graph.nodes[identifier])
        foot = self.feet.get(block or "")
        if foot:
            picture.node(
                foot,
                shape="point",
                width="0.06",
                color=self.colours.line,
                tooltip="again",
                **{"id": f"pw_{foot}", "class": "pw_node pw_LOOP pw_part_foot"},
            )
        for inner in self.frames.blocks[block]:
            with picture.subgraph(name=f"cluster_{inner}") as cluster:
                self.frame_line(cluster, inner, self.blocks[inner])
                self.frame(cluster, inner)

    def frame_line(self, cluster: graphviz.Digraph, block: str, about: Mapping[str, Any]) -> None:
        """How a frame looks. Arms of a choice keep together without one: the lines into them say yes and no."""
        kind = about["kind"]
        look = {"id": f"pw_block_{block}", "class": f"pw_block pw_{kind}"}
        if kind == "IF":
            cluster.attr(**look, label="", style="invis", margin="2")
            return
        fill, line = self.colours.frames[kind]
        change = self.differences.get(block)
        if change:
            line = self.colours.differences[change][1]
            look["class"] += f" diff_{change}"
        cluster.attr(
            **look,
            label=plain(cut(about["title"], WIDEST_TITLE)),
            labeljust="l",
            style="rounded,filled" + (",dashed" if change == "removed" else ""),
            color=line,
            fillcolor=fill,
            penwidth="1.6" if change else "1",
            margin="12",
        )

    def node(self, picture: graphviz.Digraph, identifier: str, attributes: Mapping[str, Any]) -> None:
        """One node: its shape says what kind of thing it does, its colour whether it acts, waits or decides."""
        status, change = self.status(identifier, attributes), self.differences.get(identifier)
        classes = ["pw_node", f"pw_{attributes['kind']}", f"pw_part_{attributes['part']}"]
        look = self.look(identifier, attributes)
        if change:
            look |= dict(zip(("fillcolor", "color"), self.colours.differences[change], strict=True), penwidth="1.8")
            look["label"] = f"{SIGNS[change]} {look['label']}" if look["label"] else ""  # not by colour alone
            classes.append(f"diff_{change}")
        # Start and end have no row, and so no state.
        elif status and attributes["part"] not in ("start", "end"):
            look |= dict(zip(("fillcolor", "color"), self.colours.states[status], strict=True))
            look |= {"penwidth": "1.8"} if status in ("running", "failed") else {}
            classes.append(f"state_{status}")
        # A bar is one colour, the one that the state has given to its border.
        if attributes["part"] in ("fork", "merge"):
            look["fillcolor"] = look["color"]
        if status == "skipped" or change == "removed" or not attributes["reachable"] or attributes["kind"] == "OPAQUE":
            look["style"] += ",dashed"
        if not attributes["reachable"]:
            classes.append("pw_unreachable")
            look |= {"fillcolor": self.colours.background} if attributes["part"] == "end" else {}
        tooltip = plain(cut(self.tooltip(attributes, change or status), LONGEST_TOOLTIP))
        picture.node(identifier, **look, tooltip=tooltip, id=f"pw_{identifier}", **{"class": " ".join(classes)})

    def look(self, identifier: str, attributes: Mapping[str, Any]) -> dict[str, str]:
        """Shape, label and colours of a node to which nothing has happened yet."""
        colours, kind, part = self.colours, attributes["kind"], attributes["part"]
        shape, fill = _LOOKS.get(kind, ("box", ""))
        if part in ("start", "end"):
            shape = "circle" if part == "start" else "doublecircle"
            look = {"label": "", "shape": shape, "width": "0.16", "fixedsize": "true", "style": "filled"}
            return look | {"fillcolor": colours.line, "color": colours.line}
        if part in ("fork", "merge"):
            line = colours.frames[kind][1]
            look = {
                "label": step_words.BARS[kind, part],
                "shape": "box",
                "height": "0.2",
                "width": "1.6",
                "margin": "0.06,0.02",
            }
            look |= {"fontsize": "9", "fontcolor": colours.background, "style": "rounded,filled", "color": line}
            # Graphviz keeps nodes of one group on a straight line: the bar where branches meet stands below the
            # one where they part.
            return look | {"group": identifier.removesuffix("_merge")}
        if part == "fold":
            fillcolor, color = colours.fills[""] if kind == "IF" else colours.frames.get(kind, colours.fills[""])
            look = {"label": self.label(attributes), "shape": "box3d", "style": "filled"}
            return look | {"fillcolor": fillcolor, "color": color}
        if part == "test":
            shape, fill = "diamond", "choice"
        if part == "call":
            fill = "call"
        fillcolor, color = colours.fills[fill]
        look = {"label": self.label(attributes), "shape": shape, "fillcolor": fillcolor, "color": color}
        look["style"] = "rounded,filled" if shape == "box" else "filled"
        return look | ({"margin": _MARGINS[shape]} if shape in _MARGINS else {})

    def status(self, identifier: str, attributes: Mapping[str, Any]) -> str | None:
        """State of the node's row. Rows of a called child belong to another instance: they go by the node's id."""
        if self.state is None or attributes["position"] is None:
            return None
        if identifier in self.state:
            return self.state[identifier]
        return None if attributes["instance"] else self.state.get(attributes["position"], "pending")

    def label(self, attributes: Mapping[str, Any]) -> str:
        """Verb, name and detail, and for a wait how long it may take."""
        verb, detail, names = attributes["verb"], attributes["detail"], attributes["names"]
        if attributes["part"] == "head":
            verb, detail = "repeat", ""
        first = " ".join([verb, *(["as " + cut(", ".join(names), WIDEST_TITLE)] if names else [])])
        lines = [first, *([detail] if detail else [])]
        if attributes["part"] == "step" or attributes["part"] == "wait":
            seconds = attributes["timeout_seconds"]
            if seconds is not None:
                lines.append(f"at most {durations.exact(seconds)}")
            elif attributes["kind"] in _TIMED:
                lines.append("no timeout")
        return plain("\n".join(lines))

    def tooltip(self, attributes: Mapping[str, Any], status: str | None) -> str:
        """What a box has no room for: the whole of the SQL, and the state."""
        text = attributes["full"] or attributes["label"]
        return f"{text}\n[{status}]" if status else text

    def edge(self, picture: graphviz.Digraph, source: str, target: str, attributes: Mapping[str, Any]) -> None:
        """One edge. Data and ways back take no part in the layout: what runs later stands lower."""
        colours, role = self.colours, attributes["role"]
        look = {"id": f"pw_{source}_{target}_{role.replace(' ', '_')}", "class": f"pw_edge pw_{role.split()[0]}"}
        if role == "data":
            name = attributes["name"]
            look |= {"id": f"pw_{source}_{target}_data_{name}", "style": "dotted", "color": colours.data}
            look |= {"fontcolor": colours.data, "constraint": "false", "arrowhead": "open", "label": plain(f"${name}")}
        elif role == "child":
            look |= {"style": "dashed", "color": colours.frames["CHILD"][1]}
        elif role == "again" and target in self.feet:
            target = self.feet[target]
            look |= {"arrowhead": "none"}
        elif role == "again":
            look |= {"taillabel": "yes", "labeldistance": "1.6", "constraint": "false"}
        elif role.startswith("branch"):
            look |= {"weight": "3"}
        elif role in ("yes", "no"):
            look |= {"label": f" {role} ", "weight": "3"}
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
