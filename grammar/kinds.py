"""KINDS: the one table of node kinds, and CALLS: the one table of df calls.

Everything that two stages would otherwise both have to know stands here: how people write a kind, what its
arguments are called, what its row must look like, what it waits for and how it is drawn.
Facts: the published surface of pg_durable plus its proposed child primitives.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Wait(Enum):
    """What a node waits for once it has been reached."""

    NOTHING = "nothing"
    ACTIVITY = "activity"
    TIMER = "timer"
    SIGNAL = "signal"
    CHILDREN = "children"
    INSTANCE = "instance"


class Type(Enum):
    """Type of an argument, as PostgreSQL names it; STEP is text that goes through the ensure rules."""

    STEP = "step"
    TEXT = "text"
    INTEGER = "integer"
    BIGINT = "bigint"
    JSONB = "jsonb"
    BOOLEAN = "boolean"


class Required(Enum):
    """Marks an argument without a default."""

    REQUIRED = "required"


REQUIRED = Required.REQUIRED


@dataclass(frozen=True, slots=True)
class Param:
    """One argument of a df call. `default` is REQUIRED, or the value that the call takes when it is left out."""

    name: str
    type: Type
    default: str | int | Required | None = REQUIRED

    @property
    def required(self) -> bool:
        """Whether the call refuses to do without it."""
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Member:
    """One value of a leaf: an argument of its call, a field of its class, and what its row carries.

    key: in the JSON object of the row. field: of the node's class. param: of the call. type: TEXT is a JSON string,
    INTEGER and BIGINT a number, JSONB is written as it stands. word: the field is a str in upper case, and no Text.
    A value that may be left out has its default in the class, which is that of the call.
    """

    key: str
    field: str
    param: str
    type: Type = Type.TEXT
    word: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """How the canvas offers a leaf, and what a hover says of its call where manual.py has no more to say.

    says: one sentence. keywords: what people may search for, with spaces between. example: the step as it is at first.
    id: of the entry; the name of the kind in lower case where it is empty.
    """

    title: str
    says: str
    keywords: str
    example: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One node kind. `name` is what rows store and never changes once released.

    call: how people write it. left, right: must the row have that child? query: must the row carry text
    (None: it may)? members: the JSON object in that text, where it is one. whole: the one value that is that text as it
    stands, where it is no object. since: the migration that first admits it. offer: of a leaf, on the canvas.

    In pictures. shape: of Graphviz. fill: a name of Palette.fills. canvas: the form of the block on the canvas. verb:
    what the step does. outline: the word in an outline, which is that of df.explain; the name where it is empty.
    """

    name: str
    call: str
    left: bool = False
    right: bool = False
    query: bool | None = False
    waits_for: Wait = Wait.NOTHING
    members: tuple[Member, ...] = ()
    whole: Member | None = None
    offer: Offer | None = None
    shape: str = "box"
    fill: str = ""
    canvas: str = "step"
    verb: str = ""
    outline: str = ""
    since: int = 1

    @property
    def is_leaf(self) -> bool:
        """A leaf has no child rows."""
        return not self.left

    @property
    def is_pause(self) -> bool:
        """Whether it waits for a number of seconds that is all of its text, as SLEEP does."""
        return self.waits_for is Wait.TIMER and self.whole is not None

    @property
    def values(self) -> tuple[Member, ...]:
        """What a leaf is made of, in the order of its call."""
        return self.members if self.whole is None else (self.whole,)

    @property
    def function(self) -> str:
        """The name in CALLS of a kind that is written as a call; empty for one that is written with an operator."""
        return self.call.removeprefix("df.") if self.call.startswith("df.") else ""


_TIMEOUT = Member("timeout_seconds", "timeout_seconds", "timeout_seconds", Type.INTEGER)
_URL, _METHOD = Member("url", "url", "url"), Member("method", "method", "method", word=True)
_BODY, _PARTS = Member("body", "body", "body"), Member("parts", "parts", "parts", Type.JSONB)
_HEADERS = Member("headers", "headers", "headers", Type.JSONB)
# A file that is there without another step: aGVsbG8= is `hello`.
_PART = '[{"name": "file", "data_b64": "aGVsbG8=", "filename": "hello.txt", "content_type": "text/plain"}]'

