"""A text and its findings -> what the designer draws: blocks within blocks, as JSON.

A block is a step with everything a view needs to know about it: its place in the text, its words, its form, what it
reads. Its id is the number of its workflow and its path in the AST, "0:1.0", so that gestures and run states find it.
Steps that follow one another are one block with all of them inside, and so are the branches of joins within joins:
`a ~> b ~> c` is drawn as one sequence of three although it is two nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from pgweave.compiler.facts import flow
from pgweave.compiler.pictures import step_words
from pgweave.designer.fields import fields
from pgweave.designer.protocol import Block, Child, Drawing, Finding, Program, Read, Sql, Variable
from pgweave.designer.titles import sql_title
from pgweave.designer.units import Units
from pgweave.grammar import durations, nodes
from pgweave.grammar.editing.places import Place, root_place
from pgweave.grammar.parser import parse
from pgweave.grammar.reading.lexer import STRING, lex
from pgweave.workflow import findings as findings_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Definition, Module, Node
    from pgweave.grammar.parser import Parsed
    from pgweave.grammar.span import Source, Span

Shape: TypeAlias = Literal[
    "sequence", "step", "wait", "decision", "loop", "join", "race", "child", "break", "http", "opaque"
]
Role: TypeAlias = Literal["step", "condition", "then", "else", "body", "branch", "child"]

_MERGED = (nodes.Then, nodes.Join, nodes.Race)
OPAQUE = "Only the database can evaluate this expression: change it in the text."
JSON = "This step is written as JSON: change it in the text."


def kind_of(node: Node) -> str:
    """What the canvas calls the kind of a step: the name of its row, but for a sequence and a test of rows."""
    return {nodes.Then: "SEQUENCE", nodes.IfRows: "IF_ROWS"}.get(type(node), node.kind.name)


def block_id(index: int, path: Sequence[int]) -> str:
    """The id of the step at a path of a workflow."""
    return f"{index}:{'.'.join(map(str, path))}"


def path_of(block: str) -> tuple[int, tuple[int, ...]]:
    """Workflow and path of a block's id. ValueError when it is none."""
    index, colon, path = block.partition(":")
    if not colon:
        raise ValueError(f"{block!r} is no id of a block")
    return int(index), tuple(int(number) for number in path.split(".") if path)


def is_merged(place: Place) -> bool:
    """Whether a step is drawn as part of the one around it: both are sequences, or joins, or races, and it has no name."""
    parent, node = place.parent, place.node
    if parent is None or type(node) not in _MERGED or type(node) is not type(parent.node) or node.binding is not None:
        return False
    # `a & (b & c)` gives a result of another shape than `a & b & c`, so that only the left side is opened.
    return isinstance(node, nodes.Then) or place.path[-1] == 0


def draw(parsed: Parsed, findings: Iterable[Diagnostic], *, first: int = 0) -> Drawing:
    """Draw what can be read of a text.

    findings: all of them, as `workflow.findings` gives them. first: the number that its first workflow gets.
    """
    module = parsed.module
    units = Units(module.source.text)
    programs = [_Drawer(module, index, units, first + index).program() for index in range(len(module.definitions))]
    blocks = [block for program in programs if program["root"] for block in walk(program["root"])]
    # The number is the finding's index in Drawn.findings, by which the view asks for its fix.
    found = [_finding(number, finding, blocks, units) for number, finding in enumerate(findings)]
    return Drawing(ok=parsed.ok, programs=programs, findings=found)


def draw_source(source: Source) -> Drawing:
    """Draw a text with everything that is found in it."""
    return draw(parse(source), findings_of(source))


def walk(root: Block) -> Iterator[Block]:
    """A block and all below it, each before those inside of it."""
    pending = [root]
    while pending:
        block = pending.pop()
        yield block
        pending.extend(child["block"] for child in reversed(block["children"]))


