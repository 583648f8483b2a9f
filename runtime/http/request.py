"""What an HTTP step is about to send: its configuration, checked, with the values in place.

In: the configuration in the row, which anybody may have written by hand, the named results and the variables. Out: a
Request, or RequestProblem. Nothing is asked or resolved here, and secrets are still names: they take their place in
`pgweave.runtime.http.exchange`, on the way out, and nowhere else.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pgweave.grammar.kinds import METHODS
from pgweave.grammar.result_names import NAME
from pgweave.grammar.shortened import cut
from pgweave.runtime.http.http_values import MAX_TEXT, render_base64, render_body, render_text, render_url
from pgweave.runtime.worker.sql_step import StepProblem
from pgweave.runtime.worker.substitution import ValueProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_TIMEOUT_SECONDS = 3600
MAX_HEADERS = 100
MAX_HEADER_BYTES = 64_000  # names and values together; what servers accept ends far below
MAX_PARTS = 100
MAX_SHOWN = 300  # characters of a URL in messages

# A workflow may not set what frames the message or belongs to the connection, nor the host, which was checked.
REFUSED_HEADERS = frozenset(
    {
        "connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SECRET = re.compile(rf"\{{secret:({NAME})\}}", re.ASCII)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,30})://", re.ASCII | re.IGNORECASE)


class RequestProblem(StepProblem):
    """A request that cannot be made, or that came to nothing. error: what the node's row will say."""

    def __init__(self, message: str, **details: object) -> None:
        # jsonb cannot hold the character NUL, and part of a message may come from a server.
        super().__init__(message.replace("\0", "\ufffd"), **details)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret by its name; see df.set_secret."""

    name: str


@dataclass(frozen=True, slots=True)
class Header:
    """One header. pieces: text and secrets, which together are the value."""

    name: str
    pieces: tuple[str | Secret, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body."""

    name: str
    data: bytes
    filename: str | None
    content_type: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. body: of HTTP; parts: of HTTP_MULTIPART.

    kind: node type. shown: the URL as it was written, without its query, for messages: no value reaches them.
    """

    kind: str
    method: str
    url: str
    headers: tuple[Header, ...]
    timeout_seconds: int
    shown: str
    body: bytes | None = None
    parts: tuple[Part, ...] = ()

    @property
    def secrets(self) -> set[str]:
        """Names of the secrets it is to be sent with."""
        return {piece.name for header in self.headers for piece in header.pieces if isinstance(piece, Secret)}

    @property
    def called(self) -> str:
        """How messages begin: `HTTP POST https://example.com/orders`."""
        return f"{self.kind} {self.method} {self.shown}"


def secret_names(config: Mapping[str, object]) -> list[str]:
    """The secrets that the headers of a step name."""
    headers = config.get("headers")
    texts = [value for value in headers.values() if isinstance(value, str)] if isinstance(headers, dict) else []
    return sorted({name for text in texts for name in _SECRET.findall(text)})


def prepare(kind: str, config: Mapping[str, object], names: Mapping[str, str], variables: Mapping[str, str]) -> Request:
    """Check a step's configuration and put the values in their places. kind: HTTP or HTTP_MULTIPART."""
    try:
        return _prepare(kind, config, names, variables)
    except ValueProblem as problem:
        raise RequestProblem(str(problem)) from problem
    except UnicodeEncodeError as error:
        raise RequestProblem(f"{kind} request holds a character that UTF-8 cannot encode") from error


def _prepare(
    kind: str, config: Mapping[str, object], names: Mapping[str, str], variables: Mapping[str, str]
) -> Request:
    template = _text(config, "url")
    method = str(config.get("method") or "POST").upper()
    if method not in METHODS[kind]:
        called = "Invalid HTTP method for multipart" if kind == "HTTP_MULTIPART" else "Invalid HTTP method"
        *others, last = METHODS[kind]
        raise RequestProblem(f"{called}: {method[:30]}. Must be {', '.join(others)}, or {last}")
    # As JSON, so that parts and other nested values are searched too.
    if any(_SECRET.search(json.dumps(value)) for key, value in config.items() if key != "headers"):
        raise RequestProblem("A secret can only be in the value of a header")
    url = render_url(template, names, variables)
    _check_scheme(url)
    headers = tuple(_headers(kind, config.get("headers"), names, variables))
    request = Request(kind, method, url, headers, _timeout(config.get("timeout_seconds", 30)), _shown(template))
    if kind == "HTTP_MULTIPART":
        return replace(request, parts=tuple(_parts(config.get("parts"), names, variables)))
    body = config.get("body")
    if body is None:
        return request
    if not isinstance(body, str):
        raise RequestProblem("body must be text")
    written = render_body(body, names, variables, _content_type(headers))
    return replace(request, body=written.encode())


