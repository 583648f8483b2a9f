r"""The graph of one definition: what runs after what, and which step reads whose result.

In comes a definition, out comes a networkx graph that pictures and tools read. `structure` is the tree as it was
written, `control_flow` what runs after what, `data_flow` adds who reads whom; `build` is the last two together.

    'a' ~> ('b' & 'c')        structure               control flow
                                 n1 THEN                 start -> n2 -> n3 -branch 1-> n4 -> n3_merge -> end
                                 /    \                               n3 -branch 2-> n5 -> n3_merge
                             n2 SQL  n3 JOIN
                                      /   \
                                  n4 SQL  n5 SQL

Node ids are `n` and the number of the row (from 1), so that the state of a running instance maps onto the picture;
`position` is that row's place from 0. What needs two places has a second node with a suffix: the merge of a JOIN or
RACE, the test of a LOOP. A called child is a graph inside, its ids lead with `n3c`; its rows belong to an instance of
its own, named by `instance`. Then-nodes are edges here.

Nodes:  kind (of KINDS, or START, END, OPAQUE), part, verb, detail, label, full, span, query, result_name, names,
        timeout_seconds, position, instance, block, reachable.
Edges:  role: then, yes, no, condition, `branch 1`.., body, again, child, data; data edges have a `name`.
Blocks: graph.graph["blocks"], id -> kind, title, parent, position, instance: frames within frames.

A pair of steps may follow each other *and* share data, so the graph is a MultiDiGraph (which is a DiGraph); the key of
an edge is its role, with the name for data.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import networkx as nx

from pgweave.compiler.facts import flow
from pgweave.compiler.pictures import step_words
from pgweave.grammar import nodes
from pgweave.grammar.leaves import row_text
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgweave.compiler.facts.flow import Flow, Step
    from pgweave.compiler.pictures.step_words import Words
    from pgweave.grammar.nodes import Definition, Node

Graph: TypeAlias = "nx.DiGraph[str]"
MultiGraph: TypeAlias = "nx.MultiDiGraph[str]"
Exit: TypeAlias = tuple[str, str]
"""A node that control leaves, and the role of the edge that will lead away from it."""


def build(definition: Definition) -> Graph:
    """Control flow and data flow of one definition."""
    traced = flow.trace(definition)
    graph = control_flow(definition, traced.root)
    data_flow(graph, traced)
    return graph


def to_json(graph: Graph) -> str:
    """Node-link JSON of a graph, for other tools; a span is `[start, end]`."""
    return json.dumps(nx.node_link_data(graph, edges="edges"), ensure_ascii=False, indent=2, default=_span) + "\n"


def _span(value: object) -> list[int]:
    assert isinstance(value, Span)
    return [value.start, value.end]


@dataclass(frozen=True, slots=True)
class Frames:
    """What stands directly in each block, in the order of the program; None: in no block."""

    nodes: dict[str | None, list[str]]
    blocks: dict[str | None, list[str]]


def frames(graph: Graph) -> Frames:
    """Sort nodes and blocks by the block they are in."""
    found = Frames(defaultdict(list), defaultdict(list))
    for identifier, attributes in graph.nodes(data=True):
        found.nodes[attributes["block"]].append(identifier)
    for identifier, about in graph.graph["blocks"].items():
        found.blocks[about["parent"]].append(identifier)
    return found


def structure(definition: Definition) -> Graph:
    """The tree as written, an edge from each step to each of its sub-steps; `order` numbers the edges of one step."""
    tree: Graph = nx.DiGraph()
    for step in flow.steps(definition.node).walk():
        tree.add_node(step.id, **_attributes(step, step_words.describe(step.node)))
        for order, (child, role) in enumerate(zip(step.children, _roles(step.node), strict=True)):
            tree.add_edge(step.id, child.id, role=role, order=order)
    return tree


def _roles(node: Node) -> tuple[str, ...]:
    match node:
        case nodes.If():
            return ("yes", "no", "condition")
        case nodes.IfRows():
            return ("yes", "no")
        case nodes.Loop():
            return ("body", "condition")[: len(nodes.children(node))]
        case nodes.Then():
            return ("then", "then")
        case nodes.CallChild():
            return ("child",)
        case _:
            return tuple(f"branch {number}" for number, _ in enumerate(nodes.children(node), 1))


def _attributes(step: Step, said: Words) -> dict[str, Any]:
    binding = step.node.binding
    return {
        "kind": step.node.kind.name,
        "part": "step",
        "verb": said.verb,
        "detail": said.detail,
        "label": said.label,
        "full": said.full,
        "span": step.node.span,
        "query": row_text(step.node),
        "result_name": binding and binding.name,
        "names": (binding.name,) if binding else (),
        "timeout_seconds": step_words.timeout(step.node),
        "position": step.position,
    }


def control_flow(definition: Definition, root: Step | None = None) -> MultiGraph:
    """What runs after what. root: the numbered steps of the definition, if the caller has them."""
    drawing = _ControlFlow()
    drawing.instance(root or flow.steps(definition.node), "", definition.span)
    graph = drawing.graph
    reached = {"start"} | nx.descendants(graph, "start")
    for identifier, attributes in graph.nodes(data=True):
        # A step behind an endless loop is part of the program and is drawn, apart from what runs.
        attributes["reachable"] = identifier in reached
    return graph


class _ControlFlow:
    """Lays steps out as a graph. Each method returns where its part is entered and where it is left."""

    def __init__(self) -> None:
        self.graph: MultiGraph = nx.MultiDiGraph()
        self.graph.graph["blocks"] = {}
        self.instance_id = ""
        self.block: str | None = None
        self.breaks: list[list[Exit]] = []

    def instance(self, root: Step, prefix: str, span: object) -> None:
        """One instance from its start to its end."""
        start, end = f"{prefix}start", f"{prefix}end"
        marker = {"span": span, "position": None, "query": None, "result_name": None, "names": ()}
        self.add(start, **marker, kind="START", part="start", verb="start", label="start")
        entry, exits = self.step(root)
        self.connect([(start, "then")], entry)
        self.add(end, **marker, kind="END", part="end", verb="end", label="end")
        self.connect(exits, end)

    def add(self, identifier: str, **attributes: object) -> str:
        """Add a node to the block that is being laid out."""
        given = {"detail": "", "full": "", "timeout_seconds": None, **attributes}
        self.graph.add_node(identifier, **given, instance=self.instance_id, block=self.block)
        return identifier

    def add_step(self, step: Step, said: Words | None = None, *, suffix: str = "", **changed: object) -> str:
        """Add a node for a step, or, with a suffix, a further one."""
        attributes = {**_attributes(step, said or step_words.describe(step.node)), **changed}
        return self.add(step.id + suffix, **attributes)

    def connect(self, exits: Iterable[Exit], entry: str) -> None:
        """Lead every exit to `entry`."""
        for source, role in exits:
            self.graph.add_edge(source, entry, key=role, role=role)

    def enter_block(self, identifier: str, kind: str, title: str, step: Step) -> str | None:
        """Open a frame; what is added from now on is in it. Returns what to give to leave_block."""
        outer = self.block
        self.graph.graph["blocks"][identifier] = {
            "kind": kind,
            "title": title,
            "parent": outer,
            "position": step.position,
            "instance": self.instance_id,
        }
        self.block = identifier
        return outer

    def step(self, step: Step) -> tuple[str, list[Exit]]:
        """Lay out one step with all below it."""
        match step.node:
            case nodes.Then():
                return self.then(step)
            case nodes.If() | nodes.IfRows():
                return self.choice(step)
            case nodes.Join() | nodes.Race():
                return self.branches(step)
            case nodes.Loop():
                return self.loop(step)
            case nodes.Break():
                identifier = self.add_step(step)
                if self.breaks:
                    self.breaks[-1].append((identifier, "then"))
                return identifier, []
            case nodes.CallChild():
                return self.call(step, step.node)
            case nodes.Opaque():
                return self.opaque(step)
            case _:
                identifier = self.add_step(step)
                return identifier, [(identifier, "then")]

    def then(self, step: Step) -> tuple[str, list[Exit]]:
        """One after the other; a name given to the pair is a name of the second's result."""
        first, second = step.children
        entry, exits = self.step(first)
        following, left = self.step(second)
        self.connect(exits, following)
        if step.node.binding:
            # A tuple: 'a' |=> 'x' within ('b' ~> ('a' |=> 'x')) |=> 'y' has both names.
            self.graph.nodes[value_node(step)]["names"] += (step.node.binding.name,)
        return entry, left

    def choice(self, step: Step) -> tuple[str, list[Exit]]:
        """Condition, then a decision, then one arm."""
        yes, no, *condition = step.children
        # df.if_rows has no condition to run: it is entered at its decision.
        entry, exits = self.step(condition[0]) if condition else (step.id, [])
        self.add_step(step)
        self.connect([(source, "condition") for source, _ in exits], step.id)
        left: list[Exit] = []
        for role, arm in (("yes", yes), ("no", no)):
            outer = self.enter_block(f"{step.id}_{role}", "IF", role, step)
            # A frame around each arm, so that Graphviz keeps an arm together and does not mix its steps with
            # the other's.
            arm_entry, arm_exits = self.step(arm)
            self.block = outer
            self.connect([(step.id, role)], arm_entry)
            left += arm_exits
        return entry, left

    def branches(self, step: Step) -> tuple[str, list[Exit]]:
        """Fork, branches side by side, and one place where they meet."""
        kind, binding = step.node.kind.name, step.node.binding
        title = step_words.describe(step.node).label + (f", as {binding.name}" if binding else "")
        outer = self.enter_block(step.id, kind, title, step)
        # names=(): the result is bound where the branches meet, at the merge.
        self.add_step(step, part="fork", names=())
        merge = f"{step.id}_merge"
        left: list[Exit] = []
        for number, branch in enumerate(step.children, 1):
            entry, exits = self.step(branch)
            self.connect([(step.id, f"branch {number}")], entry)
            left += exits
        self.add_step(step, suffix="_merge", part="merge")
        self.connect(left, merge)
        self.block = outer
        return step.id, [(merge, "then")]

    def loop(self, step: Step) -> tuple[str, list[Exit]]:
        """Head, body, and back: at once, or through a test."""
        outer = self.enter_block(step.id, "LOOP", step_words.describe(step.node).label, step)
        body, *condition = step.children
        # A stack: a break leaves the innermost loop, and a called child begins with an empty one (call).
        self.breaks.append([])
        self.add_step(step, part="head")
        entry, exits = self.step(body)
        self.connect([(step.id, "body")], entry)
        left: list[Exit] = []
        if condition:
            tested, after = self.step(condition[0])
            self.connect(exits, tested)
            test = self.add_step(step, step_words.Words("again?"), suffix="_test", part="test", names=())
            self.connect([(source, "condition") for source, _ in after], test)
            # With a condition the loop goes back from its test; without one from the end of its body, and only
            # breaks leave it.
            exits, left = [(test, "again")], [(test, "no")]
        self.connect([(source, "again") for source, _ in exits], step.id)
        self.block = outer
        return step.id, left + self.breaks.pop()

    def call(self, step: Step, node: nodes.CallChild) -> tuple[str, list[Exit]]:
        """Start of the child, the child as a graph of its own, and the wait for its end."""
        child = step.children[0]
        start, wait = call_ids(step)
        own: dict[str, Any] = {"names": (), "result_name": None, "timeout_seconds": None}
        self.add_step(step, suffix="_start", kind=nodes.Sql.kind.name, part="call", position=step.position + 1, **own)
        outer = self.enter_block(
            f"{step.id}c", "CHILD", step_words.Words("child", step_words.child_title(node)).label, step
        )
        # Put back below: the child is another instance, whose breaks cannot leave loops of the parent.
        instance, breaks = self.instance_id, self.breaks
        self.instance_id, self.breaks = f"{step.id}c", []
        self.instance(child, f"{step.id}c_", node.child.span)
        self.instance_id, self.breaks, self.block = instance, breaks, outer
        said = step_words.describe_wait(node)
        self.add_step(
            step, said, suffix="_wait", kind=nodes.AwaitInstance.kind.name, part="wait", position=step.position + 2
        )
        self.connect([(start, "then")], wait)
        self.connect([(start, "child")], f"{step.id}c_start")
        self.connect([(f"{step.id}c_end", "child")], wait)
        return start, [(wait, "then")]

    def opaque(self, step: Step) -> tuple[str, list[Exit]]:
        """Nobody knows how the known operands run, so all are drawn below, as if each might."""
        identifier = self.add_step(step)
        left: list[Exit] = []
        for number, operand in enumerate(step.children, 1):
            entry, exits = self.step(operand)
            self.connect([(identifier, f"branch {number}")], entry)
            left += exits
        # No known operand: control goes straight on.
        return identifier, left or [(identifier, "then")]


def call_ids(step: Step) -> tuple[str, str]:
    """Ids of the two nodes of a called child: its start and the wait."""
    return f"{step.id}_start", f"{step.id}_wait"


def value_node(step: Step) -> str:
    """Id of the node whose result is the step's: where its name is bound."""
    while isinstance(step.node, nodes.Then):
        step = step.children[1]
    match step.node:
        case nodes.Join() | nodes.Race():
            return f"{step.id}_merge"
        case nodes.CallChild():
            return call_ids(step)[1]
        case _:
            return step.id


def data_flow(graph: MultiGraph, traced: Flow) -> None:
    """Add an edge from each step that binds a name to each that reads it."""
    for read in traced.reads:
        # A call reads names in its label and database, which the start of the child fills in.
        reader = call_ids(read.step)[0] if isinstance(read.step.node, nodes.CallChild) else read.step.id
        name = read.reference.name
        for binder in sorted((step for step in read.binders if step), key=lambda step: step.id):
            graph.add_edge(value_node(binder), reader, key=f"data {name}", role="data", name=name)
