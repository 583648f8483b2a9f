"""HTTP requests on the wire, against a server on 127.0.0.1 that does what servers do, good and bad."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import socket
import ssl
import struct
import sys
import threading
import time
import tracemalloc
import zlib
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.http_server import Received, Server, answer, serving

from pgweave.runtime.errors import StepInterrupted
from pgweave.runtime.http import exchange
from pgweave.runtime.http.http_step import idempotency_key, perform
from pgweave.runtime.http.request import Request, RequestProblem, prepare, secret_names
from pgweave.runtime.http.ssrf import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCAL = Policy.allowing("127.0.0.1")
CERTIFICATE = Path(__file__).parents[1] / "support" / "weave.example.pem"
CANARY = "canary-4f1d-ü"


@pytest.fixture
def web() -> Iterator[Server]:
    with serving() as found:
        yield found


def made(
    url: str, *, kind: str = "HTTP", seconds: int = 10, names: dict[str, str] | None = None, **config: object
) -> Request:
    return prepare(kind, {"url": url, "timeout_seconds": seconds, **config}, names or {}, {})


def ask(
    url: str,
    *,
    kind: str = "HTTP",
    seconds: int = 10,
    names: dict[str, str] | None = None,
    secrets: dict[str, str] | None = None,
    **config: object,
) -> dict[str, Any]:
    """The envelope of one request."""
    request = made(url, kind=kind, seconds=seconds, names=names, **config)
    found = perform(request, secrets=secrets or {}, key="the-key", policy=LOCAL, max_bytes=100_000)
    envelope = json.loads(found)
    assert isinstance(envelope, dict)
    return envelope


def problem(
    url: str,
    *,
    kind: str = "HTTP",
    seconds: int = 10,
    names: dict[str, str] | None = None,
    secrets: dict[str, str] | None = None,
    **config: object,
) -> dict[str, Any]:
    """What a request that must fail says in the row."""
    with pytest.raises(RequestProblem) as caught:
        ask(url, kind=kind, seconds=seconds, names=names, secrets=secrets, **config)
    return caught.value.error


# What is sent.


def test_a_request_is_sent_as_it_was_written(web: Server) -> None:
    url = web.on("/orders", answer("done"))
    ask(f"{url}?a=1", method="put", body='{"n": $n}', headers={"X-Order": "no $n"}, names={"n": '{"rows":[{"n":7}]}'})
    (sent,) = web.requests
    assert (sent.method, sent.target, sent.body) == ("PUT", "/orders?a=1", b'{"n": 7}')
    assert sent.header("X-Order") == "no 7"
    assert sent.header("Host") == f"127.0.0.1:{web.port}"
    assert sent.header("Content-Length") == "8"
    assert sent.header("Idempotency-Key") == "the-key"
    assert (sent.header("User-Agent") or "").startswith("pgweave/")
    assert sent.header("Content-Type") is None, "the step did not name one"


def test_what_a_step_says_about_itself_is_not_overridden(web: Server) -> None:
    url = web.on("/", answer())
    ask(url, headers={"user-agent": "mine", "IDEMPOTENCY-KEY": "order-7", "accept": "text/csv"})
    (sent,) = web.requests
    assert [sent.all(name) for name in ("User-Agent", "Idempotency-Key", "Accept")] == [
        ["mine"],
        ["order-7"],
        ["text/csv"],
    ]


def test_a_get_may_have_a_body_and_a_post_none(web: Server) -> None:
    url = web.on("/", answer())
    ask(url, method="GET", body="query")
    ask(url, method="POST")
    assert [(sent.method, sent.body, sent.header("Content-Length")) for sent in web.requests] == [
        ("GET", b"query", "5"),
        ("POST", b"", "0"),
    ]


def test_the_key_is_one_for_all_attempts_of_a_node_run_and_another_for_every_other() -> None:
    keys = [
        idempotency_key("0a1b2c3d", "00000001", ()), idempotency_key("0a1b2c3d", "00000002", ()),
        idempotency_key("0a1b2c3e", "00000001", ()), idempotency_key("0a1b2c3d", "00000001", (1,)),
        idempotency_key("0a1b2c3d", "00000001", (2,)), idempotency_key("0a1b2c3d", "00000001", (1, 2)),
        idempotency_key("0a1b2c3d", "00000001", (12,)),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    # Written down: a release that changed it would make the receiver take a repetition for a new request.
    assert keys[0] == "acfab34c-394c-509e-b695-ac864b92f847"


@pytest.mark.parametrize(
    "name", ["Host", "Content-Length", "transfer-encoding", "Connection", "Upgrade", "TE", "Trailer", "Keep-Alive",
             "Proxy-Authorization", "proxy-connection", "Expect"],
)  # fmt: skip
def test_headers_that_frame_the_message_are_not_the_steps_to_send(web: Server, name: str) -> None:
    assert "sets it itself" in problem(web.url(), headers={name: "x"})["message"]
    assert web.connections == 0


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (["a"], "headers must be a JSON object"),
        ("a: b", "headers must be a JSON object"),
        ({"X-A": 5}, "header X-A: the value must be text"),
        ({"X-A": None}, "header X-A: the value must be text"),
        ({"X-A": "a\r\nHost: evil"}, "header X-A: the value holds a line break or another control character"),
        ({"X-A": "a\nb"}, "header X-A: the value holds a line break or another control character"),
        ({"X-A": "a\0b"}, "header X-A: the value holds a line break or another control character"),
        ({"X-A: evil\r\nX-B": "a"}, "is not the name of a header"),
        ({"": "a"}, "is not the name of a header"),
        ({"X-Ä": "a"}, "is not the name of a header"),
        ({"X-A": "a", "x-a": "b"}, "header x-a is given twice"),
        ({f"X-{n}": "a" for n in range(101)}, "more than 100 headers"),
        ({"X-A": "a" * 70_000}, "the headers are more than 64000 bytes"),
    ],
)
def test_headers_that_cannot_be_sent_as_told_are_refused(web: Server, headers: object, message: str) -> None:
    assert message in problem(web.url(), headers=headers)["message"]
    assert web.connections == 0


def test_a_value_cannot_add_a_header(web: Server) -> None:
    """Data comes from signals, tables and other servers."""
    names = {"x": json.dumps({"rows": [{"x": "a\r\nX-Evil: 1"}]})}
    assert "line break" in problem(web.url(), headers={"X-A": "$x"}, names=names)["message"]
    assert web.connections == 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"url": "file:///etc/passwd"}, "Blocked: unsupported URL scheme 'file'. Only http and https are allowed."),
        ({"url": "http:/one.slash"}, "Blocked: unsupported URL scheme ''. Only http and https are allowed."),
        ({"url": None}, "url must be text"),
        ({"method": "DELETE /x HTTP/1.1\r\n"}, "Invalid HTTP method: "),
        ({"method": "TRACE"}, "Invalid HTTP method: TRACE. Must be GET, POST, PUT, DELETE, or PATCH"),
        ({"timeout_seconds": 0}, "Timeout must be positive"),
        ({"timeout_seconds": True}, "Timeout must be positive"),
        ({"timeout_seconds": "5"}, "Timeout must be positive"),
        ({"timeout_seconds": 10**9}, "Timeout must be at most 3600 seconds"),
        ({"body": {"a": 1}}, "body must be text"),
        ({"body": "\ud800"}, "HTTP request holds a character that UTF-8 cannot encode"),
        ({"url": "http://e.com/{secret:KEY}"}, "A secret can only be in the value of a header"),
        ({"body": "{secret:KEY}"}, "A secret can only be in the value of a header"),
        ({"url": "http://e.com/$x"}, "$x has no rows — query returned zero results"),
    ],
)
def test_a_configuration_that_was_written_by_hand_is_checked_again(config: dict[str, object], message: str) -> None:
    with pytest.raises(RequestProblem) as caught:
        prepare("HTTP", {"url": "http://e.com/", **config}, {"x": '{"rows":[]}'}, {})
    assert str(caught.value).startswith(message)


# Multipart.


def parts_of(sent: Received) -> list[tuple[str, str | None, str, bytes]]:
    """Name, file name, content type and data of each part, as another library reads them."""
    head = f"Content-Type: {sent.header('Content-Type')}\r\n\r\n".encode()
    found = []
    for part in message_from_bytes(head + sent.body).get_payload():
        assert not isinstance(part, str)
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        found.append((str(name), part.get_filename(), str(part["content-type"]), data))
    return found


def multipart(
    web: Server, parts: object, *, names: dict[str, str] | None = None, headers: dict[str, str] | None = None
) -> list[tuple[str, str | None, str, bytes]]:
    ask(web.on("/up", answer()), kind="HTTP_MULTIPART", names=names, parts=parts, headers=headers)
    return parts_of(web.requests[-1])


def test_binary_data_comes_back_as_base64_and_goes_up_again_unchanged(web: Server) -> None:
    picture = bytes(range(256)) * 40
    down = ask(web.on("/picture", answer(picture, content_type="image/png")))
    assert (down["encoding"], base64.b64decode(down["body"])) == ("base64", picture)
    names = {"r": json.dumps(down), "n": '{"rows":[{"n":"Ünï \\"q\\".png"}]}'}
    parts = [
        {"name": "file", "data_b64": "$r.body", "filename": "$n", "content_type": "image/png"},
        {"name": "note", "data_b64": base64.b64encode(b"hello").decode()},
        {"name": "raw", "data_b64": "", "filename": "empty.bin"},
    ]
    sent = multipart(web, parts, names=names)
    assert [(name, kind, data) for name, _, kind, data in sent] == [
        ("file", "image/png", picture),
        ("note", "None", b"hello"),
        ("raw", "application/octet-stream", b""),
    ]
    assert 'filename="Ünï %22q%22.png"'.encode() in web.requests[-1].body


def test_line_wrapped_base64_is_accepted(web: Server) -> None:
    wrapped = base64.encodebytes(b"x" * 200).decode()
    assert "\n" in wrapped.strip()
    assert multipart(web, [{"name": "a", "data_b64": wrapped}])[0][3] == b"x" * 200


def test_every_attempt_sends_the_same_bytes(web: Server) -> None:
    """A receiver that compares requests under one key must not see two different ones."""
    parts = [{"name": "a", "data_b64": "QUJD"}]
    multipart(web, parts)
    multipart(web, parts)
    first, second = web.requests
    assert first == second


def test_a_content_type_given_for_multipart_is_ignored(web: Server) -> None:
    sent = multipart(web, [{"name": "a", "data_b64": "QUJD"}], headers={"Content-Type": "text/plain", "X-A": "b"})
    assert sent[0][3] == b"ABC"
    assert web.requests[0].header("X-A") == "b"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (None, "parts is required and cannot be NULL"),
        ({}, "parts must be a JSON array of part objects"),
        ([], "parts must contain at least one part"),
        (["a"], "parts must be a JSON array of part objects"),
        ([{"name": "a"}], "data_b64 must be text"),
        ([{"data_b64": "QUJD"}], "name must be text"),
        ([{"name": "a", "data_b64": "QUJ"}], "Invalid base64 in part 'a': "),
        ([{"name": "a", "data_b64": "Q*JD"}], "Invalid base64 in part 'a': "),
        ([{"name": "a", "data_b64": "QUJD$x"}], "data_b64 for part 'a' mixes a variable reference with other text."),
        ([{"name": "a", "data_b64": "QUJD", "content_type": "a\r\nX: b"}], "part 'a': the content type holds a line break"),
        ([{"name": "a", "data_b64": "QUJD", "filename": 1}], "part 'a': filename and content_type must be text"),
        ([{"name": "a", "data_b64": "QUJD"}] * 101, "more than 100 parts"),
    ],
)  # fmt: skip
def test_parts_that_make_no_sense_are_refused(web: Server, parts: object, message: str) -> None:
    assert problem(web.url(), kind="HTTP_MULTIPART", parts=parts)["message"].startswith(message)
    assert web.connections == 0


def test_a_file_name_cannot_add_a_header_to_its_part(web: Server) -> None:
    sent = multipart(web, [{"name": 'a"\r\nX: 1', "data_b64": "QUJD", "filename": 'f"\r\nX: 1\r\n\r\nbody'}])
    assert len(sent) == 1
    assert sent[0][3] == b"ABC"


def test_get_and_delete_have_no_parts(web: Server) -> None:
    found = problem(web.url(), kind="HTTP_MULTIPART", method="GET", parts=[{"name": "a", "data_b64": ""}])
    assert found["message"] == "Invalid HTTP method for multipart: GET. Must be POST, PUT, or PATCH"


# What comes back.


def test_the_envelope_has_exactly_these_fields(web: Server) -> None:
    url = web.on("/", answer("hello", headers={"X-One": "1", "x-one": "2"}))
    found = ask(url)
    assert list(found) == ["status", "body", "encoding", "headers", "ok", "duration_ms"]
    assert (found["status"], found["body"], found["encoding"], found["ok"]) == (200, "hello", "text", True)
    assert found["headers"]["content-type"] == "text/plain"
    assert found["headers"]["x-one"] == "2", "the last of repeated headers"
    assert isinstance(found["duration_ms"], int)


@pytest.mark.parametrize("status", [201, 204, 301, 400, 404, 429])
def test_an_answer_below_500_is_a_result(web: Server, status: int) -> None:
    found = ask(web.on("/", answer(status=status, headers={"Location": web.url("/other")})))
    assert (found["status"], found["ok"]) == (status, status < 300)
    assert len(web.requests) == 1, "redirects are returned, not followed"


def test_a_server_error_fails_with_what_the_server_said(web: Server) -> None:
    url = web.on("/", answer("out of \0 order", 503))
    found = problem(f"{url}?token={CANARY}", method="PATCH")
    assert found == {
        "message": f"HTTP PATCH {url} returned 503: out of \ufffd order",
        "status": 503,
        "request_sent": True,
    }
    assert len(web.requests) == 1, "nothing is sent twice by itself"


@pytest.mark.parametrize(
    ("body", "kind", "ending"),
    [
        (b"a" * 512, "text/plain", "a" * 512),
        (b"a" * 513, "text/plain", "a" * 512 + "... [truncated, 513 bytes total]"),
        ("ü".encode() * 300, "text/plain", "ü" * 256 + "... [truncated, 600 bytes total]"),
        (b"a" + "ü".encode() * 300, "text/plain", "ü" * 255 + "... [truncated, 601 bytes total]"),
        (b"\xff" * 600, "image/png", "/" * 512 + "... [truncated, 800 base64 characters total]"),
    ],
)
def test_a_long_server_error_is_previewed(web: Server, body: bytes, kind: str, ending: str) -> None:
    url = web.on("/", answer(body, 500, content_type=kind))
    message = problem(url, kind="HTTP_MULTIPART", parts=[{"name": "a", "data_b64": ""}])["message"]
    assert message.startswith(f"HTTP_MULTIPART POST {url} returned 500: ")
    assert message.endswith(ending)


@pytest.mark.parametrize(
    ("content_type", "body", "expected", "encoding"),
    [
        ("text/html; charset=ISO-8859-1", b"\xfc\x80", "ü€", "text"),
        ('application/json; charset="utf-8"', "ü".encode(), "ü", "text"),
        ("text/plain", b"\xef\xbb\xbfa", "a", "text"),
        ("text/plain; charset=utf-16", "aü".encode("utf-16"), "aü", "text"),
        ("text/plain; charset=shift_jis", "日本".encode("shift_jis"), "日本", "text"),
        ("text/plain; charset=utf-8", b"a\xff\xfeb", "a\ufffd\ufffdb", "text"),
        ("text/plain; charset=no-such-thing", "ü".encode(), "ü", "text"),
        ("text/plain; charset=punycode", b"abc-", "abc-", "text"),
        ("text/plain; charset=unicode_escape", b"\\u00fc", "\\u00fc", "text"),
        ("text/plain; charset=zlib", b"abc", "abc", "text"),
        ("TEXT/PLAIN, application/json", b"a", "a", "text"),
        ("application/problem+json", b"{}", "{}", "text"),
        ("application/octet-stream", b"looks like text", "looks like text", "text"),
        ("application/octet-stream", b"nul \0", "bnVsIAA=", "base64"),
        ("image/png", b"\xff\xfe", "//4=", "base64"),
        (None, "ü".encode(), "ü", "text"),
        (None, b"\xff", "/w==", "base64"),
        ("text/plain", b"nul \0", "nul \0", "text"),
        ("text/plain", b"", "", "text"),
    ],
)
def test_a_body_is_text_by_its_type_or_by_its_looks_and_base64_otherwise(
    web: Server, content_type: str | None, body: bytes, expected: str, encoding: str
) -> None:
    found = ask(web.on("/", answer(body, content_type=content_type)))
    assert (found["body"], found["encoding"]) == (expected, encoding)


def test_compressed_answers_are_unpacked(web: Server) -> None:
    packed = gzip.compress(b"hello" * 100)
    assert ask(web.on("/", answer(packed, headers={"Content-Encoding": "gzip"})))["body"] == "hello" * 100
    assert web.requests[0].header("Accept-Encoding") == "gzip, deflate"


def test_header_values_that_are_not_utf_8_are_dropped(web: Server) -> None:
    def act(_: Received, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Bad: \xff\r\nX-Good: \xc3\xbc\r\nContent-Length: 0\r\n\r\n")

    headers = ask(web.on("/", act))["headers"]
    assert "x-bad" not in headers
    assert headers["x-good"] == "ü"


# What goes wrong.


def silent(_: Received, connection: socket.socket) -> None:
    """Never answers."""
    connection.recv(1)


def dripping(head: bytes, drop: bytes) -> Callable[[Received, socket.socket], None]:
    """Sends something small every tenth of a second, for ever: no single read ever times out."""

    def act(_: Received, connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(drop)
            time.sleep(0.1)  # what a slow server is

    return act


@pytest.mark.parametrize(
    "act",
    [
        silent,
        dripping(b"HTTP/1.1 200 OK\r\n", b"X"),
        dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        dripping(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["never answers", "drips headers", "drips a body", "says 100 for ever"],
)
def test_the_timeout_is_for_the_whole_request(web: Server, act: Callable[[Received, socket.socket], None]) -> None:
    url = web.on("/", act)
    began = time.monotonic()
    found = problem(f"{url}?q={CANARY}", seconds=1)
    assert found == {"message": f"HTTP timeout after 1s: {url}", "request_sent": True}
    assert 0.9 < time.monotonic() - began < 3
    assert len(web.requests) == 1


def test_a_server_that_does_not_read_is_given_up(web: Server) -> None:
    """The kernel's buffers fill up; each further byte the server takes must not buy more time."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        found = problem(f"http://127.0.0.1:{deaf.getsockname()[1]}/", seconds=1, body="x" * 8_000_000)
    assert found["message"].startswith("HTTP timeout after 1s: ")
    assert found["request_sent"] is True


