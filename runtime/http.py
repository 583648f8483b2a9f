"""An HTTP step: from a Request to the envelope that becomes the step's result, or to its failure.

In: a Request with its values in place, its secrets, the worker's policy. Out: the envelope as JSON text, of which
workflows read `$r.status`, `$r.ok` and `$r.body`; RequestProblem when there is no answer, or one that says the server
failed. Answers are data of somebody else: nothing of them is interpreted beyond text or not text.
"""

from __future__ import annotations

import base64
import codecs
import json
import re
import time
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from pgweave.runtime.request import RequestProblem, Secret
from pgweave.runtime.ssrf import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgweave.runtime.exchange import Answer
    from pgweave.runtime.request import Request

__all__ = ["Policy", "idempotency_key", "perform"]

PREVIEW_BYTES = 512
MASKED_LENGTH = 4  # characters; a shorter secret would mask half of any text

_NAMESPACE = UUID("6f5a0a52-5d0a-5c39-9c1e-3b0f4a6f1f5e")  # ours, made up once
_TEXT_TYPES = re.compile(
    r"text/.*|.*\+(json|xml|yaml)|application/(json|xml|javascript|ecmascript|x-www-form-urlencoded|graphql|(x-)?yaml)"
)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s\";,]+)", re.IGNORECASE)
# Python's names of the encodings browsers know; it has others that take quadratic time or are no encodings of text.
_ENCODINGS = re.compile(r"utf-(8|16|32).*|iso8859.*|cp\d+|koi8.*|gb.*|big5.*|euc_.*|shift_jis.*|iso2022.*|mac-.*")
_BY_CUSTOM = {"iso8859-1": "cp1252", "ascii": "cp1252", "utf-8": "utf-8-sig"}  # as browsers read them


def idempotency_key(instance_id: str, node_id: str, iteration: tuple[int, ...]) -> str:
    """The key every attempt of one node-run sends, so that the receiver can tell a repetition from a new request."""
    return str(uuid5(_NAMESPACE, "/".join((instance_id, node_id, *map(str, iteration)))))


def perform(request: Request, *, secrets: Mapping[str, str], key: str, policy: Policy, max_bytes: int) -> str:
    """Send a request and write its answer down as the envelope, JSON text of at most `max_bytes`.

    secrets: every one the request names. Answers from 500 on are failures; what to do about others is the workflow's
    business.
    """
    for name in {piece.name for header in request.headers for piece in header.pieces if isinstance(piece, Secret)}:
        if name not in secrets:
            hint = f"As the role that starts the workflow: SELECT df.set_secret('{name}', '...');"
            raise RequestProblem(f"Secret '{name}' is not set", hint=hint)
    try:
        from pgweave.runtime.exchange import exchange
    except ImportError as error:
        hint = "Install it where the worker runs: pip install 'pgweave[http]'"
        raise RequestProblem(f"{request.kind} steps need the package httpx2, which is not here", hint=hint) from error
    began = time.monotonic()
    answer = exchange(request, key, secrets, policy, max_bytes, f"pgweave/{_version()}")
    milliseconds = round((time.monotonic() - began) * 1000)
    mask = _Mask(secrets)
    body, encoding = _body(answer, mask)
    if answer.status >= 500:
        message = f"{request.called} returned {answer.status}: {_preview(body, encoding)}"
        raise RequestProblem(message, status=answer.status, request_sent=True)
    envelope = json.dumps(
        {
            "status": answer.status,
            "body": body,
            "encoding": encoding,
            "headers": _headers(answer, mask),
            "ok": 200 <= answer.status < 300,
            "duration_ms": milliseconds,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    if len(envelope.encode()) > max_bytes:
        message = f"{request.called} answered with more than {max_bytes} bytes"
        raise RequestProblem(message, sqlstate="PW003", request_sent=True)
    return envelope


def _version() -> str:
    from importlib.metadata import version

    return version("pgweave")


class _Mask:
    """Hides secrets that a server sends back: some echo what they were sent, and results are kept."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._known = [(value, f"{{secret:{name}}}") for name, value in secrets.items() if len(value) >= MASKED_LENGTH]

    def text(self, text: str) -> str:
        for value, shown in self._known:
            text = text.replace(value, shown)
        return text

    def data(self, data: bytes) -> bytes:
        for value, shown in self._known:
            data = data.replace(value.encode(), shown.encode())
        return data


def _headers(answer: Answer, mask: _Mask) -> dict[str, str]:
    """Names in lower case; of repeated ones the last; values that are not UTF-8 are dropped."""
    headers = {}
    for name, value in answer.headers:
        try:
            headers[name.decode("ascii").lower()] = mask.text(value.decode())
        except UnicodeDecodeError:
            continue
    return headers


def _body(answer: Answer, mask: _Mask) -> tuple[str, str]:
    """The body, and how it is written: as text, or as base64 when it is not text by its type and not by its looks."""
    declared = next(
        (value.decode("latin-1") for name, value in reversed(answer.headers) if name.lower() == b"content-type"), ""
    )
    kind = declared.split(",")[0].split(";")[0].strip().lower()
    if _TEXT_TYPES.fullmatch(kind):
        return mask.text(answer.body.decode(_encoding(declared), errors="replace")), "text"
    body = mask.data(answer.body)
    if b"\0" not in body:
        try:
            return body.decode(), "text"
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode("ascii"), "base64"


def _encoding(content_type: str) -> str:
    found = _CHARSET.search(content_type)
    try:
        name = codecs.lookup(found[1] if found else "utf-8").name
    except LookupError:
        name = "utf-8"
    name = _BY_CUSTOM.get(name, name)
    return name if _ENCODINGS.fullmatch(name) else "utf-8-sig"


def _preview(body: str, encoding: str) -> str:
    data = body.encode(errors="replace")
    if len(data) <= PREVIEW_BYTES:
        return body
    unit = "bytes" if encoding == "text" else "base64 characters"
    return f"{data[:PREVIEW_BYTES].decode(errors='ignore')}... [truncated, {len(data)} {unit} total]"
