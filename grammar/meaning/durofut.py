"""Text that is itself a step: Durofut JSON, the form in which the df functions pass steps to each other.

`ensure` decides what a text in a step's place means: JSON with a `node_type` is that node, anything else is SQL.
The rules and the wording of the errors are pg_durable's.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pgweave.grammar import leaves, nodes
from pgweave.grammar.catalogue import CATALOGUE, phrase
from pgweave.grammar.kinds import KINDS, MAX_DEPTH, Type
from pgweave.grammar.meaning.fold import BIGINT_RANGE, INTEGER_RANGE, to_integer
from pgweave.grammar.meaning.jsonb import BadJson, Json, parse_json, render_jsonb, render_number
from pgweave.grammar.nodes import Binding, Node, Text
from pgweave.grammar.result_names import is_name

if TYPE_CHECKING:
    from pgweave.grammar.kinds import Kind, Member
    from pgweave.grammar.span import Span

VALID_TYPES = ", ".join(KINDS)


class BadStep(ValueError):
    """Text that is no step. code: the rule it breaks; variant: its case, with the values of `fields`.

    prefix: what stands before the words of a PW023, see `_unread`.
    """

    def __init__(self, variant: str, span: Span, code: str = "PW023", /, **fields: object) -> None:
        super().__init__(f"{code} {variant}")
        self.variant = variant
        self.span = span
        self.code = code
        self.prefix = ""
        self.fields = fields


def _unread(variant: str, span: Span, **fields: object) -> BadStep:
    """JSON of a step that cannot be read, in pg_durable's words; `ensure` may begin them otherwise."""
    bad = BadStep(variant, span, **fields)
    bad.prefix = phrase("not-read")
    return bad


def ensure(text: Text, span: Span, *, strict: bool = False) -> Node:
    """What `text` means in the place of a step. span: of the step; BadStep if it claims to be JSON of a step and is not.

    strict: df.start and df.call_child say it in other words.
    """
    # df.start(df.start('SELECT 1')) hands the id of an instance to a step; as SQL, `a1b2c3d4` would fail only
    # when it runs.
    if (found := _answer(text.value)) is not None:
        raise BadStep(found, span, "PW020", text=text.value, id=text.value.strip(" \t\n\r"))
    json = _durofut(text)
    if json is None:
        return nodes.Sql(query=text, span=span)
    # What `?>` gives in the database, see half_built: only `!>` may take it.
    # Before node_type: the object of `?>` has none, and would be run as SQL.
    if json.get("_partial_if") is not None:
        raise BadStep("", span, "PW104")
    kind = json.get("node_type")
    # '{"a": 1}' has no node_type, so it is SQL, which will fail as such when it runs.
    if kind is None or not isinstance(kind.value, Text):
        return nodes.Sql(query=text, span=span)
    try:
        return _Reader(span).read(json, 0)
    except BadStep as bad:
        # pg_durable's df.start says it in this form, its operators in the other; people search for the message
        # that they saw.
        if strict and bad.prefix:
            bad.prefix = phrase("malformed", kind=kind.value.value)
        raise


def half_built(text: Text, span: Span) -> tuple[Node, Node] | None:
    """Condition and first branch of a half-built if that is written as its JSON; None if it is none. BadStep as ensure."""
    try:
        json = parse_json(text)
    except BadJson:
        return None
    mark, parts = json.get("_partial_if"), [json.get("condition"), json.get("then_branch")]
    # df_internal reads the mark with ->> and so takes the string "true" as well as the boolean.
    if mark is None or not (mark.value is True or (isinstance(mark.value, Text) and mark.value.value == "true")):
        return None
    found = []
    for part in parts:
        if part is None or part.value is None:
            return None
        found.append(_Reader(span).read(part, 0) if part.is_object else ensure(_as_text(part), part.span))
    return found[0], found[1]


def _as_text(json: Json) -> Text:
    return json.value if isinstance(json.value, Text) else render_jsonb(json)


