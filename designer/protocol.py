"""The messages between the designer's page and its Python side: JSON objects, the same over every transport.

The page sends requests, each with an `id`; Python answers each with one reply, and sends events when something has
changed. `designer/web/src/protocol.ts` states the same types in TypeScript; a test compares the two files.

    request   {"type": "pull", "id": 7, "version": 3}
    reply     {"type": "reply", "re": 7, "ok": true, "version": 5, "updates": [..]}
              {"type": "reply", "re": 7, "ok": false, "message": .., "advice": ..}
    event     {"type": "updates", "version": 5, "updates": [..]}

Offsets count UTF-16 units of the text with line feeds only, as CodeMirror does. Types named ..Request are the fields of a
request beside `type` and `id`, ..Result those of a reply beside `type`, `re` and `ok`. There is no
`from __future__ import annotations` here: with it, Python 3.11 counts NotRequired fields as required.
"""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict, TypeGuard

Range: TypeAlias = list[int]
"""Two offsets: start, and end exclusive."""

# A change in the shape of CodeMirror's ChangeSet.toJSON: n keeps n units, [n] deletes n, [n, "line", ..] replaces n.
Sections: TypeAlias = list[Any]


class Update(TypedDict):
    """One change of the text. clientID: the page that made it; "kernel" and "file" are changes made by Python."""

    clientID: str
    changes: Sections


Change = TypedDict("Change", {"from": int, "to": int, "insert": str})
"""Replace a range; the offsets of all changes in one reply count from the same text."""


class Entry(TypedDict):
    """One entry of the palette. says: one sentence about it."""

    id: str
    title: str
    group: Literal["steps", "waits", "flow", "children"]
    says: str
    keywords: list[str]


# The drawing

Sql = TypedDict("Sql", {"from": int, "to": int, "value": str})
"""A statement that can be edited: the range of its literal, and its SQL."""


class Field(TypedDict):
    """One argument or option in a form. value: None for the default."""

    name: str
    title: str
    type: Literal["text", "integer", "seconds", "cron", "choice", "boolean", "json", "url"]
    value: str | int | bool | None
    choices: NotRequired[list[str]]
    help: str
    required: bool


Read = TypedDict("Read", {"name": str, "from": list[str]})
"""A name that a step reads, and the ids of the blocks that may define it."""


class Child(TypedDict):
    """A block inside another."""

    role: Literal["step", "condition", "then", "else", "body", "branch", "child"]
    title: str
    block: "Block"


class Block(TypedDict):
    """One step. id: the number of its workflow and its path in the AST. Only `children` lead further down."""

    id: str
    kind: str
    shape: Literal[
        "sequence", "step", "wait", "decision", "loop", "join", "race", "child", "break", "http", "opaque"
    ]  # fmt: skip
    title: str
    name: str | None
    detail: str
    full: str
    badge: str | None
    span: Range
    sql: Sql | None
    fields: list[Field]
    children: list[Child]
    reads: list[Read]
    editable: bool
    why_not: str | None


class Variable(TypedDict):
    """A variable that the text declares. value: None when only the database can compute it."""

    name: str
    value: str | None


class Program(TypedDict):
    """One workflow of the text."""

    index: int
    name: str
    label: str | None
    span: Range
    root: Block | None
    variables: list[Variable]


Finding = TypedDict(
    "Finding",
    {
        "index": int, "code": str, "severity": Literal["error", "warning", "info"], "title": str, "label": str,
        "help": str, "from": int, "to": int, "block": str | None, "fix": str | None,
    },
)  # fmt: skip
"""One finding. block: the smallest step it is about. fix: what its one-click fix does, in words."""


class Drawing(TypedDict):
    """One version of the text as blocks and findings. ok: whether all of it parses."""

    ok: bool
    programs: list[Program]
    findings: list[Finding]


# Requests, without the `type` and `id` that all of them have, and their results


class VersionRequest(TypedDict):
    """About one version of the text. pull: the changes since then. format: the changes that `pgweave fmt` would make."""

    version: int


class InstanceRequest(TypedDict):
    """About one instance: watch or unwatch it, cancel it before its next step, show the program that it runs or ran."""

    instance: str


class HelloRequest(TypedDict):
    """A view has opened."""