class _Drawer:
    """Draws one workflow, from the leaves up, so that depth costs no stack."""

    def __init__(self, module: Module, index: int, units: Units, number: int) -> None:
        self.module = module
        self.index = index
        self.number = number
        self.units = units
        self.definition: Definition = module.definitions[index]
        self.text = module.source.text
        self.blocks: dict[tuple[int, ...], Block] = {}
        self.ids: dict[flow.Step, str] = {}  # blocks of steps; those within a sequence are its own
        self.reads: dict[flow.Step, list[Read]] = {}

    def program(self) -> Program:
        """The workflow with all its blocks."""
        definition = self.definition
        return Program(
            index=self.number,
            name=definition.name,
            label=definition.label.value if definition.label else None,
            span=self._range(definition.span),
            root=self._root(),
            variables=[Variable(name=each.name, value=each.value) for each in self.module.variables],
        )

    def _root(self) -> Block:
        traced = flow.trace(self.definition)
        order = self._planned(traced.root)
        for read in traced.reads:
            self._note(read)
        # From the leaves up: a block contains the blocks of its parts.
        for place, step, parts in reversed(order):
            self.blocks[place.path] = self._block(place, step, parts)
        return self.blocks[()]

    def _planned(self, root: flow.Step) -> list[tuple[Place, flow.Step, list[tuple[Role, str, Place]]]]:
        """Every block with what it holds, parents first."""
        order = []
        pending = [(root_place(self.module, self.index), root)]
        while pending:
            place, step = pending.pop()
            self.ids[step] = block_id(self.number, place.path)
            parts = self._parts(place, step)
            order.append((place, step, [(role, title, below) for role, title, below, _ in parts]))
            pending += [(below, step) for _, _, below, step in parts]
        return order

    def _parts(self, place: Place, step: flow.Step) -> list[tuple[Role, str, Place, flow.Step]]:
        """What a block holds, in the order in which it is drawn."""
        below = list(zip(place.children, step.children, strict=True))
        match place.node:
            case nodes.Then():
                return [("step", "", *part) for part in self._members(place, step)]
            case nodes.Join() | nodes.Race():
                members = self._members(place, step)
                return [("branch", f"branch {number}", *part) for number, part in enumerate(members, 1)]
            case nodes.If():
                yes, no, condition = below
                return [("condition", "if", *condition), ("then", "then", *yes), ("else", "else", *no)]
            case nodes.IfRows():
                yes, no = below
                return [("then", "then", *yes), ("else", "else", *no)]
            case nodes.Loop():
                body: list[tuple[Role, str, Place, flow.Step]] = [("body", "body", *below[0])]
                return [*body, *(("condition", "while", *part) for part in below[1:])]
            case nodes.CallChild():
                return [("child", step_words.child_title(place.node), *below[0])]
            case _:
                return [("branch", f"part {number}", *part) for number, part in enumerate(below, 1)]

    def _members(self, place: Place, step: flow.Step) -> list[tuple[Place, flow.Step]]:
        """The steps of nested operators of one kind, in the order of the text; one with a name is a member itself."""
        found = []
        pending = list(reversed(list(zip(place.children, step.children, strict=True))))
        while pending:
            below, inner = pending.pop()
            if is_merged(below):
                # An inner Then is drawn within the outer one: what reads its result points to the outer block.
                self.ids[inner] = block_id(self.number, place.path)
                pending += reversed(list(zip(below.children, inner.children, strict=True)))
            else:
                found.append((below, inner))
        return found

    def _note(self, read: flow.Read) -> None:
        binders = sorted((step for step in read.binders if step), key=lambda step: self.ids[step])
        ids = [self.ids[step] for step in binders]
        noted = self.reads.setdefault(read.step, [])
        known = next((other for other in noted if other["name"] == read.reference.name), None)
        if known is None:
            noted.append({"name": read.reference.name, "from": ids})
        else:
            known["from"] = list(dict.fromkeys([*known["from"], *ids]))

    def _block(self, place: Place, step: flow.Step, parts: list[tuple[Role, str, Place]]) -> Block:
        node = place.node
        kind, shape = kind_of(node), cast("Shape", node.kind.canvas)
        said = step_words.describe(node)
        in_json = self._is_json(place)
        why_not = OPAQUE if isinstance(node, nodes.Opaque) else JSON if in_json else None
        return Block(
            id=self.ids[step],
            kind=kind,
            shape=shape,
            title=_title(node, said),
            name=node.binding.name if node.binding else None,
            detail=_detail(node, said, parts),
            full=said.full or said.detail,
            badge=_badge(node),
            span=self._range(node.outer if in_json else place.outer),
            sql=None if in_json else self._sql(node),
            fields=fields(node),
            children=[Child(role=role, title=title, block=self.blocks[below.path]) for role, title, below in parts],
            reads=self.reads.get(step, []),
            editable=why_not is None,
            why_not=why_not,
        )

    def _is_json(self, place: Place) -> bool:
        return self.text.startswith("{", place.node.span.start)

    def _sql(self, node: Node) -> Sql | None:
        """The statement, if it is one literal that can be edited as it stands."""
        if not isinstance(node, nodes.Sql):
            return None
        span = node.query.span
        tokens = lex(span.of(self.text)).tokens
        # 'SELECT ' || x has no single literal that an editor could show and write back.
        if len(tokens) != 1 or tokens[0].kind != STRING:
            return None
        start, end = self._range(span)
        return {"from": start, "to": end, "value": node.query.value}

    def _range(self, span: Span) -> list[int]:
        return [self.units.to_wire(span.start), self.units.to_wire(span.end)]


def _title(node: Node, said: step_words.Words) -> str:
    match node:
        case nodes.Sql():
            return sql_title(node.query.value)
        case nodes.Then():
            return "steps"
        case nodes.IfRows():
            return "any rows in"
        case nodes.CallChild():
            return "child"  # a frame with all of it inside, not its start alone
        case _:
            return said.verb


def _detail(node: Node, said: step_words.Words, parts: list[tuple[Role, str, Place]]) -> str:
    match node:
        case nodes.Then():
            return f"{len(parts)} steps"
        case nodes.Join():
            return f"{len(parts)} branches, all of them"
        case nodes.Race():
            return f"{len(parts)} branches, the first wins"
        case _:
            return said.detail


def _badge(node: Node) -> str | None:
    seconds = step_words.timeout(node)
    return None if seconds is None else f"at most {durations.exact(seconds)}"


def _finding(number: int, finding: Diagnostic, blocks: Iterable[Block], units: Units) -> Finding:
    start, end = units.to_wire(finding.span.start), units.to_wire(finding.span.end)
    around = [block for block in blocks if block["span"][0] <= start and end <= block["span"][1]]
    # Blocks are nested, so the shortest of those around a finding is the innermost.
    smallest = min(around, key=lambda block: block["span"][1] - block["span"][0], default=None)
    return {
        "index": number,
        "code": finding.code,
        "severity": finding.severity.value,
        "title": finding.title,
        "label": finding.label,
        "help": finding.help,
        "from": start,
        "to": end,
        "block": smallest["id"] if smallest else None,
        "fix": finding.fix.title if finding.fix else None,
    }