def test_a_resolver_that_does_not_answer_is_given_up() -> None:
    answered = threading.Event()

    def slow(host: str, port: int) -> list[str]:
        answered.wait(60)
        return []

    try:
        with pytest.raises(RequestProblem, match="HTTP timeout after 1s"):
            perform(
                made("http://slow.example/", seconds=1), secrets={}, key="k", policy=Policy(resolve=slow), max_bytes=9
            )
    finally:
        answered.set()


def test_a_reset_connection_fails_and_nothing_is_sent_again(web: Server) -> None:
    def act(_: Received, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    url = web.on("/", act)
    found = problem(url)
    assert found == {"message": f"HTTP request failed: {url} - Connection reset by peer", "request_sent": True}
    assert len(web.requests) == 1


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "Server disconnected without sending a response."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "peer closed connection without sending complete message body"),
        (b"I am not HTTP\r\n\r\n", "illegal status line"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000, "too long"),
    ],
    ids=["nothing", "half an answer", "no HTTP", "endless headers"],
)  # fmt: skip
def test_an_answer_that_is_none_fails(web: Server, sent: bytes, message: str) -> None:
    url = web.on("/", sent)
    found = problem(url)
    assert found["message"].startswith(f"HTTP request failed: {url} - ")
    assert message in found["message"]
    assert len(found["message"]) < 400
    assert len(web.requests) == 1


