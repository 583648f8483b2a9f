"""One request and one answer on the wire: resolved once, judged, connected to what was judged, within one deadline.

In: a Request, the secrets it names, the policy. Out: an Answer, or RequestProblem. Built on httpx2 for what is hard
about HTTP (parsing, TLS, decoding, multipart), around a connection of our own: the library would resolve names itself,
count its timeouts per read, follow proxies from the environment and write URLs into logs. Imported only when a step
really sends something; httpx2 is an extra.
"""

from __future__ import annotations

import hashlib
import logging
import socket
import ssl
import time
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Thread
from typing import TYPE_CHECKING, Any, cast

import httpcore2
import httpx2

from pgweave.runtime.request import MAX_HEADER_BYTES, RequestProblem, Secret
from pgweave.runtime.ssrf import Blocked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pgweave.runtime.request import Request
    from pgweave.runtime.ssrf import Address, Policy

MAX_ANSWER_HEADERS = 200
CONNECT_ROUNDS = 3  # how often all addresses are tried; nothing has been sent then, so it is safe
MAX_LOOKUPS = 32  # at once: a look-up cannot be interrupted, only abandoned
PORTS = {"http": 80, "https": 443}

# They would write URLs with their queries (httpx2, from INFO) and headers (httpcore2, from DEBUG).
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Expired(Exception):
    """The time for the whole request is over."""


class TooLarge(Exception):
    """The answer is larger than a result may be."""


class Unreachable(Exception):
    """There is no connection. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, its content decoded. headers: as sent, repeated ones included."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Deadline:
    """The end of a request's time, by this machine's steady clock; nothing is ever compared with the database's."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that remain. Expired when none do."""
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise Expired
        return seconds


@cache
def tls_context() -> ssl.SSLContext:
    """The system's certificate authorities, or those of SSL_CERT_FILE."""
    return httpcore2.default_ssl_context()


def exchange(
    request: Request, key: str, secrets: Mapping[str, str], policy: Policy, max_bytes: int, agent: str
) -> Answer:
    """Send a request under an idempotency key and read the answer.

    max_bytes: of the decoded content. RequestProblem when there is no answer; its error says whether the request was
    sent, at least in part.
    """
    connector = _Connector(Deadline(request.timeout_seconds))
    try:
        return _exchange(request, _headers(request, key, secrets, agent), policy, max_bytes, connector)
    except Blocked as blocked:
        raise RequestProblem(str(blocked), hint="The worker decides what may be reached: --http-allow.") from None
    except Expired:
        message = f"HTTP timeout after {request.timeout_seconds}s: {request.shown}"
        raise RequestProblem(message, request_sent=connector.sent) from None
    except TooLarge:
        message = f"{request.called} answered with more than {max_bytes} bytes"
        raise RequestProblem(message, sqlstate="PW003", request_sent=True) from None
    except (Unreachable, httpcore2.ConnectError) as error:
        message = f"HTTP connection failed: {request.shown} - {_said(error)}"
        raise RequestProblem(message, request_sent=False) from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpx2.DecodingError, httpx2.InvalidURL) as error:
        message = f"HTTP request failed: {request.shown} - {_said(error)}"
        raise RequestProblem(message, request_sent=connector.sent) from None


def _said(error: Exception) -> str:
    """What an error says, kept short: h11 quotes what the server sent."""
    cause = error.__cause__
    text = (cause.strerror if isinstance(cause, OSError) else None) or str(error) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."


def _exchange(
    request: Request, headers: list[tuple[bytes, bytes]], policy: Policy, max_bytes: int, connector: _Connector
) -> Answer:
    message = httpx2.Request(request.method, request.url, headers=headers, **_content(request))
    url = message.url
    if url.userinfo:
        raise Blocked("Blocked: the URL holds a user name or a password; send an Authorization header instead.")
    host, port = url.raw_host.decode("ascii"), url.port or PORTS[url.scheme]
    connector.addresses = policy.vetted(host, port, lambda: _looked_up(policy, host, port, connector.deadline))
    origin = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=port, target=url.raw_path)
    with closing(
        httpcore2.HTTPConnection(origin.origin, ssl_context=tls_context(), network_backend=connector)
    ) as connection:
        raw = connection.handle_request(
            httpcore2.Request(request.method, origin, headers=message.headers.raw, content=message.stream)
        )
        if len(raw.headers) > MAX_ANSWER_HEADERS:
            raise RequestProblem(
                f"{request.called} answered with more than {MAX_ANSWER_HEADERS} headers", request_sent=True
            )
        answer = httpx2.Response(raw.status, headers=raw.headers, stream=_Stream(raw))
        return Answer(raw.status, tuple(raw.headers), _read(answer, max_bytes, connector.deadline))


class _Stream(httpx2.SyncByteStream):
    """The body of an httpcore2 response, as httpx2 wants it."""

    def __init__(self, raw: httpcore2.Response) -> None:
        self._raw = raw

    def __iter__(self) -> Iterator[bytes]:
        return self._raw.iter_stream()

    def close(self) -> None:
        self._raw.close()


