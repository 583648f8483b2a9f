"""Text that is itself a step: Durofut JSON, the form in which the df functions hand steps to each other.

`ensure` decides what a text in a step's place means: JSON with a `node_type` is that node, anything else is SQL.
The rules and the wording of the errors are pg_durable's.
"""

from __future__ import annotations

import re
from dataclasses import replace

from pgweave.grammar import nodes
from pgweave.grammar.fold import BIGINT_RANGE, INTEGER_RANGE, to_integer
from pgweave.grammar.jsonb import BadJson, Json, parse_json, render_jsonb, render_number
from pgweave.grammar.kinds import KINDS, MAX_DEPTH
from pgweave.grammar.nodes import Binding, Node, Text
from pgweave.grammar.span import Span

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")  # of a result
VALID_TYPES = ", ".join(KINDS)


class BadStep(ValueError):
    """JSON that claims to be a step and is none. code: the rule it breaks; title: the reference's own wording."""

    def __init__(self, title: str, span: Span, code: str = "PW023") -> None:
        super().__init__(title)
        self.title = title
        self.span = span
        self.code = code


def ensure(text: Text, span: Span) -> Node:
    """What `text` means in the place of a step. span: of the step; BadStep if it claims to be JSON of a step and is not."""
    json = _durofut(text)
    if json is None:
        return nodes.Sql(query=text, span=span)
    if (partial := json.get("_partial_if")) is not None and partial.value is True:
        raise BadStep("This if is only half built", span, "PW104")
    if not _is_text(json.get("node_type")):
        return nodes.Sql(query=text, span=span)
    return _Reader(span).read(json, 0)


def _durofut(text: Text) -> Json | None:
    """The JSON object that the text is, if it is one."""
    if not text.value.lstrip(" \t\n\r").startswith("{") or '"' not in text.value:
        return None
    try:
        json = parse_json(text)
    except BadJson as bad:
        if "node_type" in text.value and "nested deeper" in bad.detail:
            raise BadStep(_TOO_DEEP, text.span, "PW011") from None
        return None
    return json if json.is_object else None


_TOO_DEEP = f"This workflow is nested deeper than {MAX_DEPTH} levels"
_INVALID = "Invalid Durofut JSON: failed to deserialize workflow step: "


def _is_text(json: Json | None) -> bool:
    return json is not None and isinstance(json.value, Text)


