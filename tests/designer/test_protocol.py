"""One protocol in two languages: protocol.py and protocol.ts state the same messages."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from pgweave.designer import answers as handlers
from pgweave.designer import gestures, protocol

TYPESCRIPT = Path(__file__).parents[2] / "designer" / "web" / "src" / "protocol.ts"
PLAIN: dict[object, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    NoneType: "null",
    Any: "unknown",
}


def interfaces() -> dict[str, str]:
    """The fields of each interface, as protocol.ts writes them, without the table of requests."""
    text = TYPESCRIPT.read_text(encoding="utf-8").replace("[number, number]", "number[]")  # a Range
    found = re.findall(r"^export interface (\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    return {name: body for name, body in found if name != "Requests"}


def typed_dicts() -> dict[str, str]:
    """The fields of each TypedDict, as TypeScript."""
    return {
        name: "".join(line(field, hint) for field, hint in get_type_hints(kind, include_extras=True).items())
        for name, kind in vars(protocol).items()
        if is_typeddict(kind)
    }


def line(field: str, hint: object) -> str:
    optional = get_origin(hint) is NotRequired
    return f"  {field}{'?' * optional}: {typescript(get_args(hint)[0] if optional else hint)};\n"


def typescript(hint: object) -> str:
    """A type of protocol.py in TypeScript."""
    if hint in PLAIN:
        return PLAIN[hint]
    if isinstance(hint, type) and is_typeddict(hint):
        return hint.__name__
    arguments = get_args(hint)
    match get_origin(hint):
        case kind if kind in (Union, UnionType):
            return " | ".join(typescript(one) for one in arguments)
        case kind if kind is Literal:
            return " | ".join(f'"{one}"' for one in arguments)
        case kind if kind is list:
            part = typescript(arguments[0])
            return f"({part})[]" if " " in part else f"{part}[]"
        case kind if kind is dict:
            return f"Record<{typescript(arguments[0])}, {typescript(arguments[1])}>"
    raise AssertionError(f"no TypeScript for {hint}")


def test_every_message_has_the_same_fields_and_types_in_both_languages() -> None:
    ours, theirs = typed_dicts(), interfaces()
    assert ours.keys() == theirs.keys()
    assert {name: fields for name, fields in ours.items() if fields != theirs[name]} == {}


def test_both_sides_list_the_same_requests_with_the_same_results() -> None:
    table = TYPESCRIPT.read_text(encoding="utf-8").partition("export interface Requests {\n")[2].partition("}")[0]
    ours = [(name, fields.__name__, result.__name__) for name, (fields, result) in protocol.REQUESTS.items()]
    assert re.findall(r"^  (\w+): \[(\w+), (\w+)\];$", table, re.MULTILINE) == ours


def test_every_request_is_answered_by_a_function_of_its_types() -> None:
    signatures = {name: inspect.signature(answer) for name, answer in handlers.ANSWERS.items()}
    answers = {
        name: (signature.parameters["request"].annotation, signature.return_annotation)
        for name, signature in signatures.items()
    }
    assert answers == {name: (fields.__name__, result.__name__) for name, (fields, result) in protocol.REQUESTS.items()}


@pytest.mark.parametrize(
    "message",
    [None, [], "pull", {}, {"type": "shout"}, {"type": ["pull"]}, {"type": "pull"}, {"type": "push", "version": 1}],
)
def test_what_is_no_request_or_lacks_a_field_is_not_taken_for_one(message: object) -> None:
    assert not protocol.is_request(message)


def test_a_request_may_leave_out_what_it_does_not_need() -> None:
    assert protocol.is_request({"type": "save", "id": 1, "version": 3})
    assert protocol.is_request({"type": "hello", "id": 1})


def test_every_gesture_of_the_page_is_one_that_python_knows() -> None:
    sources = "".join(file.read_text(encoding="utf-8") for file in TYPESCRIPT.parent.rglob("*.ts*"))
    assert set(re.findall(r'gesture: "(\w+)"', sources)) <= set(gestures.GESTURES)