def _read(answer: httpx2.Response, max_bytes: int, deadline: Deadline) -> bytes:
    """The decoded content. Decoders hand it out in small pieces, so a bomb ends here with little of it in memory."""
    body = bytearray()
    for piece in answer.iter_bytes():
        deadline.left()
        body += piece
        if len(body) > max_bytes:
            raise TooLarge
    return bytes(body)


def _headers(request: Request, key: str, secrets: Mapping[str, str], agent: str) -> list[tuple[bytes, bytes]]:
    """What the step says, completed by what it leaves out; here secrets take their place."""
    headers = [(header.name, _value(header.pieces, secrets)) for header in request.headers]
    given = {name.lower() for name, _ in headers}
    own = {"user-agent": agent, "accept": "*/*", "accept-encoding": "gzip, deflate", "idempotency-key": key}
    headers += [(name.title(), value) for name, value in own.items() if name not in given]
    if request.parts:
        headers.append(("Content-Type", f"multipart/form-data; boundary={_boundary(request, key)}"))
    encoded = [(name.encode("ascii"), value.encode()) for name, value in headers]
    if sum(len(name) + len(value) for name, value in encoded) > MAX_HEADER_BYTES:
        raise RequestProblem(f"the headers are more than {MAX_HEADER_BYTES} bytes")
    return encoded


def _value(pieces: tuple[str | Secret, ...], secrets: Mapping[str, str]) -> str:
    return "".join(secrets[piece.name] if isinstance(piece, Secret) else piece for piece in pieces).strip(" \t")


def _boundary(request: Request, key: str) -> str:
    """The same for every attempt, so that all of them send the same bytes; and nothing that data could contain."""
    digest = hashlib.sha256(key.encode())
    for part in request.parts:
        digest.update(part.data)
    return digest.hexdigest()[:48]


def _content(request: Request) -> dict[str, Any]:
    if not request.parts:
        return {"content": request.body}
    return {
        "files": [
            (part.name, (part.filename, part.data, part.content_type or ("application/octet-stream" if part.filename else None)))
            for part in request.parts
        ]
    }  # fmt: skip


_lookups = BoundedSemaphore(MAX_LOOKUPS)


def _looked_up(policy: Policy, host: str, port: int, deadline: Deadline) -> Iterable[str]:
    """Ask the resolver, on a thread that is left behind when it takes too long: getaddrinfo knows no timeout."""
    answers: SimpleQueue[list[str] | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(list(policy.resolve(host, port)))
        except (OSError, UnicodeError) as error:
            answers.put(error)
        finally:
            _lookups.release()

    if not _lookups.acquire(timeout=deadline.left()):
        raise Expired
    Thread(target=ask, daemon=True, name="look-up").start()
    try:
        found = answers.get(timeout=deadline.left())
    except Empty:
        raise Expired from None
    if isinstance(found, Exception):
        raise Unreachable("the name cannot be resolved") from found
    if not found:
        raise Unreachable("the name has no address")
    return found


class _Connector(httpcore2.NetworkBackend):
    """Connects to the judged addresses, whatever the host is called; the name stays with TLS and the Host header."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.addresses: tuple[Address, ...] = ()
        self.sent = False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Try every address, a few times over. A dead one gets its share of the time, not all of it."""
        pause, problem = 0.1, OSError("no address")
        for remaining in range(CONNECT_ROUNDS - 1, -1, -1):
            for waiting, address in enumerate(self.addresses):
                try:
                    return self._connected(address, port, len(self.addresses) - waiting + remaining)
                except OSError as error:
                    problem = error
            if remaining:
                time.sleep(min(pause, self.deadline.left()))
                pause *= 2
        self.deadline.left()
        raise httpcore2.ConnectError(str(problem)) from problem

    def _connected(self, address: Address, port: int, shares: int) -> _Socket:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(self.deadline.left() / shares)
            connection.connect((str(address), port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            connection.close()
            raise
        return _Socket(self, connection)


class _Socket(httpcore2.NetworkStream):
    """A connection on which every single operation ends with the deadline of the request."""

    def __init__(self, connector: _Connector, connection: socket.socket) -> None:
        self._connector = connector
        self._connection = connection

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what there is."""
        try:
            self._connection.settimeout(self._connector.deadline.left())
            return self._connection.recv(max_bytes)
        except TimeoutError:
            raise Expired from None
        except OSError as error:
            raise httpcore2.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write everything."""
        view = memoryview(buffer)
        self._connector.sent = True
        try:
            while view:
                self._connection.settimeout(self._connector.deadline.left())
                view = view[self._connection.send(view) :]
        except TimeoutError:
            raise Expired from None
        except OSError as error:
            raise httpcore2.WriteError(str(error)) from error

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """Wrap the connection; the certificate has to be one for the name in the URL."""
        try:
            self._connection.settimeout(self._connector.deadline.left())
            wrapped = ssl_context.wrap_socket(self._connection, server_hostname=server_hostname)
        except TimeoutError:
            self.close()
            raise Expired from None
        except OSError as error:
            self.close()
            raise httpcore2.ConnectError(str(error)) from error
        return _Socket(self._connector, wrapped)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - what the library declares
        """The one thing we are asked for: which protocol TLS has agreed on."""
        return cast("ssl.SSLSocket", self._connection) if info == "ssl_object" and self._is_tls() else None

    def _is_tls(self) -> bool:
        return isinstance(self._connection, ssl.SSLSocket)
