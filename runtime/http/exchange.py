"""One request and one answer on the wire: resolved once, judged, connected to what was judged, within one deadline.

In: a Request, the secrets it names, the policy. Out: an Answer, or RequestProblem. Built on httpx2 for what is hard
about HTTP (parsing, TLS, decoding, multipart), around connections of our own: the library would resolve names itself,
count its timeouts per read, follow proxies from the environment and write URLs into logs. Imported only when a step
really sends something; httpx2 is an extra.
"""

from __future__ import annotations

import hashlib
import logging
import socket
import ssl
import time
from contextlib import closing, suppress
from functools import cache
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Thread
from typing import TYPE_CHECKING, Any

import httpcore2
import httpx2

from pgweave.runtime.errors import StepInterrupted
from pgweave.runtime.http.envelope import Answer, too_large
from pgweave.runtime.http.request import MAX_HEADER_BYTES, RequestProblem, Secret
from pgweave.runtime.http.ssrf import Blocked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pgweave.runtime.http.request import Part, Request
    from pgweave.runtime.http.ssrf import Address, Policy

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


@cache
def tls_context() -> ssl.SSLContext:
    """The system's certificate authorities, or those of SSL_CERT_FILE."""
    return httpcore2.default_ssl_context()


class Exchange:
    """One request. `run` makes it, once; `stop` may be called meanwhile from any thread.

    max_bytes: of the decoded content.
    """

    def __init__(self, request: Request, policy: Policy, max_bytes: int) -> None:
        self._request = request
        self._policy = policy
        self._max_bytes = max_bytes
        self._line = _Line(request.timeout_seconds)

    def stop(self) -> None:
        """Give up; `run` raises StepInterrupted."""
        self._line.cut()

    def run(self, key: str, secrets: Mapping[str, str], agent: str) -> Answer:
        """Send the request under an idempotency key and read the answer.

        RequestProblem when there is none; its error says whether the request was sent, at least in part.
        """
        try:
            return self._run(_headers(self._request, key, secrets, agent))
        except (
            Expired, Unreachable, TooLarge, httpcore2.NetworkError, httpcore2.ProtocolError, httpx2.DecodingError,
        ) as error:  # fmt: skip
            # Whatever error the cut has caused, it was ours.
            if self._line.was_cut:
                raise StepInterrupted from None
            raise self._problem(error) from None
        except httpx2.InvalidURL as error:
            raise RequestProblem(f"HTTP request failed: {self._request.shown} - {error}") from None
        except Blocked as blocked:
            hint = "What HTTP steps may reach is the worker's to say: pgweave worker --http-allow."
            raise RequestProblem(str(blocked), hint=hint) from None

    def _problem(self, error: Exception) -> RequestProblem:
        shown, sent = self._request.shown, self._line.sent
        match error:
            case Expired():
                message = f"HTTP timeout after {self._request.timeout_seconds}s: {shown}"
            case TooLarge():
                return too_large(self._request, self._max_bytes)
            case Unreachable() | httpcore2.ConnectError():
                message = f"HTTP connection failed: {shown} - {_said(error)}"
            case httpcore2.LocalProtocolError():
                # It would quote the header it does not like.
                message = f"HTTP request failed: {shown} - this cannot be said in HTTP"
            case _:
                message = f"HTTP request failed: {shown} - {_said(error)}"
        return RequestProblem(message, request_sent=sent)

    def _run(self, headers: list[tuple[bytes, bytes]]) -> Answer:
        message = httpx2.Request(self._request.method, self._request.url, headers=headers, **_content(self._request))
        url = message.url
        # It would be in messages and in the row; headers may have secrets, which are in neither.
        if url.userinfo:
            raise RequestProblem("The URL holds a user name or a password; send an Authorization header instead")
        port = PORTS[url.scheme] if url.port is None else url.port
        if not 0 < port < 65536:
            raise RequestProblem(f"The URL names port {port}; ports are 1 to 65535")
        host = url.raw_host.decode("ascii")
        # The addresses that were judged are the ones that are connected to: a second look-up could give others
        # (DNS rebinding).
        self._line.addresses = self._policy.vetted(host, port, lambda: self._line.look_up(self._policy, host, port))
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=port, target=url.raw_path)
        connection = httpcore2.HTTPConnection(target.origin, ssl_context=tls_context(), network_backend=self._line)
        with closing(connection):
            raw = connection.handle_request(
                httpcore2.Request(message.method, target, headers=message.headers.raw, content=message.stream)
            )
            if len(raw.headers) > MAX_ANSWER_HEADERS:
                message_ = f"{self._request.called} answered with more than {MAX_ANSWER_HEADERS} headers"
                raise RequestProblem(message_, request_sent=True)
            with closing(httpx2.Response(raw.status, headers=raw.headers, stream=_Stream(raw))) as answer:
                return Answer(raw.status, tuple(raw.headers), self._read(answer))

    def _read(self, answer: httpx2.Response) -> bytes:
        """The decoded content. Decoders hand it out in pieces, so that a bomb ends here with little of it in memory."""
        body = bytearray()
        for piece in answer.iter_bytes():
            self._line.left()
            body += piece
            if len(body) > self._max_bytes:
                raise TooLarge
        return bytes(body)


def _said(error: Exception) -> str:
    """What an error says, kept short: h11 quotes what the server sent."""
    cause = error.__cause__
    text = (cause.strerror if isinstance(cause, OSError) else None) or str(error) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."


class _Stream(httpx2.SyncByteStream):
    """The body of an httpcore2 response, as httpx2 wants it."""

    def __init__(self, raw: httpcore2.Response) -> None:
        self._raw = raw

    def __iter__(self) -> Iterator[bytes]:
        return self._raw.iter_stream()

    def close(self) -> None:
        self._raw.close()


