"""Two languages, one protocol: what Python says is what the front end was written for, name by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NotRequired, get_origin, get_type_hints, is_typeddict

from pgweave.designer import gestures, protocol
from pgweave.designer.session import _ANSWERS

TYPESCRIPT = Path(__file__).parents[2] / "designer" / "web" / "src" / "protocol.ts"
LOCAL = {"Answers"}  # of the front end alone: which result belongs to which request


def interfaces() -> dict[str, dict[str, bool]]:
    """Fields of each interface; True: it may be missing."""
    text = TYPESCRIPT.read_text(encoding="utf-8")
    found = {}
    for name, body in re.findall(r"^export interface (\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        fields = re.findall(r"^  (\w+)(\??): [^\n]*;$", body, re.MULTILINE)
        found[name] = {field: bool(optional) for field, optional in fields}
    return {name: fields for name, fields in found.items() if name not in LOCAL}


def typed_dicts() -> dict[str, dict[str, bool]]:
    members: dict[str, Any] = {name: value for name, value in vars(protocol).items() if is_typeddict(value)}
    hints = {name: get_type_hints(kind, include_extras=True) for name, kind in members.items()}
    return {
        name: {field: get_origin(hint) is NotRequired for field, hint in fields.items()}
        for name, fields in hints.items()
    }


def test_every_type_has_the_same_fields_in_both_languages() -> None:
    ours, theirs = typed_dicts(), interfaces()
    assert ours.keys() == theirs.keys()
    assert {name: fields for name, fields in ours.items() if fields != theirs[name]} == {}


def test_both_sides_know_the_same_requests_and_events() -> None:
    text = TYPESCRIPT.read_text(encoding="utf-8")
    for name, ours in (("REQUESTS", protocol.REQUESTS), ("EVENTS", protocol.EVENTS)):
        theirs = re.search(rf"export const {name} = \[(.*?)\] as const;", text, re.DOTALL)
        assert theirs is not None
        assert tuple(re.findall(r'"(\w+)"', theirs[1])) == ours


def test_every_request_has_an_answer() -> None:
    assert set(_ANSWERS) == set(protocol.REQUESTS)
    for name in protocol.REQUESTS:
        assert f"{name.capitalize()}Request" in typed_dicts()


def test_every_gesture_of_the_front_end_is_one_that_python_knows() -> None:
    sources = "".join(file.read_text(encoding="utf-8") for file in TYPESCRIPT.parent.rglob("*.ts*"))
    assert set(re.findall(r'gesture: "(\w+)"', sources)) <= set(gestures.GESTURES)