class HelloResult(TypedDict):
    """All that a new view needs.

    document: random, new with every Python process. runnable: whether workflows can be started here. dark: None: the page
    chooses. saved: whether the file has this text.
    """

    text: str
    version: int
    document: str
    name: str
    form: Literal["program", "sql", "markdown"]
    home: Literal["studio", "widget"]
    palette: list[Entry]
    runnable: bool
    dark: bool | None
    saved: bool


class PushRequest(TypedDict):
    """Changes that a view has made to `version`."""

    version: int
    updates: list[Update]


class PushResult(TypedDict):
    """The version with these changes in it."""

    version: int


class PullResult(TypedDict):
    """The changes since then, oldest first."""

    version: int
    updates: list[Update]


# A gesture on the block `target`. Each gesture needs some of the other fields, see gestures.py. with: see gestures.WRAPPERS.
EditRequest = TypedDict(
    "EditRequest",
    {
        "version": int, "target": str, "gesture": str, "entry": NotRequired[str],
        "role": NotRequired[str], "to": NotRequired[str], "where": NotRequired[Literal["before", "after"]],
        "with": NotRequired[str], "text": NotRequired[str], "field": NotRequired[str],
        "value": NotRequired[str | int | bool | None], "name": NotRequired[str | None],
        "label": NotRequired[str | None],
    },
)  # fmt: skip


class EditResult(TypedDict):
    """Changes for the page to make. Afterwards, select: the offset of the new step; block: its id, if known."""

    version: int
    changes: list[Change]
    select: int | None
    block: NotRequired[str | None]


class CompleteRequest(TypedDict):
    """Completions at an offset. sql: of the step `block`, not yet in the text; then the offset counts in it."""

    version: int
    offset: int
    block: NotRequired[str]
    sql: NotRequired[str]


class Suggestion(TypedDict):
    """One completion. kind: call, name, column, option, value, variable or argument. documentation: Markdown."""

    label: str
    kind: str
    detail: str
    documentation: str


CompleteResult = TypedDict("CompleteResult", {"from": int, "options": list[Suggestion]})
"""from: start of the text that they replace."""


class HoverRequest(TypedDict):
    """Explain the text at an offset."""

    version: int
    offset: int


HoverResult = TypedDict("HoverResult", {"from": int, "to": int, "markdown": str | None})
"""markdown: None when there is no explanation."""


class CronRequest(TypedDict):
    """The next times of a cron expression. zone: for display; None: the expression's own, else UTC."""

    expression: str
    zone: str | None


class CronResult(TypedDict):
    """The expression in words, and the next five times."""

    words: str
    next: list[str]


class FixRequest(TypedDict):
    """The fix of a finding of the last drawing. finding: its index."""

    version: int
    finding: int


class ChangesResult(TypedDict):
    """Changes for the page to make."""

    version: int
    changes: list[Change]


class SaveRequest(TypedDict):
    """Write the text to its file. name: of a new file, when it has none yet."""

    version: int
    name: NotRequired[str]


class SaveResult(TypedDict):
    """name_needed: nothing was written, because there is no file name yet.

    conflict: the file has been changed at the same places; `theirs` is its text, and nothing was written.
    """

    saved: bool
    name: str
    name_needed: NotRequired[bool]
    conflict: NotRequired[bool]
    theirs: NotRequired[str]


class ResolveRequest(TypedDict):
    """End a conflict with the file: save the text of the page, or take the file's."""

    version: int
    choice: Literal["mine", "theirs"]


CompareRequest = TypedDict(
    "CompareRequest",
    {
        "with": Literal["saved", "git", "text"], "text": NotRequired[str],
        "dark": NotRequired[bool],
    },
)  # fmt: skip
"""Compare the text with its saved file, the last commit, or `text`."""


class CompareResult(TypedDict):
    """svg: both in one picture; None without differences, or without Graphviz. words: one sentence per change."""

    svg: str | None
    words: list[str]


class StartRequest(TypedDict):
    """Start a workflow. target: its index, or "" for the only one. label: None: the one in the text.

    check: have the database prepare every step first, and start nothing if it refuses one.
    """

    target: str
    label: str | None
    variables: dict[str, str]
    check: bool


class StartResult(TypedDict):
    """The new instance; it is watched from the start."""

    instance: str


class SignalRequest(TypedDict):
    """Send a signal. payload: any JSON value."""

    instance: str
    name: str
    payload: Any


class InstancesRequest(TypedDict):
    """List instances. status: None: any. text: part of an id or label; None: any."""

    status: str | None
    text: str | None
    limit: int