class _Reader:
    """Reads one Durofut object. Nodes whose place in the program cannot be told stand where the whole text stands."""

    def __init__(self, span: Span) -> None:
        self.span = span

    def read(self, json: Json, depth: int) -> Node:
        """The node of `json`. depth: levels above it; beyond the limit BadStep."""
        if depth > MAX_DEPTH:
            raise BadStep(_TOO_DEEP, self.span, "PW011")
        if not json.is_object:
            raise BadStep(f"{_INVALID}Durofut children must be JSON objects", json.span)
        kind = json.get("node_type")
        if kind is None:
            raise BadStep(f"{_INVALID}missing field `node_type`", json.span)
        if not isinstance(kind.value, Text):
            raise BadStep(f"{_INVALID}`node_type` must be text", kind.span)
        name = kind.value.value
        if name not in KINDS:
            raise BadStep(f"Unknown node_type '{name}'. Valid types: {VALID_TYPES}", kind.span)
        self._check_fields(json, name)
        node = self._node(name, json, depth)
        binding = self._optional(json, "result_name")
        return node if binding is None else _bound(node, binding)

    def _check_fields(self, json: Json, kind: str) -> None:
        for member in json.members or ():
            field, value = member.name.value, member.value
            if value.value is None:
                continue
            if field == "condition_node" and kind not in ("IF", "LOOP"):
                raise BadStep(f"condition_node is not valid for {kind} nodes", member.name.span)
            if field == "extra_nodes" and kind != "JOIN":
                raise BadStep(f"extra_nodes is not valid for {kind} nodes", member.name.span)

    def _child(self, json: Json, field: str, depth: int) -> Node:
        child = json.get(field)
        if child is None or child.value is None:
            raise BadStep(f"{_INVALID}a {self._kind(json)} node needs `{field}`", json.span)
        if field == "condition_node" and not child.is_object:
            raise BadStep("condition_node must be a Durofut JSON object", child.span)
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
            raise BadStep(f"{_INVALID}`{field}` must be text", found.span)
        return found.value

    def _query(self, json: Json) -> Text:
        query = self._optional(json, "query")
        if query is None:
            raise BadStep(f"{_INVALID}a {self._kind(json)} node needs `query`", json.span)
        return query

    def _config(self, json: Json) -> Json:
        query = self._query(json)
        try:
            config = parse_json(query)
        except BadJson as bad:
            detail = f"query in {self._kind(json)} must be valid JSON config: {bad.detail}"
            raise BadStep(detail, query.span_of(bad.start, bad.end)) from None
        if not config.is_object:
            raise BadStep(f"query in {self._kind(json)} must be a JSON config object", query.span)
        return config

    def _text(self, config: Json, field: str) -> Text:
        value = self._optional(config, field)
        if value is None:
            raise BadStep(f"{_INVALID}the configuration needs `{field}`", config.span)
        return value

    def _seconds(self, config: Json) -> int | None:
        found = config.get("timeout_seconds")
        if found is None or found.value is None:
            return None
        if isinstance(found.value, bool | Text | list):
            raise BadStep(f"{_INVALID}`timeout_seconds` must be an integer", found.span)
        value = to_integer(render_number(found.value), INTEGER_RANGE)
        if value is None:
            raise BadStep(f"{_INVALID}`timeout_seconds` must be an integer", found.span)
        if value <= 0:
            raise BadStep("Timeout must be positive", found.span, "PW020")
        return value

    def _json_text(self, config: Json, field: str) -> Text | None:
        found = config.get(field)
        return None if found is None or found.value is None else render_jsonb(found)

    def _node(self, kind: str, json: Json, depth: int) -> Node:
        span = json.span
        match kind:
            case "SQL":
                return nodes.Sql(query=self._query(json), span=span)
            case "THEN":
                first, second = self._child(json, "left_node", depth), self._child(json, "right_node", depth)
                return nodes.Then(first=first, second=second, span=span)
            case "IF":
                return self._if(json, depth)
            case "JOIN":
                extras = json.get("extra_nodes")
                if extras is not None and extras.value is not None and extras.items is None:
                    raise BadStep("extra_nodes entries must be Durofut JSON objects", extras.span)
                branches = [self._child(json, "left_node", depth), self._child(json, "right_node", depth)]
                branches.extend(self.read(extra, depth + 1) for extra in (extras.items if extras else None) or ())
                return nodes.Join(branches=tuple(branches), span=span)
            case "RACE":
                left, right = self._child(json, "left_node", depth), self._child(json, "right_node", depth)
                return nodes.Race(left=left, right=right, span=span)
            case "LOOP":
                condition = self._child(json, "condition_node", depth) if self._has(json, "condition_node") else None
                return nodes.Loop(body=self._child(json, "left_node", depth), condition=condition, span=span)
            case "SLEEP":
                query = self._query(json)
                seconds = to_integer(query.value, BIGINT_RANGE)
                if seconds is None or seconds < 0:
                    raise BadStep(f"Invalid sleep duration: {query.value}", query.span, "PW020")
                return nodes.Sleep(seconds=seconds, span=span)
            case _:
                return self._configured(kind, self._config(json), span)

    def _if(self, json: Json, depth: int) -> Node:
        then_branch, else_branch = self._child(json, "left_node", depth), self._child(json, "right_node", depth)
        if self._has(json, "condition_node"):
            condition = self._child(json, "condition_node", depth)
            return nodes.If(condition=condition, then_branch=then_branch, else_branch=else_branch, span=json.span)
        name = self._text(self._config(json), "result_name")
        return nodes.IfRows(result_name=name, then_branch=then_branch, else_branch=else_branch, span=json.span)

    def _configured(self, kind: str, config: Json, span: Span) -> Node:
        match kind:
            case "BREAK":
                return nodes.Break(value=self._optional(config, "break_value"), span=span)
            case "WAIT_SCHEDULE":
                return nodes.WaitSchedule(cron=self._text(config, "cron_expr"), span=span)
            case "SIGNAL":
                name, timeout = self._text(config, "signal_name"), self._seconds(config)
                return nodes.Signal(signal_name=name, timeout_seconds=timeout, span=span)
            case "AWAIT_INSTANCE":
                instance, timeout = self._text(config, "instance_id"), self._seconds(config)
                return nodes.AwaitInstance(instance_id=instance, timeout_seconds=timeout, span=span)
            case "HTTP":
                return nodes.Http(
                    url=self._text(config, "url"),
                    method=(self._optional(config, "method") or _POST).value.upper(),
                    body=self._optional(config, "body"),
                    headers=self._json_text(config, "headers"),
                    timeout_seconds=self._seconds(config) or 30,
                    span=span,
                )
            case _:
                assert kind == "HTTP_MULTIPART"
                parts = self._json_text(config, "parts")
                if parts is None:
                    raise BadStep("parts is required and cannot be NULL", config.span, "PW020")
                return nodes.HttpMultipart(
                    url=self._text(config, "url"),
                    method=(self._optional(config, "method") or _POST).value.upper(),
                    parts=parts,
                    headers=self._json_text(config, "headers"),
                    timeout_seconds=self._seconds(config) or 30,
                    span=span,
                )


_POST = Text("POST", Span(0, 0))


def _bound(node: Node, name: Text) -> Node:

    if NAME.fullmatch(name.value) is None:
        raise BadStep(bad_name(name.value), name.span, "PW020")
    return replace(node, binding=Binding(name.value, name.span))


def bad_name(name: str) -> str:
    """The reference's words for a result name that is none."""
    if not name:
        return "df.as: result name cannot be empty"
    return f"df.as: result name '{name}' is not a valid identifier — must match [a-zA-Z_][a-zA-Z0-9_]*"