def _headers(request: Request, key: str, secrets: Mapping[str, str], agent: str) -> list[tuple[bytes, bytes]]:
    """What the step says, completed by what it leaves out; here secrets take their place."""
    headers = [(header.name, _value(header.pieces, secrets)) for header in request.headers]
    given = {name.lower() for name, _ in headers}
    own = {"User-Agent": agent, "Accept": "*/*", "Accept-Encoding": "gzip, deflate", "Idempotency-Key": key}
    headers += [(name, value) for name, value in own.items() if name.lower() not in given]
    if request.parts:
        headers.append(("Content-Type", f"multipart/form-data; boundary={_boundary(request, key)}"))
    encoded = [(name.encode("ascii"), value.encode()) for name, value in headers]
    # Again, as in request.py: secrets have taken their places since.
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
    return {"files": [_field(part) for part in request.parts]} if request.parts else {"content": request.body}


def _field(part: Part) -> tuple[str, tuple[str | None, bytes, str | None]]:
    # Left out, the library would guess by the endings that this machine knows.
    unknown = None if part.filename is None else "application/octet-stream"
    return part.name, (part.filename, part.data, part.content_type or unknown)


_lookups = BoundedSemaphore(MAX_LOOKUPS)


class _Line(httpcore2.NetworkBackend):
    """The way to a server: the one deadline, the judged addresses, and the connection, which can be cut.

    The clock is this machine's steady one; nothing is ever compared with the database's.
    """

    def __init__(self, seconds: float) -> None:
        self.addresses: tuple[Address, ...] = ()
        self.sent = False  # the request, at least in part
        self.was_cut = False
        self._end = time.monotonic() + seconds
        self._socket: socket.socket | None = None
        self._answers: SimpleQueue[list[str] | Exception] = SimpleQueue()

    def left(self) -> float:
        """Seconds that remain. Expired when none do."""
        seconds = self._end - time.monotonic()
        if seconds <= 0 or self.was_cut:
            raise Expired
        return seconds

    def cut(self) -> None:
        """End whatever is going on, from another thread."""
        self.was_cut = True
        # Whoever waits for a look-up is waiting on this queue.
        self._answers.put(Expired())
        connection = self._socket
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def look_up(self, policy: Policy, host: str, port: int) -> Iterable[str]:
        """Ask the resolver, on a thread that is left behind when it takes too long: getaddrinfo knows no timeout."""
        if not _lookups.acquire(timeout=self.left()):
            raise Expired
        Thread(target=self._ask, args=(policy, host, port), daemon=True, name="look-up").start()
        try:
            found = self._answers.get(timeout=self.left())
        except Empty:
            raise Expired from None
        if isinstance(found, Expired):
            raise found
        if isinstance(found, Exception):
            raise Unreachable("the name cannot be resolved") from found
        if not found:
            raise Unreachable("the name has no address")
        return found

    def _ask(self, policy: Policy, host: str, port: int) -> None:
        try:
            self._answers.put(list(policy.resolve(host, port)))
        except (OSError, UnicodeError) as error:
            self._answers.put(error)
        finally:
            _lookups.release()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to one of the judged addresses, whatever the host is called; its name is for TLS and the Host header.

        Each is tried a few times over. A dead one gets its share of the time, not all of it.
        """
        pause, problem = 0.1, OSError("no address")
        tries = len(self.addresses) * CONNECT_ROUNDS
        for number in range(CONNECT_ROUNDS):
            for address in self.addresses:
                try:
                    return self._connected(address, port, self.left() / tries)
                except OSError as error:
                    problem, tries = error, tries - 1
            if number < CONNECT_ROUNDS - 1:
                time.sleep(min(pause, self.left()))
                pause *= 2
        self.left()
        raise httpcore2.ConnectError(str(problem)) from problem

    def _connected(self, address: Address, port: int, seconds: float) -> _Connection:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        self._socket = connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(seconds)
            connection.connect((str(address), port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            connection.close()
            raise
        return _Connection(self, connection)

    def follow(self, connection: socket.socket) -> None:
        """From now on the connection to cut is this one."""
        self._socket = connection


class _Connection(httpcore2.NetworkStream):
    """A connection on which every single operation ends with the deadline of the request."""

    def __init__(self, line: _Line, connection: socket.socket) -> None:
        self._line = line
        self._socket = connection

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what there is."""
        try:
            self._socket.settimeout(self._line.left())
            return self._socket.recv(max_bytes)
        except TimeoutError:
            raise Expired from None
        except OSError as error:
            raise httpcore2.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write everything."""
        view = memoryview(buffer)
        self._line.sent = True
        try:
            while view:
                self._socket.settimeout(self._line.left())
                # send and not sendall, so that the deadline is asked before each piece.
                view = view[self._socket.send(view) :]
        except TimeoutError:
            raise Expired from None
        except OSError as error:
            raise httpcore2.WriteError(str(error)) from error

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """Wrap the connection; the certificate has to be one for the name in the URL."""
        try:
            self._socket.settimeout(self._line.left())
            self._socket = wrapped = ssl_context.wrap_socket(
                self._socket, server_hostname=server_hostname, do_handshake_on_connect=False
            )
            self._line.follow(wrapped)  # before the handshake, so that it can be cut
            wrapped.do_handshake()
        except TimeoutError:
            self.close()
            raise Expired from None
        except OSError as error:
            self.close()
            raise httpcore2.ConnectError(str(error)) from error
        return self

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - what the library declares
        """The one thing we are asked for: what TLS has agreed on."""
        return self._socket if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket) else None