# The order is the order in which error messages list the valid types.
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "SQL",
            "df.sql",
            query=True,
            waits_for=Wait.ACTIVITY,
            whole=Member("", "query", "query"),
            offer=Offer("SQL", "Run one SQL statement.", "query select insert update statement", "'SELECT 1'"),
            verb="SQL",
        ),
        Kind(
            "THEN", "~>", left=True, right=True, waits_for=Wait.CHILDREN, shape="point", canvas="sequence", verb="then"
        ),
        Kind(
            "IF",
            "df.if",
            left=True,
            right=True,
            query=True,
            waits_for=Wait.CHILDREN,
            shape="diamond",
            fill="choice",
            canvas="decision",
            verb="if",
        ),
        Kind("JOIN", "&", left=True, right=True, query=None, waits_for=Wait.CHILDREN, canvas="join", verb="join"),
        Kind("LOOP", "@>", left=True, query=None, waits_for=Wait.CHILDREN, shape="hexagon", canvas="loop", verb="loop"),
        Kind(
            "BREAK",
            "df.break",
            query=True,
            members=(Member("break_value", "value", "value"),),
            offer=Offer("Break", "Leave the nearest loop.", "exit end stop leave loop", "df.break()"),
            shape="cds",
            fill="break",
            canvas="break",
            verb="break",
        ),
        Kind("RACE", "|", left=True, right=True, waits_for=Wait.CHILDREN, canvas="race", verb="race"),
        Kind(
            "SLEEP",
            "df.sleep",
            query=True,
            waits_for=Wait.TIMER,
            whole=Member("", "seconds", "seconds", Type.BIGINT),
            offer=Offer("Sleep", "Pause for a fixed time.", "wait pause delay timer seconds", "df.sleep(60)"),
            shape="octagon",
            fill="wait",
            canvas="wait",
            verb="sleep",
        ),
        Kind(
            "WAIT_SCHEDULE",
            "df.wait_for_schedule",
            query=True,
            waits_for=Wait.TIMER,
            members=(Member("cron_expr", "cron", "cron_expr"),),
            offer=Offer(
                "Wait for a schedule",
                "Pause until the next time that a cron expression names.",
                "cron time clock every day night calendar",
                "df.wait_for_schedule('0 6 * * *')",
                id="schedule",
            ),
            shape="octagon",
            fill="wait",
            canvas="wait",
            verb="wait for schedule",
            outline="WAIT",
        ),
        Kind(
            "HTTP",
            "df.http",
            query=True,
            waits_for=Wait.ACTIVITY,
            members=(_URL, _METHOD, _BODY, _HEADERS, _TIMEOUT),
            offer=Offer(
                "HTTP request",
                "Call a URL; the result has status, ok, body and headers.",
                "url web api call get post hook",
                "df.http('https://example.com/', 'GET')",
            ),
            shape="component",
            fill="http",
            canvas="http",
        ),
        Kind(
            "HTTP_MULTIPART",
            "df.http_multipart",
            query=True,
            waits_for=Wait.ACTIVITY,
            members=(_URL, _METHOD, _PARTS, _HEADERS, _TIMEOUT),
            offer=Offer(
                "HTTP upload",
                "Send files to a URL.",
                "url web multipart form file send",
                f"df.http_multipart('https://example.com/upload', parts => '{_PART}')",
            ),
            shape="component",
            fill="http",
            canvas="http",
        ),
        Kind(
            "SIGNAL",
            "df.wait_for_signal",
            query=True,
            waits_for=Wait.SIGNAL,
            members=(Member("signal_name", "signal_name", "name"), _TIMEOUT),
            offer=Offer(
                "Wait for a signal",
                "Pause until a signal arrives, or time is up.",
                "event approval message human external callback",
                "df.wait_for_signal('approved')",
            ),
            shape="octagon",
            fill="wait",
            canvas="wait",
            verb="wait for signal",
        ),
        Kind(
            "AWAIT_INSTANCE",
            "df.await_instance",
            query=True,
            waits_for=Wait.INSTANCE,
            members=(Member("instance_id", "instance_id", "instance_id"), _TIMEOUT),
            offer=Offer(
                "Wait for an instance",
                "Pause until another instance has ended.",
                "child workflow join result await",
                "df.await_instance('$child.instance_id', 300)",
            ),
            shape="octagon",
            fill="wait",
            canvas="wait",
            verb="wait for instance",
        ),
    )
}

# What people write that is no row of its own: a call of a child becomes three rows, an opaque expression none.
CALL_CHILD = Kind("CALL_CHILD", "df.call_child", left=True, canvas="child", verb="start child")
OPAQUE = Kind(
    "OPAQUE", "", shape="note", fill="opaque", canvas="opaque", verb="computed at start", outline="EXPRESSION"
)


@dataclass(frozen=True, slots=True)
class Call:
    """One function of schema df that builds a node. strict: a NULL argument makes the whole call NULL.

    aliases: operator spellings of the same call.
    """

    name: str
    params: tuple[Param, ...]
    strict: bool = True
    operator: str | None = None

    def signature(self) -> str:
        r"""Write the call as `\\df` would: `df.sleep(seconds bigint)`."""
        return f"df.{self.name}({', '.join(_describe(param) for param in self.params)})"