class InstanceRow(TypedDict):
    """One instance in a list. created_at: ISO 8601. waits_for: a sentence; None when it does not wait."""

    id: str
    label: str | None
    status: str
    created_at: str
    duration_seconds: float
    waits_for: str | None


class InstancesResult(TypedDict):
    """The newest first."""

    instances: list[InstanceRow]


class PastResult(TypedDict):
    """The program made from the instance's rows. Its states come as run events, once it is watched."""

    drawing: Drawing
    text: str


class NodeRequest(TypedDict):
    """One step of an instance in detail."""

    instance: str
    block: str


class Rows(TypedDict):
    """A result: a table (cut: it has more rows than these), or anything else as text."""

    columns: list[str]
    rows: list[list[str | None]]
    row_count: int
    cut: bool
    text: str | None


class Attempt(TypedDict):
    """One run of a step. Times: ISO 8601."""

    status: str
    started_at: str | None
    completed_at: str | None
    iteration: str | None
    attempts: int | None
    error: str | None


class NodeResult(TypedDict):
    """sql: as it was executed, with values filled in. attempts: all recorded runs of the step, oldest first."""

    sql: str | None
    result: Rows | None
    error: str | None
    attempts: list[Attempt]
    started_at: str | None
    completed_at: str | None
    iteration: str | None


class NoResult(TypedDict):
    """The reply says only that the request was carried out."""


_TypedDict: TypeAlias = Any  # a class made by TypedDict: `typing` has no type for these
REQUESTS: dict[str, tuple[_TypedDict, _TypedDict]] = {
    "hello": (HelloRequest, HelloResult),
    "push": (PushRequest, PushResult),
    "pull": (VersionRequest, PullResult),
    "edit": (EditRequest, EditResult),
    "complete": (CompleteRequest, CompleteResult),
    "hover": (HoverRequest, HoverResult),
    "cron": (CronRequest, CronResult),
    "fix": (FixRequest, ChangesResult),
    "format": (VersionRequest, ChangesResult),
    "save": (SaveRequest, SaveResult),
    "resolve": (ResolveRequest, SaveResult),
    "compare": (CompareRequest, CompareResult),
    "start": (StartRequest, StartResult),
    "watch": (InstanceRequest, NoResult),
    "unwatch": (InstanceRequest, NoResult),
    "signal": (SignalRequest, NoResult),
    "cancel": (InstanceRequest, NoResult),
    "instances": (InstancesRequest, InstancesResult),
    "past": (InstanceRequest, PastResult),
    "node": (NodeRequest, NodeResult),
}
"""What a page can request: the fields of the request, and those of its reply."""


def is_request(message: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a message from a page is a known request with all the fields that it needs."""
    if not isinstance(message, Mapping):
        return False
    kind = message.get("type")
    return isinstance(kind, str) and kind in REQUESTS and REQUESTS[kind][0].__required_keys__ <= message.keys()


# Events


class UpdatesEvent(TypedDict):
    """The text has changed; also sent to the view that changed it."""

    type: Literal["updates"]
    version: int
    updates: list[Update]


class DrawingEvent(TypedDict):
    """The drawing of `version` of the text. Only the newest version is drawn."""

    type: Literal["drawing"]
    version: int
    drawing: Drawing


class Action(TypedDict):
    """What a person can do to end a wait. name: of the signal."""

    kind: Literal["signal", "none"]
    name: NotRequired[str]


class Wait(TypedDict):
    """What an instance waits for, as a sentence."""

    sentence: str
    block: str | None
    action: Action


class StepState(TypedDict):
    """The state of a block in a run. message: the error."""

    status: str
    duration_seconds: float | None
    attempts: int | None
    iteration: str | None
    message: NotRequired[str]


class RunEvent(TypedDict):
    """A watched instance has changed. states: by block id. result, error: once it has ended."""

    type: Literal["run"]
    instance: str
    status: str
    waits: list[Wait]
    states: dict[str, StepState]
    result: NotRequired[Rows | None]
    error: NotRequired[str | None]


class DiskEvent(TypedDict):
    """The file was saved, or changed by another program. saved: whether it now has the same text."""

    type: Literal["disk"]
    saved: bool
    notice: str | None


class NoticeEvent(TypedDict):
    """A message to show."""

    type: Literal["notice"]
    level: Literal["info", "warning", "error"]
    message: str
    advice: str
