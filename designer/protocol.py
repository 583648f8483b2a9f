"""What the designer's front end and its Python side say to each other: JSON objects, the same over every transport.

The browser sends requests, each with an `id`; Python answers each with one reply, and sends events when something has
changed. `designer/web/src/protocol.ts` states the same types in TypeScript, and a test compares the two.

    request   {"type": "pull", "id": 7, "version": 3}
    reply     {"type": "reply", "re": 7, "ok": true, "version": 5, "updates": [..]}
              {"type": "reply", "re": 7, "ok": false, "message": .., "advice": ..}
    event     {"type": "updates", "version": 5, "updates": [..]}

Offsets count UTF-16 units of the text with line feeds only, as CodeMirror counts. Types named ..Result are the fields of
a reply beyond `type`, `re` and `ok`.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

REQUESTS = (
    "hello", "push", "pull", "edit", "complete", "hover", "cron", "fix", "format", "save", "resolve", "compare",
    "start", "watch", "unwatch", "signal", "cancel", "instances", "past", "node",
)  # fmt: skip
EVENTS = ("reply", "updates", "drawing", "run", "disk", "notice")

Range: TypeAlias = list[int]
"""Two offsets: start, and end exclusive."""

# A change in the shape of CodeMirror's ChangeSet.toJSON: n keeps n units, [n] deletes n, [n, "line", ..] replaces n.
Sections: TypeAlias = list[Any]


class Update(TypedDict):
    """One change of the text. clientID: who made it; "kernel" and "file" are Python's own."""

    clientID: str
    changes: Sections


Change = TypedDict("Change", {"from": int, "to": int, "insert": str})
"""Replace a stretch; all of one answer count from the same text."""


class Entry(TypedDict):
    """One thing the palette offers."""

    id: str
    title: str
    group: Literal["steps", "waits", "flow", "children"]
    says: str
    keywords: list[str]


# The drawing

Sql = TypedDict("Sql", {"from": int, "to": int, "value": str})
"""A statement that can be edited: where its literal stands, and what it says."""


class Field(TypedDict):
    """One argument or option in a form. value: None when it is left to its default."""

    name: str
    title: str
    type: Literal["text", "integer", "seconds", "cron", "choice", "boolean", "json", "url"]
    value: str | int | bool | None
    choices: NotRequired[list[str]]
    help: str
    required: bool


Read = TypedDict("Read", {"name": str, "from": list[str]})
"""A name that a step reads, and the blocks that may have bound it."""


class Child(TypedDict):
    """A block inside another."""

    role: Literal["step", "condition", "then", "else", "body", "branch", "child"]
    title: str
    block: Block


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
    """Everything there is to show of one version of the text. ok: whether all of it could be read."""

    ok: bool
    programs: list[Program]
    findings: list[Finding]


# Requests and what answers them


class HelloRequest(TypedDict):
    """A view has opened."""

    type: Literal["hello"]
    id: int


class HelloResult(TypedDict):
    """document: random, of this authority. runnable: whether workflows can be started here. dark: None: as the page."""

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
    """What a view has changed since `version`."""

    type: Literal["push"]
    id: int
    version: int
    updates: list[Update]


class PushResult(TypedDict):
    """The version with these changes in it."""

    version: int


class PullRequest(TypedDict):
    """Ask for what has been changed since `version`."""

    type: Literal["pull"]
    id: int
    version: int


class PullResult(TypedDict):
    """The changes that are missing, oldest first."""

    version: int
    updates: list[Update]


# A gesture on the block `target`. Which of the others it needs, gestures.py says. with: see gestures.WRAPPERS.
EditRequest = TypedDict(
    "EditRequest",
    {
        "type": Literal["edit"], "id": int, "version": int, "target": str, "gesture": str, "entry": NotRequired[str],
        "role": NotRequired[str], "to": NotRequired[str], "where": NotRequired[Literal["before", "after"]],
        "with": NotRequired[str], "text": NotRequired[str], "field": NotRequired[str],
        "value": NotRequired[str | int | bool | None], "name": NotRequired[str | None],
        "label": NotRequired[str | None],
    },
)  # fmt: skip


class EditResult(TypedDict):
    """What to change, for the browser to do. Afterwards, select: where the new step begins; block: its id, if known."""

    version: int
    changes: list[Change]
    select: int | None
    block: NotRequired[str | None]


class CompleteRequest(TypedDict):
    """Ask what may stand here. sql: what the step `block` is about to say; then offsets count in that."""

    type: Literal["complete"]
    id: int
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
"""from: where what they complete begins."""


class HoverRequest(TypedDict):
    """Ask what this is."""

    type: Literal["hover"]
    id: int
    version: int
    offset: int


HoverResult = TypedDict("HoverResult", {"from": int, "to": int, "markdown": str | None})
"""markdown: None when there is nothing to say."""


class CronRequest(TypedDict):
    """When does this fire? zone: for display; None: the expression's own, else UTC."""

    type: Literal["cron"]
    id: int
    expression: str
    zone: str | None


