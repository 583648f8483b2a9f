"""Lowering: one definition of the AST becomes node rows, or Durofut JSON.

In comes a definition that the checks found no error in; out comes what `df.start` would write for the same text, byte
for byte: `rows` for the tables, `tree` for the JSON that the SQL functions pass around. Equal input gives equal output.
This module knows no text, no database and no graph. It refuses what it cannot write with `LoweringError`.

    AST ── _future ──> tree of Future ──┬── rows ──> Graph, pre-order, ids by position
                                        └── tree ──> Durofut JSON
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pgweave.compiler.rows import Graph, Row, node_id
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import finding
from pgweave.grammar.kinds import MAX_DEPTH, MAX_NODES
from pgweave.grammar.leaves import row_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import CallChild, Definition, Node

T = TypeVar("T")

MAX_CHILD_BYTES = 4_000_000
"""JSON bytes of one called child. Each call_child inside another doubles the text (hex of hex), so that a few dozen
levels would need more memory than there is; four megabytes are some fifteen levels, or 10,000 steps once."""


class LoweringError(Exception):
    """A definition that cannot be lowered; the findings say why and where."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__("; ".join(f"{diagnostic.code}: {diagnostic.title}" for diagnostic in diagnostics))
        self.diagnostics = diagnostics


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Future:
    """One node of Durofut JSON: a row with its children in place of ids. origin: the AST node it came from."""

    node_type: str
    origin: Node
    left: Future | None = None
    right: Future | None = None
    condition: Future | None = None
    extras: tuple[Future, ...] = ()
    query: str | None = None
    result_name: str | None = None

    def children(self) -> tuple[Future, ...]:
        """Children in the order of the rows: left, right, condition, further branches."""
        single = (self.left, self.right, self.condition)
        return (*(child for child in single if child is not None), *self.extras)


def rows(definition: Definition) -> Graph:
    """Rows of one definition in pre-order. LoweringError: it holds something only the database can evaluate, or is too big."""
    order = _preorder(_lowered(definition))
    ids = {future: node_id(position) for position, future in enumerate(order)}
    return Graph(rows=tuple(_row(future, ids) for future in order))


def tree(definition: Definition) -> str:
    """Durofut JSON of one definition: compact, keys in the order in which the SQL functions write them."""
    return _json(_lowered(definition))


def origin(definition: Definition) -> tuple[Node, ...]:
    """For each row of `rows(definition)` the AST node it came from; a called child has three rows."""
    return tuple(future.origin for future in _preorder(_lowered(definition)))


def refusals(definition: Definition) -> tuple[Diagnostic, ...]:
    """Why `definition` cannot be lowered; empty when it can."""
    try:
        _lowered(definition)
    except LoweringError as refused:
        return refused.diagnostics
    return ()


def call_name(child: str, label: str | None, database: str | None) -> str:
    """Name of the internal result that carries the instance id from a child's start to the wait for it.

    child: Durofut JSON. Equal calls share one name, as in the reference: each wait directly follows its own start.
    """
    # FNV-1a with 64 bits, as in the SQL function: Python's hash() differs from run to run.
    value = 14695981039346656037
    for part in (child, label or "", database or ""):
        # \xff occurs in no UTF-8 text, so ("a", "bc") and ("ab", "c") have different names.
        for byte in part.encode() + b"\xff":
            value = (value ^ byte) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return f"__df_call_child_{value:016x}"


def _lowered(definition: Definition) -> Future:
    # Before the walk by recursion below, so that a tree that is too deep is refused and not a RecursionError.
    _refuse_opaque(definition.node)
    _refuse_oversize(definition.node)
    return _future(definition.node)


def _refuse_opaque(root: Node) -> None:
    found = tuple(finding("PW509", node.span) for node, _ in _levels(root) if isinstance(node, nodes.Opaque))
    if found:
        raise LoweringError(tuple(sorted(found, key=lambda diagnostic: diagnostic.span)))


def _refuse_oversize(root: Node) -> None:
    """Refuse what df.start would refuse, as the parser does; an AST may have been made by other means."""
    count = 0
    for node, depth in _levels(root):
        called = isinstance(node, nodes.CallChild)  # three rows, on two levels
        count += 3 if called else 1
        if depth + called > MAX_DEPTH:
            raise LoweringError((finding("PW011", node.span),))
        if count > MAX_NODES:
            raise LoweringError((finding("PW012", root.span),))


def _levels(root: Node) -> Iterable[tuple[Node, int]]:
    pending = [(root, 0)]
    while pending:
        node, depth = pending.pop()
        yield node, depth
        pending += [(child, depth + 1) for child in nodes.children(node)]


def _future(node: Node) -> Future:
    """One step with all below it. Order of sub-steps as in nodes.children: left, right, condition, further branches."""
    match node:
        case nodes.CallChild():
            return _call_child(node)
        case nodes.Opaque():
            raise LoweringError((finding("PW509", node.span),))
        case _:
            left, right, condition, extras = _by_place(node)
    return Future(
        node_type=node.kind.name,
        origin=node,
        left=None if left is None else _future(left),
        right=None if right is None else _future(right),
        condition=None if condition is None else _future(condition),
        extras=tuple(map(_future, extras)),
        query=row_text(node),
        result_name=_name(node),
    )


