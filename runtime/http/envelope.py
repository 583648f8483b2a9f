"""What came back from an HTTP server, as the result that workflows read: `$r.status`, `$r.ok`, `$r.body`.

In: an Answer. Out: the envelope, JSON text; RequestProblem when the server says that it has failed. Answers are
foreign data: nothing of them is interpreted beyond text or not text.
"""

from __future__ import annotations

import base64
import codecs
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgweave.runtime.http.request import RequestProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgweave.runtime.http.request import Request

PREVIEW_BYTES = 512
MASKED_LENGTH = 4  # characters; a shorter secret would mask half of any text

_TEXT_TYPES = re.compile(
    r"text/.*|.*\+(json|xml|yaml)|application/(json|xml|javascript|ecmascript|x-www-form-urlencoded|graphql|(x-)?yaml)"
)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s\";,]+)", re.IGNORECASE)
# Python's names of what browsers know. It has others, which take quadratic time or do not encode text.
_ENCODINGS = re.compile(r"utf-(8|16|32).*|iso8859.*|cp\d+|koi8.*|gb.*|big5.*|euc_.*|shift_jis.*|iso2022.*|mac-.*")
_AS_BROWSERS_DO = {"iso8859-1": "cp1252", "ascii": "cp1252", "utf-8": "utf-8-sig"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, its content decoded. headers: as sent, repeated ones included."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Mask:
    """Hides secrets that a server sends back: some echo what they were sent, and results are kept."""

    secrets: Mapping[str, str] = field(repr=False)

    def text(self, text: str) -> str:
        """The text with every secret replaced by its name."""
        for name, value in self.secrets.items():
            if len(value) >= MASKED_LENGTH:
                text = text.replace(value, f"{{secret:{name}}}")
        return text

    def data(self, data: bytes) -> bytes:
        """The same of bytes."""
        for name, value in self.secrets.items():
            if len(value) >= MASKED_LENGTH:
                data = data.replace(value.encode(), f"{{secret:{name}}}".encode())
        return data


def envelope(request: Request, answer: Answer, mask: Mask, milliseconds: int, max_bytes: int) -> str:
    """JSON text of at most `max_bytes`. Answers from 500 on are failures; others are the workflow's business."""
    body, encoding = _body(answer, mask)
    if answer.status >= 500:
        message = f"{request.called} returned {answer.status}: {_preview(body, encoding)}"
        raise RequestProblem(message, status=answer.status, request_sent=True)
    text = json.dumps(
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
    if len(text.encode()) > max_bytes:
        raise too_large(request, max_bytes)
    return text


def too_large(request: Request, max_bytes: int) -> RequestProblem:
    """The answer is larger than a result may be."""
    message = f"{request.called} answered with more than {max_bytes} bytes"
    return RequestProblem(message, sqlstate="PWR03", request_sent=True)


def _headers(answer: Answer, mask: Mask) -> dict[str, str]:
    """Names in lower case; of repeated ones the last; values that are not UTF-8 are dropped."""
    headers = {}
    for name, value in answer.headers:
        try:
            headers[name.decode("ascii").lower()] = mask.text(value.decode())
        except UnicodeDecodeError:
            continue
    return headers


def _body(answer: Answer, mask: Mask) -> tuple[str, str]:
    """The body, and how it is written: as text, or as base64 when it is not text by its type and not by its looks."""
    types = [value.decode("latin-1") for name, value in answer.headers if name.lower() == b"content-type"]
    declared = types[-1].split(",")[0] if types else ""
    if _TEXT_TYPES.fullmatch(declared.split(";")[0].strip().lower()):
        return mask.text(answer.body.decode(_encoding(declared), errors="replace")), "text"
    body = mask.data(answer.body)
    if b"\0" not in body:
        try:
            return body.decode(), "text"
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode("ascii"), "base64"


def _encoding(content_type: str) -> str:
    """Python's name of the declared encoding; UTF-8 when it is none that we know."""
    found = _CHARSET.search(content_type)
    try:
        name = codecs.lookup(found[1] if found else "utf-8").name
    except LookupError:
        name = "utf-8"
    name = _AS_BROWSERS_DO.get(name, name)
    return name if _ENCODINGS.fullmatch(name) else "utf-8-sig"


def _preview(body: str, encoding: str) -> str:
    data = body.encode()
    if len(data) <= PREVIEW_BYTES:
        return body
    unit = "bytes" if encoding == "text" else "base64 characters"
    return f"{data[:PREVIEW_BYTES].decode(errors='ignore')}... [truncated, {len(data)} {unit} total]"