# What df.status returns. `completed` alone is no statement that PostgreSQL has, so nothing is lost.
_ANSWERS = frozenset({"OK", "pending", "running", "completed", "failed", "cancelled"})
_ANSWER = re.compile("Instance [0-9a-f]{8} (?:cancelled:|is already) |Triggered run for ")
_INSTANCE = re.compile("[0-9a-f]{8}")
# Possessive (`*+`): a text of a million blanks would otherwise be tried from every one of them.
_OBJECT = re.compile('[ \\t\\n\\r]*+{[ \\t\\n\\r]*+(?P<name>")?')


def _answer(text: str) -> str | None:
    """The variant of PW020 for a text that df.start, df.status and the like have returned; None for a statement."""
    # 60: only the beginning matters, and a text may have megabytes.
    start = text.lstrip(" \t\n\r")[:60]
    if text in _ANSWERS or _ANSWER.match(start):
        return "answer-as-step"
    return "id-as-step" if _INSTANCE.fullmatch(start) else None


def _durofut(text: Text) -> Json | None:
    """The JSON object that the text is, if it is one.

    `{"node_type": ..}` is one. `{name}` is not: a statement may begin with a variable, but none begins with `{"`, so that
    is an error where it is no JSON.
    """
    opening = _OBJECT.match(text.value)
    if opening is None:
        return None
    try:
        json = parse_json(text)
    except BadJson as bad:
        # A graph nested too deeply for the JSON reader is a matter of its depth (PW011), not of its syntax.
        if "node_type" in text.value and bad.case == "json-deep":
            raise BadStep("", text.span, "PW011") from None
        if opening["name"] is not None:
            raise BadStep("no-durofut", text.span_of(bad.start, bad.end), detail=bad.detail) from None
        return None
    return json if json.is_object else None


_FIELDS = ("left_node", "right_node", "condition_node", "extra_nodes", "query", "result_name", "node_type")


def _shape_problem(field: str, value: Json) -> str | None:
    """The variant of PW023 for a field of the wrong type; None if it is right, or no field of a step."""
    match field:
        case "left_node" | "right_node" if value.value is not None and not value.is_object:
            return "children"
        case "condition_node" if value.value is not None and not value.is_object:
            return "condition-no-object"
        case "extra_nodes" if value.items is None:
            return "extras-no-array"
        case "extra_nodes" if not all(item.is_object for item in value.items or ()):
            return "extras-no-objects"
        case "query" | "result_name" if value.value is not None and not isinstance(value.value, Text):
            return "no-string"
        case _:
            return None