def _shown(template: str) -> str:
    """A URL for messages, which travel far: without its query and without a password."""
    shown = re.sub(r"//[^/?#]*@", "//", re.split(r"[?#]", template.strip())[0])
    shown = _CONTROL.sub(" ", shown)
    return cut(shown, MAX_SHOWN, "...")


def _text(config: Mapping[str, object], key: str) -> str:
    value = config.get(key)
    if not isinstance(value, str):
        raise RequestProblem(f"{key} must be text")
    return value


def _check_scheme(url: str) -> None:
    found = _SCHEME.match(url)
    scheme = found[1] if found else ""
    if scheme.lower() not in {"http", "https"}:
        raise RequestProblem(f"Blocked: unsupported URL scheme '{scheme}'. Only http and https are allowed.")


def _timeout(value: object) -> int:
    # The row may have been written by hand, so the types of the call do not hold.
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise RequestProblem("Timeout must be positive")
    if value > MAX_TIMEOUT_SECONDS:
        raise RequestProblem(f"Timeout must be at most {MAX_TIMEOUT_SECONDS} seconds")
    return value


def _headers(kind: str, headers: object, names: Mapping[str, str], variables: Mapping[str, str]) -> Iterator[Header]:
    if headers is None:
        return
    if not isinstance(headers, dict):
        raise RequestProblem("headers must be a JSON object")
    if len(headers) > MAX_HEADERS:
        raise RequestProblem(f"more than {MAX_HEADERS} headers")
    seen: set[str] = set()
    for name, value in headers.items():
        _check_name(name, seen)
        # pgweave chooses the boundary of a multipart body.
        if kind == "HTTP" or name.lower() != "content-type":
            yield Header(name, tuple(_pieces(name, value, names, variables)))


def _check_name(name: str, seen: set[str]) -> None:
    if not _TOKEN.fullmatch(name):
        raise RequestProblem(f"{name[:60]!r} is not the name of a header")
    if name.lower() in REFUSED_HEADERS:
        raise RequestProblem(f"header {name}: pgweave sets it itself, a step cannot")
    if name.lower() in seen:
        raise RequestProblem(f"header {name} is given twice")
    seen.add(name.lower())


def _pieces(name: str, value: object, names: Mapping[str, str], variables: Mapping[str, str]) -> Iterator[str | Secret]:
    """The value of a header. Secrets are found in what was written, never in what a value brings along."""
    if not isinstance(value, str):
        raise RequestProblem(f"header {name}: the value must be text")
    # split with one group gives text, name, text, name, ..: names are at the odd positions.
    for position, piece in enumerate(_SECRET.split(value)):
        if position % 2:
            yield Secret(piece)
        elif piece:
            # A value that contains `{secret:X}` is plain text by now: only what was written in the program is
            # split.
            text = render_text(piece, names, variables)
            if _CONTROL.search(text):
                raise RequestProblem(f"header {name}: the value holds a line break or another control character")
            yield text


def _content_type(headers: tuple[Header, ...]) -> str | None:
    for header in headers:
        if header.name.lower() == "content-type":
            return "".join(piece for piece in header.pieces if isinstance(piece, str))
    return None


def _parts(parts: object, names: Mapping[str, str], variables: Mapping[str, str]) -> Iterator[Part]:
    if parts is None:
        raise RequestProblem("parts is required and cannot be NULL")
    if not isinstance(parts, list):
        raise RequestProblem("parts must be a JSON array of part objects")
    if not parts:
        raise RequestProblem("parts must contain at least one part")
    if len(parts) > MAX_PARTS:
        raise RequestProblem(f"more than {MAX_PARTS} parts")
    size = 0
    for part in parts:
        if not isinstance(part, dict):
            raise RequestProblem("parts must be a JSON array of part objects")
        made = _part(part, names, variables)
        size += len(made.data)
        if size > MAX_TEXT:
            raise RequestProblem(f"the parts are more than {MAX_TEXT} bytes")
        yield made


def _part(part: Mapping[str, object], names: Mapping[str, str], variables: Mapping[str, str]) -> Part:
    name = render_text(_text(part, "name"), names, variables)
    filename, content_type = part.get("filename"), part.get("content_type")
    if not isinstance(filename, str | None) or not isinstance(content_type, str | None):
        raise RequestProblem(f"part '{name}': filename and content_type must be text")
    if content_type is not None and _CONTROL.search(content_type):
        raise RequestProblem(f"part '{name}': the content type holds a line break or another control character")
    encoded = render_base64(_text(part, "data_b64"), str(part["name"]), names, variables)
    try:
        # Encoders break lines, and people do.
        data = base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestProblem(f"Invalid base64 in part '{part['name']}': {error}") from error
    return Part(name, data, None if filename is None else render_text(filename, names, variables), content_type)