class CronResult(TypedDict):
    """The expression in words, and the next five times."""

    words: str
    next: list[str]


class FixRequest(TypedDict):
    """Mend this finding of the last drawing."""

    type: Literal["fix"]
    id: int
    version: int
    finding: int


class FormatRequest(TypedDict):
    """Lay the text out as `pgweave fmt` does."""

    type: Literal["format"]
    id: int
    version: int


class ChangesResult(TypedDict):
    """What to change, for the browser to do."""

    version: int
    changes: list[Change]


class SaveRequest(TypedDict):
    """Write the text to its file. name: of a new file, where there is none yet."""

    type: Literal["save"]
    id: int
    version: int
    name: NotRequired[str]


class SaveResult(TypedDict):
    """name_needed: nothing was written, for want of a name.

    conflict: the file has been changed at the same places; `theirs` is its text, and nothing was written.
    """

    saved: bool
    name: str
    name_needed: NotRequired[bool]
    conflict: NotRequired[bool]
    theirs: NotRequired[str]


class ResolveRequest(TypedDict):
    """Settle a conflict: keep the text as it is here, or take the file's."""

    type: Literal["resolve"]
    id: int
    version: int
    choice: Literal["mine", "theirs"]


CompareRequest = TypedDict(
    "CompareRequest",
    {
        "type": Literal["compare"], "id": int, "with": Literal["saved", "git", "text"], "text": NotRequired[str],
        "dark": NotRequired[bool],
    },
)  # fmt: skip
"""What has changed since the file was saved, since the last commit, or since `text`?"""


class CompareResult(TypedDict):
    """svg: both in one picture; None when nothing differs, or nothing could be drawn. words: a sentence a change."""

    svg: str | None
    words: list[str]


class StartRequest(TypedDict):
    """Start a workflow. target: its number, or "" for the only one. label: None: its own."""

    type: Literal["start"]
    id: int
    target: str
    label: str | None
    variables: dict[str, str]


class StartResult(TypedDict):
    """The new instance; it is watched from the start."""

    instance: str


class WatchRequest(TypedDict):
    """Tell this view what becomes of an instance."""

    type: Literal["watch"]
    id: int
    instance: str


class UnwatchRequest(TypedDict):
    """No longer."""

    type: Literal["unwatch"]
    id: int
    instance: str


class SignalRequest(TypedDict):
    """Send a signal. payload: any JSON value."""

    type: Literal["signal"]
    id: int
    instance: str
    name: str
    payload: Any


class CancelRequest(TypedDict):
    """End an instance before its next step."""

    type: Literal["cancel"]
    id: int
    instance: str


class InstancesRequest(TypedDict):
    """Which instances are there? status: None: any. text: part of an id or label; None: any."""

    type: Literal["instances"]
    id: int
    status: str | None
    text: str | None
    limit: int


class InstanceRow(TypedDict):
    """One instance in a list. created_at: ISO 8601. waits_for: a sentence; None: for nothing."""

    id: str
    label: str | None
    status: str
    created_at: str
    duration_seconds: float
    waits_for: str | None


class InstancesResult(TypedDict):
    """The newest first."""

    instances: list[InstanceRow]


class PastRequest(TypedDict):
    """Show the program that this instance runs or ran, as it was."""

    type: Literal["past"]
    id: int
    instance: str


class PastResult(TypedDict):
    """The program made from the instance's rows. Its state comes as run events, once it is watched."""

    drawing: Drawing
    text: str


class NodeRequest(TypedDict):
    """Everything about one step of an instance."""

    type: Literal["node"]
    id: int
    instance: str
    block: str


class Rows(TypedDict):
    """What a step came to: a table (cut: more rows than are shown here), or anything else as text."""

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
    """sql: as it ran, with the values in it. attempts: every run of the step that is still known, oldest first."""

    sql: str | None
    result: Rows | None
    error: str | None
    attempts: list[Attempt]
    started_at: str | None
    completed_at: str | None
    iteration: str | None


class NoResult(TypedDict):
    """The answer to a request that has nothing to say but that it was done."""


# Events


class UpdatesEvent(TypedDict):
    """The text has been changed by anybody, the receiver included."""

    type: Literal["updates"]
    version: int
    updates: list[Update]


class DrawingEvent(TypedDict):
    """What `version` of the text looks like. Only the newest version is drawn."""

    type: Literal["drawing"]
    version: int
    drawing: Drawing


class Action(TypedDict):
    """What ends a wait. name: of the signal."""

    kind: Literal["signal", "none"]
    name: NotRequired[str]


class Wait(TypedDict):
    """What an instance waits for, as a sentence."""

    sentence: str
    block: str | None
    action: Action


class StepState(TypedDict):
    """What a block has come to. message: what went wrong."""

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
    """The file was changed by somebody else, or saved. saved: whether it now says what the text says."""

    type: Literal["disk"]
    saved: bool
    notice: str | None


class NoticeEvent(TypedDict):
    """A line for the person."""

    type: Literal["notice"]
    level: Literal["info", "warning", "error"]
    message: str
    advice: str