def _by_place(node: Node) -> tuple[Node | None, Node | None, Node | None, tuple[Node, ...]]:
    """Sub-steps by the place they take in the row: left, right, condition, and further branches.

    For example (body, None, condition, ()) of a loop, (a, b, None, (c,)) of df.join3(a, b, c).
    """
    match node:
        case nodes.Loop():
            return node.body, None, node.condition, ()
        case nodes.If():
            return node.then_branch, node.else_branch, node.condition, ()
        case _:
            below = nodes.children(node)
            # A leaf has no children; THEN, RACE, JOIN and an IF by rows have two at least.
            left, right = (below[0], below[1]) if below else (None, None)
            return left, right, None, below[2:]


def _call_child(node: CallChild) -> Future:
    """THEN( SQL that starts the child, AWAIT_INSTANCE ). The child travels as hex: nothing in hex can be substituted."""
    # A text and not a row's id: the child is another instance, whose rows df.start will make.
    child = _json(_future(node.child))
    if len(child.encode()) > MAX_CHILD_BYTES:
        raise LoweringError((finding("PW611", node.span),))
    label = _value(node.label)
    database = _option(node, "database", str)
    internal = call_name(child, label, database)
    document = f"convert_from(decode('{child.encode().hex()}', 'hex'), 'UTF8')"
    start = f"SELECT df.start({document}, {_literal(label)}, {_literal(database)}) AS instance_id"
    reactions = {name: _quoted(value) for name, value in _reactions(node).items()}
    limit = _number(_option(node, "timeout_seconds", int))
    wait = _object(instance_id=_quoted(f"${internal}.instance_id"), timeout_seconds=limit, **reactions)
    return Future(
        node_type=nodes.Then.kind.name,
        origin=node,
        left=Future(node_type=nodes.Sql.kind.name, origin=node, query=start, result_name=internal),
        right=Future(node_type=nodes.AwaitInstance.kind.name, origin=node, query=wait),
        result_name=_name(node),
    )


def _option(node: CallChild, name: str, kind: type[T]) -> T | None:
    """Value of an option that the checks let pass; None when it is absent."""
    option = node.option(name)
    return option.value if option is not None and isinstance(option.value, kind) else None


def _reactions(node: CallChild) -> dict[str, str]:
    """What the wait does other than by default, when the child fails, when time is up, when the parent is cancelled."""
    wanted = {"on_failure": "return", "on_timeout": "return", "on_cancel": "cancel"}
    return {name: value for name, value in wanted.items() if _option(node, name, str) == value}


def _preorder(root: Future) -> list[Future]:
    order, pending = [], [root]
    while pending:
        future = pending.pop()
        order.append(future)
        pending += reversed(future.children())
    return order


def _row(future: Future, ids: dict[Future, str]) -> Row:
    query = future.query
    if future.condition is not None:
        # The SQL functions write the condition's id last, behind what the loop has already:
        # {"continue_on_failure":true,"condition_node":"n4"}.
        own = "" if query is None else query[1:-1] + ","  # continue_on_failure of a loop
        query = "{" + own + _object(condition_node=_quoted(ids[future.condition]))[1:]
    if future.extras:
        query = _object(extra_nodes="[" + ",".join([_quoted(ids[extra]) for extra in future.extras]) + "]")
    return Row(
        id=ids[future],
        node_type=future.node_type,
        query=query,
        result_name=future.result_name,
        left_node=None if future.left is None else ids[future.left],
        right_node=None if future.right is None else ids[future.right],
    )


def _json(root: Future) -> str:
    """Durofut JSON, written from the leaves up so that depth costs no stack."""
    done: dict[Future, str] = {}
    for future in reversed(_preorder(root)):
        members = {"node_type": _quoted(future.node_type)}
        for key, child in (
            ("left_node", future.left),
            ("right_node", future.right),
            ("condition_node", future.condition),
        ):
            if child is not None:
                # pop: each text is needed once, by its parent, and is copied into the parent's.
                members[key] = done.pop(child)
        if future.extras:
            members["extra_nodes"] = "[" + ",".join([done.pop(extra) for extra in future.extras]) + "]"
        if future.query is not None:
            members["query"] = _quoted(future.query)
        if future.result_name is not None:
            members["result_name"] = _quoted(future.result_name)
        done[future] = _object(**members)
    return done[root]


def _object(**members: str) -> str:
    """Write a JSON object from members that are JSON already."""
    return "{" + ",".join([f'"{key}":{value}' for key, value in members.items()]) + "}"


def _name(node: Node) -> str | None:
    return node.binding.name if node.binding else None


def _value(text: nodes.Text | None) -> str | None:
    return text.value if text else None


def _quoted(value: str | None) -> str:
    """JSON string as PostgreSQL's to_json(text) writes it: only quotes, backslashes and controls escaped."""
    return json.dumps(value, ensure_ascii=False)


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


def _literal(value: str | None) -> str:
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"