class _Reader:
    """Reads one Durofut object. span: of the whole text, for nodes whose own place is not known."""

    def __init__(self, span: Span) -> None:
        self.span = span

    def read(self, json: Json, depth: int) -> Node:
        """The node of `json`. depth: levels above it; beyond the limit BadStep."""
        if depth > MAX_DEPTH:
            raise BadStep("", self.span, "PW011")
        kind = json.get("node_type")
        if kind is None:
            raise _unread("no-node-type", json.span)
        if not isinstance(kind.value, Text):
            raise _unread("node-type-no-string", kind.span)
        name = kind.value.value
        if name not in KINDS:
            raise BadStep("unknown-node-type", kind.span, name=name, types=VALID_TYPES)
        self._check_shape(json)
        self._check_fields(json, name)
        node = self._node(name, json, depth)
        binding = self._optional(json, "result_name")
        return node if binding is None else _bound(node, binding)

    def _check_shape(self, json: Json) -> None:
        """The shape of one node, its children unopened; in the order and the words of df_internal.node_problem."""
        # An object with three faults gets the one finding that PostgreSQL would give: members are looked at in
        # the order of _FIELDS, not in that of the text.
        problems: list[tuple[int, str, str, Span]] = []  # with the order in which the database looks for them
        seen: set[str] = set()
        for member in json.members or ():
            field, value = member.name.value, member.value
            problem = _shape_problem(field, value)
            if problem is not None:
                problems.append((_FIELDS.index(field), problem, field, value.span))
            # node_problem reads json, not jsonb, and so sees equal names too; it asks for them last.
            elif field in _FIELDS and field in seen:
                problems.append((len(_FIELDS), "repeated-field", field, member.name.span))
            seen.add(field)
        if problems:
            _, problem, field, span = min(problems, key=lambda found: found[0])
            raise _unread(problem, span, field=field)

    def _check_fields(self, json: Json, kind: str) -> None:
        for member in json.members or ():
            field, value = member.name.value, member.value
            # "left_node": null is the same as no left_node.
            if value.value is None:
                continue
            known = KINDS[kind]
            allowed = {
                "condition_node": kind in ("IF", "LOOP"),
                "extra_nodes": kind == "JOIN",
                "left_node": known.left,
                "right_node": known.right,
                "query": known.query is not False,
            }
            if not allowed.get(field, True):
                raise BadStep("field-not-valid", member.name.span, field=field, kind=kind)
            if field == "query" and known.left:
                self._check_query_of_branches(json, kind)

    def _check_query_of_branches(self, json: Json, kind: str) -> None:
        """The text of an IF, LOOP or JOIN, as df_internal.graph_problem sees it: JSON that names no other node."""
        config = self._config(json)
        embedded = "extra_nodes" if kind == "JOIN" else "condition_node"
        if config.get(embedded) is not None:
            raise BadStep("embedded", config.span, field=embedded, kind=kind)

    def _child(self, json: Json, field: str, depth: int) -> Node:
        child = json.get(field)
        if child is None or child.value is None:
            raise _unread("needs-field", json.span, kind=self._kind(json), field=field)
        return self.read(child, depth + 1)

    def _kind(self, json: Json) -> str:
        kind = json.get("node_type")
        return kind.value.value if kind is not None and isinstance(kind.value, Text) else "?"

    def _has(self, json: Json, field: str) -> bool:
        found = json.get(field)
        return found is not None and found.value is not None

    def _optional(self, json: Json, field: str) -> Text | None:
        found = json.get(field)
        if found is None or found.value is None:
            return None
        if not isinstance(found.value, Text):
            raise _unread("no-string", found.span, field=field)
        return found.value

    def _query(self, json: Json) -> Text:
        query = self._optional(json, "query")
        if query is None:
            raise _unread("needs-field", json.span, kind=self._kind(json), field="query")
        return query

    def _config(self, json: Json) -> Json:
        query = self._query(json)
        try:
            config = parse_json(query)
        except BadJson as bad:
            place, kind = query.span_of(bad.start, bad.end), self._kind(json)
            raise BadStep("query-no-json", place, kind=kind, detail=bad.detail) from None
        if not config.is_object:
            raise BadStep("query-no-object", query.span, kind=self._kind(json))
        return config

    def _text(self, config: Json, field: str) -> Text:
        value = self._optional(config, field)
        if value is None:
            raise _unread("configuration-needs", config.span, field=field)
        return value

    def _integer(self, config: Json, member: Member) -> int | None:
        found = config.get(member.key)
        if found is None or found.value is None:
            return None
        # bool first: in Python True is an integer, in JSON it is none.
        if isinstance(found.value, bool | Text | list):  # what remains is a number
            raise _unread("no-integer", found.span, field=member.key)
        # The text that PostgreSQL gives for the number decides, as with ->> and a cast: 1e3 is 1000, 1.0 is
        # refused.
        value = to_integer(render_number(found.value), _RANGES[member.type])
        if value is None:
            raise _unread("no-integer", found.span, field=member.key)
        if member.key == "timeout_seconds" and value <= 0:
            raise BadStep("json-timeout", found.span, "PW020")
        return value

    def _goes_on(self, json: Json) -> bool:
        """continue_on_failure of a loop."""
        found = self._config(json).get("continue_on_failure") if self._has(json, "query") else None
        if found is None or found.value is None:
            return False
        if not isinstance(found.value, bool):
            raise _unread("no-boolean", found.span, field="continue_on_failure")
        return found.value

    def _json_text(self, config: Json, field: str) -> Text | None:
        found = config.get(field)
        return None if found is None or found.value is None else render_jsonb(found)

    def _node(self, kind: str, json: Json, depth: int) -> Node:
        """The node of a checked object."""
        span = json.span
        match kind:
            case "THEN":
                first, second = self._child(json, "left_node", depth), self._child(json, "right_node", depth)
                return nodes.Then(first=first, second=second, span=span)
            case "IF":
                return self._if(json, depth)
            # JOIN has two children of its own and the third in extra_nodes: {"left_node": .., "right_node": ..,
            # "extra_nodes": [..]}.
            case "JOIN":
                extras = json.get("extra_nodes")
                branches = [self._child(json, "left_node", depth), self._child(json, "right_node", depth)]
                branches.extend(self.read(extra, depth + 1) for extra in (extras.items if extras else None) or ())
                return nodes.Join(branches=tuple(branches), span=span)
            case "RACE":
                left, right = self._child(json, "left_node", depth), self._child(json, "right_node", depth)
                return nodes.Race(left=left, right=right, span=span)
            case "LOOP":
                condition = self._child(json, "condition_node", depth) if self._has(json, "condition_node") else None
                body, goes_on = self._child(json, "left_node", depth), self._goes_on(json)
                return nodes.Loop(body=body, condition=condition, continue_on_failure=goes_on, span=span)
            case _:
                return self._leaf(KINDS[kind], json)

    def _if(self, json: Json, depth: int) -> Node:
        then_branch, else_branch = self._child(json, "left_node", depth), self._child(json, "right_node", depth)
        # Without a condition the IF asks whether a result has rows (df.if_rows), and its query is
        # {"result_name": "name"}.
        if self._has(json, "condition_node"):
            condition = self._child(json, "condition_node", depth)
            return nodes.If(condition=condition, then_branch=then_branch, else_branch=else_branch, span=json.span)
        name = self._text(self._config(json), "result_name")
        return nodes.IfRows(result_name=name, then_branch=then_branch, else_branch=else_branch, span=json.span)

    def _leaf(self, kind: Kind, json: Json) -> Node:
        """A leaf: its text is one value as it stands, or an object of members."""
        if kind.whole is not None:
            return leaves.make(kind, {kind.whole.field: self._whole(kind, kind.whole, json)}, json.span)
        config = self._config(json)
        if kind.name == "HTTP_MULTIPART" and self._json_text(config, "parts") is None:
            raise BadStep("json-no-parts", config.span, "PW020")
        read = {member.field: self._member(kind, config, member) for member in kind.members}
        # What the object lacks, or has as null, takes the default of the class.
        return leaves.make(kind, {field: value for field, value in read.items() if value is not None}, json.span)

    def _whole(self, kind: Kind, member: Member, json: Json) -> Text | int:
        query = self._query(json)
        if member.type is Type.TEXT:
            return query
        number = to_integer(query.value, _RANGES[member.type])
        # SLEEP has its seconds as text, "query": "60", and a negative number of them is an integer that
        # to_integer takes.
        if number is None or number < 0:
            raise BadStep("json-pause", query.span, "PW020", verb=kind.verb, text=query.value)
        return number

    def _member(self, kind: Kind, config: Json, member: Member) -> Text | str | int | None:
        match member.type:
            case Type.JSONB:
                return self._json_text(config, member.key)
            case Type.INTEGER | Type.BIGINT:
                return self._integer(config, member)
            case _ if not leaves.may_lack(kind, member):
                return self._text(config, member.key)
            case _:
                text = self._optional(config, member.key)
                return text.value.upper() if member.word and text is not None else text


_RANGES = {Type.INTEGER: INTEGER_RANGE, Type.BIGINT: BIGINT_RANGE}


def _bound(node: Node, name: Text) -> Node:
    if not is_name(name.value):
        raise BadStep("json-bad-name" if name.value else "json-empty-name", name.span, "PW020", name=name.value)
    return replace(node, binding=Binding(name.value, name.span))


def bad_name(name: str) -> str:
    """The reference's words for a result name that is none."""
    return CATALOGUE["PW020"].words("title", "bad-name" if name else "empty-name").format(name=name)