def test_nobody_listening_is_a_failed_connection_and_says_that_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    assert problem(url) == {"message": f"HTTP connection failed: {url} - Connection refused", "request_sent": False}


def test_a_server_that_comes_up_a_moment_later_is_still_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent yet, so trying again is safe."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        late = Server(listener)
        late.on("/", answer("up"))
        thread = threading.Thread(target=late.serve)

        def come_up(seconds: float) -> None:
            assert 0 < seconds < 1
            listener.listen()
            thread.start()

        # Where the request would pause before its next try.
        monkeypatch.setattr(time, "sleep", come_up)
        assert ask(late.url())["body"] == "up"
        late.closing.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert late.connections == 1


def test_too_many_headers_are_an_error(web: Server) -> None:
    found = problem(web.on("/", answer(headers={f"X-{n}": "a" for n in range(300)})))
    assert "answered with more than 200 headers" in found["message"]


@pytest.mark.parametrize("length", [100_001, 5_000_000])
def test_an_answer_over_the_limit_is_an_error_by_name(web: Server, length: int) -> None:
    found = problem(web.on("/", answer(b"x" * length)))
    assert found["sqlstate"] == "PWR03"
    assert "more than 100000 bytes" in found["message"]


def test_an_answer_that_only_its_envelope_takes_over_the_limit_is_an_error_too(web: Server) -> None:
    """Escaped or in base64 it grows; the database's limit is for what is stored."""
    assert problem(web.on("/", answer(b"\xff" * 90_000, content_type="image/png")))["sqlstate"] == "PWR03"