def _describe(param: Param) -> str:
    kind = "text" if param.type is Type.STEP else param.type.value
    if param.required:
        return f"{param.name} {kind}"
    default = "NULL" if param.default is None else repr(param.default)
    default = default.lower() if isinstance(param.default, bool) else default
    return f"{param.name} {kind} DEFAULT {default}"


_STEP, _TEXT, _INTEGER, _JSONB = Type.STEP, Type.TEXT, Type.INTEGER, Type.JSONB

# Calls that build a node: argument names, order and defaults are those people know from psql.
CALLS: dict[str, Call] = {
    call.name: call
    for call in (
        Call("sql", (Param("query", _TEXT),)),
        Call("seq", (Param("a", _STEP), Param("b", _STEP)), operator="~>"),
        Call("as", (Param("fut", _STEP), Param("name", _TEXT)), operator="|=>"),
        Call("sleep", (Param("seconds", Type.BIGINT),)),
        Call("wait_for_schedule", (Param("cron_expr", _TEXT),)),
        Call(
            "loop",
            (Param("body", _STEP), Param("condition", _STEP, None), Param("continue_on_failure", Type.BOOLEAN, False)),
            strict=False,
            operator="@>",
        ),
        Call("break", (Param("value", _TEXT, None),), strict=False),
        Call("if", (Param("condition", _STEP), Param("then_branch", _STEP), Param("else_branch", _STEP))),
        Call("if_rows", (Param("result_name", _TEXT), Param("then_branch", _STEP), Param("else_branch", _STEP))),
        Call("join", (Param("a", _STEP), Param("b", _STEP)), operator="&"),
        Call("join3", (Param("a", _STEP), Param("b", _STEP), Param("c", _STEP))),
        Call("race", (Param("a", _STEP), Param("b", _STEP)), operator="|"),
        Call("wait_for_signal", (Param("name", _TEXT), Param("timeout_seconds", _INTEGER, None)), strict=False),
        Call(
            "http",
            (
                Param("url", _TEXT),
                Param("method", _TEXT, "POST"),
                Param("body", _TEXT, None),
                Param("headers", _JSONB, None),
                Param("timeout_seconds", _INTEGER, 30),
            ),
            strict=False,
        ),
        Call(
            "http_multipart",
            (
                Param("url", _TEXT),
                Param("method", _TEXT, "POST"),
                Param("parts", _JSONB, None),
                Param("headers", _JSONB, None),
                Param("timeout_seconds", _INTEGER, 30),
            ),
            strict=False,
        ),
        Call("await_instance", (Param("instance_id", _TEXT), Param("timeout_seconds", _INTEGER, None)), strict=False),
        Call(
            "call_child",
            (Param("fut", _STEP), Param("label", _TEXT, None), Param("options", _JSONB, None)),
            strict=False,
        ),
    )
}

# Statements a file may hold at its top level.
START = Call(
    "start",
    (
        Param("fut", _STEP),
        Param("label", _TEXT, None),
        Param("database", _TEXT, None),
        Param("transaction_mode", _TEXT, "caller"),
    ),
    strict=False,
)
SETVAR = Call("setvar", (Param("name", _TEXT), Param("value", _TEXT)))
EXPLAIN = Call("explain", (Param("input", _STEP),))

# How the name begins that a called child's first step has, the SQL that starts it.
CHILD_STARTER = "__df_call_child_"

# HTTP methods of each kind of request, as pg_durable lists them in its messages.
METHODS = {"HTTP": ("GET", "POST", "PUT", "DELETE", "PATCH"), "HTTP_MULTIPART": ("POST", "PUT", "PATCH")}

# Options of df.call_child, in the order in which the SQL function lists and checks them.
CHILD_OPTIONS = ("timeout_seconds", "database", "on_failure", "on_timeout", "on_cancel")

# df functions that answer at once; none of them is a step of a workflow.
NON_STEP_CALLS = frozenset(
    {
        "start", "status", "result", "cancel", "signal", "explain", "wait_for_completion", "run", "version",
        "target_database", "setvar", "getvar", "unsetvar", "clearvars", "list_instances", "instance_info",
        "instance_nodes", "instance_executions", "metrics", "grant_usage", "revoke_usage", "waiting", "set_secret",
        "unset_secret",
    }
)  # fmt: skip

MAX_DEPTH = 256  # levels below the root; pg_durable's limit, kept
MAX_NODES = 10_000  # nodes in one graph; pg_durable's limit, kept
MAX_TEXT = 1_000_000  # characters of one program