def test_an_endless_answer_ends_at_the_limit(web: Server) -> None:
    def act(_: Received, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    assert problem(web.on("/", act))["sqlstate"] == "PWR03"


def test_a_compressed_bomb_ends_at_the_limit_with_little_of_it_in_memory(web: Server) -> None:
    """128 MB of zeros in 128 kB, and the same packed twice."""
    pack = zlib.compressobj(wbits=31)
    once = b"".join(pack.compress(bytes(1_000_000)) for _ in range(128)) + pack.flush()
    assert len(once) < 200_000
    single = web.on("/once", answer(once, headers={"Content-Encoding": "gzip"}))
    double = web.on("/twice", answer(gzip.compress(once), headers={"Content-Encoding": "gzip, gzip"}))
    tracemalloc.start()
    try:
        for url in (single, double):
            assert problem(url)["sqlstate"] == "PWR03"
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()


def test_many_layers_of_compression_are_refused(web: Server) -> None:
    url = web.on("/", answer(b"", headers={"Content-Encoding": ", ".join(["gzip"] * 20)}))
    assert problem(url)["message"].startswith(f"HTTP request failed: {url} - ")


def test_broken_compression_is_an_error(web: Server) -> None:
    url = web.on("/", answer(b"not gzip at all", headers={"Content-Encoding": "gzip"}))
    assert problem(url)["message"].startswith(f"HTTP request failed: {url} - ")


@pytest.mark.parametrize("stage", ["resolving", "answering"])
def test_a_request_in_hand_can_be_stopped_from_another_thread(web: Server, stage: str) -> None:
    asked, given_up = threading.Event(), threading.Event()

    def resolver(host: str, port: int) -> list[str]:
        if stage == "resolving":
            asked.set()
            given_up.wait(60)
        return ["127.0.0.1"]

    def act(_: Received, connection: socket.socket) -> None:
        asked.set()
        silent(_, connection)

    web.on("/", act)
    policy = Policy(LOCAL.rules, resolver)

    @contextmanager
    def hold(stop: Callable[[], object]) -> Iterator[None]:
        stopper = threading.Thread(target=lambda: (asked.wait(60), stop()))
        stopper.start()
        yield
        stopper.join()

    began = time.monotonic()
    with pytest.raises(StepInterrupted):
        perform(
            made(f"http://some.example:{web.port}/", seconds=60),
            secrets={}, key="k", policy=policy, max_bytes=100, interruptible=hold,
        )  # fmt: skip
    given_up.set()
    assert time.monotonic() - began < 10


def test_without_httpx2_a_step_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pgweave.runtime.http.exchange", None)
    found = problem("http://127.0.0.1/")
    assert found["message"] == "HTTP steps need the package httpx2, which is not here"
    assert found["hint"] == "Install it where the worker runs: pip install 'pgweave[http]'"


# TLS: the address was judged, the name is what the certificate is for.


@pytest.fixture
def secure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(CERTIFICATE)
    asked: list[str | None] = []
    theirs.sni_callback = lambda connection, name, context: asked.append(name)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours.load_verify_locations(CERTIFICATE)
    monkeypatch.setattr(exchange, "tls_context", lambda: ours)
    with serving(theirs) as found:
        found.on("/", answer("private"))
        found.asked = asked  # type: ignore[attr-defined]
        yield found


def at_home(url: str) -> dict[str, Any]:
    policy = Policy(LOCAL.rules, lambda host, port: ["127.0.0.1"])
    found = perform(made(url), secrets={}, key="k", policy=policy, max_bytes=10_000)
    envelope = json.loads(found)
    assert isinstance(envelope, dict)
    return envelope


def test_tls_and_the_host_header_use_the_name_and_not_the_address(secure: Server) -> None:
    assert at_home(f"https://weave.example:{secure.port}/")["body"] == "private"
    assert secure.asked == ["weave.example"]  # type: ignore[attr-defined]
    assert secure.requests[0].header("Host") == f"weave.example:{secure.port}"


def test_a_certificate_for_another_name_is_refused_before_anything_is_sent(secure: Server) -> None:
    with pytest.raises(RequestProblem) as caught:
        at_home(f"https://other.example:{secure.port}/")
    assert "certificate" in str(caught.value)
    assert caught.value.error["request_sent"] is False
    assert secure.requests == []


def test_the_usual_authorities_are_trusted_and_names_are_checked() -> None:
    context = exchange.tls_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


# Secrets and silence.


def test_a_secret_takes_its_place_on_the_way_out(web: Server) -> None:
    url = web.on("/", answer())
    config: dict[str, Any] = {"headers": {"Authorization": "Bearer {secret:KEY}", "X-Two": "{secret:A}:{secret:KEY}"}}
    assert secret_names(config) == ["A", "KEY"]
    ask(url, secrets={"KEY": CANARY, "A": "a"}, **config)
    (sent,) = web.requests
    assert sent.header("Authorization") == f"Bearer {CANARY}"
    assert sent.header("X-Two") == f"a:{CANARY}"


def test_a_secret_that_is_not_set_is_an_error_and_nothing_is_sent(web: Server) -> None:
    found = problem(web.url(), headers={"Authorization": "{secret:KEY}"})
    assert found["message"] == "Secret 'KEY' is not set"
    assert "df.set_secret('KEY'" in found["hint"]
    assert web.connections == 0


def test_a_value_that_spells_a_secret_is_only_text(web: Server) -> None:
    """Or whoever writes a signal or a row could have secrets sent to a place of their choice."""
    url = web.on("/", answer())
    names = {"x": '{"rows":[{"x":"{secret:KEY}"}]}', "h": '{"rows":[{"x":"secret:KEY"}]}'}
    ask(url, headers={"X-A": "$x", "X-B": "{$h}", "X-C": "{secret:$h}"}, names=names, secrets={"KEY": CANARY})
    (sent,) = web.requests
    assert [sent.header(name) for name in ("X-A", "X-B", "X-C")] == [
        "{secret:KEY}",
        "{secret:KEY}",
        "{secret:secret:KEY}",
    ]


def echo(received: Received, connection: socket.socket) -> None:
    value = received.header("Authorization") or ""
    status = int(received.target.partition("?")[2] or 200)
    connection.sendall(answer(f"you sent {value}", status, {"X-Echo": value}))


def test_a_secret_that_the_server_sends_back_is_not_kept(web: Server) -> None:
    url = web.on("/", echo)
    config: dict[str, Any] = {"headers": {"Authorization": "Bearer {secret:KEY}"}, "secrets": {"KEY": CANARY}}
    found = ask(url, **config)
    assert found["body"] == "you sent Bearer {secret:KEY}"
    assert found["headers"]["x-echo"] == "Bearer {secret:KEY}"
    assert CANARY not in json.dumps(problem(f"{url}?500", **config), ensure_ascii=False)


def test_a_secret_that_the_server_sends_back_as_nonsense_is_not_in_the_message(web: Server) -> None:
    def act(received: Received, connection: socket.socket) -> None:
        connection.sendall(f"{received.header('Authorization')} what is this\r\n\r\n".encode())

    found = problem(web.on("/", act), headers={"Authorization": "{secret:KEY}"}, secrets={"KEY": "canary-77"})
    assert "canary-77" not in found["message"]
    assert "{secret:KEY} what is this" in found["message"]


def test_nothing_of_a_request_or_an_answer_is_logged(web: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = web.on("/", answer(CANARY, headers={"X-Answer": CANARY}))
    failing = web.on("/500", answer(CANARY, 500))
    config: dict[str, Any] = {
        "headers": {"X-A": CANARY, "X-B": "{secret:KEY}"},
        "body": CANARY,
        "secrets": {"KEY": CANARY},
    }
    ask(f"{url}?q={CANARY}", **config)
    problem(f"{failing}?q={CANARY}", **config)
    assert len(web.requests) == 2
    assert "127.0.0.1" not in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    "url", ["http://user:{c}@127.0.0.1:1/", "http://127.0.0.1:1/?key={c}", "http://127.0.0.1:1/#{c}"]
)
def test_passwords_and_queries_of_a_url_are_not_in_messages(url: str) -> None:
    assert "canary" not in problem(url.format(c="canary"))["message"]


def test_a_value_in_a_url_is_not_in_messages() -> None:
    """A token in a path is as good as a password; the message names the URL as it was written."""
    found = problem("http://127.0.0.1:1/hooks/$token", names={"token": '{"rows":[{"t":"canary"}]}'})
    assert found["message"] == "HTTP connection failed: http://127.0.0.1:1/hooks/$token - Connection refused"
