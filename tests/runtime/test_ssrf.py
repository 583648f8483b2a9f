"""The guard of HTTP steps: which addresses are public, what a policy admits, and that nothing else is ever connected to."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.http_server import Server, answer, serving

from pgweave.runtime.errors import PgweaveError
from pgweave.runtime.http.http_step import perform
from pgweave.runtime.http.request import RequestProblem, prepare
from pgweave.runtime.http.ssrf import VARIABLE, Blocked, Policy, is_public, resolve, rule, unwrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLIC = "93.184.216.34"

NOT_PUBLIC = [
    # IPv4: this network, private, shared, loopback, link-local and metadata, protocol, documentation, benchmark,
    # multicast, reserved, broadcast, the address of Azure's agent.
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    # IPv6: unspecified, loopback, private, link-local, site-local, multicast, documentation, discard, metadata.
    "::", "::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "2001:db8::1", "3fff::1",
    "100::1", "5f00::1", "3ffe::1",
    # IPv4 inside: mapped, compatible, translated, NAT64, local NAT64, 6to4, Teredo, ISATAP.
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::7f00:1", "::ffff:0:127.0.0.1",
    "64:ff9b::a9fe:a9fe", "64:ff9b::127.0.0.1", "64:ff9b:1::127.0.0.1", "2002:a00:1::", "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe", "2a00:1450::5efe:7f00:1", "2a00:1450::200:5efe:7f00:1",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_an_address_that_is_not_of_the_open_internet_is_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    "text", ["1.1.1.1", PUBLIC, "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
)  # fmt: skip
def test_an_address_of_the_open_internet_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@given(st.one_of(st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address)))
def test_what_python_calls_private_is_never_public(address: IPv4Address | IPv6Address) -> None:
    """Its tables lack some, and differ by version; none of what they have may be missing from ours."""
    inner = unwrapped(address)
    if not inner.is_global or inner.is_multicast or inner.is_reserved:
        assert not is_public(address)


@pytest.mark.parametrize(
    ("allow", "host", "port", "answers"),
    [
        (["public"], "example.com", 443, [PUBLIC]),
        ([], "example.com", 443, [PUBLIC, "2606:4700::1111"]),
        (["public:443"], "example.com", 443, [PUBLIC]),
        (["api.example.com"], "api.example.com", 80, [PUBLIC]),
        (["*.example.com"], "a.b.example.com", 80, [PUBLIC]),
        (["10.0.0.0/8"], "internal.corp", 80, ["10.1.2.3"]),
        (["10.0.0.0/8"], "10.1.2.3", 80, []),
        (["127.0.0.1:8080"], "127.0.0.1", 8080, []),
        (["[::1]:8080"], "::1", 8080, []),
        (["fd00::/8"], "internal.corp", 80, ["fd00::5"]),
        (["127.0.0.1"], "localhost", 80, ["::ffff:127.0.0.1"]),
        (["public", "10.0.0.5"], "both.example.com", 80, [PUBLIC, "10.0.0.5"]),
    ],
)
def test_what_a_rule_admits_is_reached_at_the_addresses_that_were_judged(
    allow: list[str], host: str, port: int, answers: list[str]
) -> None:
    expected = tuple(ip_address(text) for text in answers) or (ip_address(host),)
    assert Policy.allowing(*allow).vetted(host, port, lambda: answers) == expected


@pytest.mark.parametrize(
    ("allow", "host", "port", "answers", "message"),
    [
        ([], "example.com", 80, ["10.0.0.1"], "restricted range"),
        ([], "example.com", 80, [PUBLIC, "10.0.0.1"], "restricted range"),
        ([], PUBLIC, 80, [], "bare IP"),
        ([], "2606:4700::1111", 80, [], "bare IP"),
        (["public:443"], "example.com", 80, [PUBLIC], "not in the allowed"),
        (["api.example.com"], "example.com", 80, [PUBLIC], "not in the allowed"),
        (["api.example.com"], "api.example.com.evil.net", 80, [PUBLIC], "not in the allowed"),
        (["*.example.com"], "example.com", 80, [PUBLIC], "not in the allowed"),
        (["*.example.com"], "notexample.com", 80, [PUBLIC], "not in the allowed"),
        (["api.example.com"], "api.example.com", 80, ["127.0.0.1"], "restricted range"),
        (["10.0.0.0/8"], "example.com", 80, [PUBLIC], "not in the allowed"),
        (["10.0.0.0/8"], "internal.corp", 80, ["192.168.0.1"], "restricted range"),
        (["127.0.0.1:8080"], "127.0.0.1", 8081, [], "bare IP"),
        (["fe80::/10"], "fe80::1%eth0", 80, [], "bare IP"),
        (["127.0.0.0/8"], "127.1", 80, ["127.0.0.1"], "bare IP"),
        (["127.0.0.0/8"], "0x7f000001", 80, ["127.0.0.1"], "bare IP"),
        (["127.0.0.0/8"], "example.com.", 80, ["127.0.0.1"], "unable to extract"),
        (["127.0.0.0/8"], "a%2eb", 80, ["127.0.0.1"], "unable to extract"),
        (["127.0.0.0/8"], "", 80, ["127.0.0.1"], "unable to extract"),
    ],
)
def test_what_no_rule_admits_is_blocked(
    allow: list[str], host: str, port: int, answers: list[str], message: str
) -> None:
    with pytest.raises(Blocked, match=message):
        Policy.allowing(*allow).vetted(host, port, lambda: answers)


def test_a_name_that_no_rule_could_admit_is_not_even_resolved() -> None:
    """A look-up is a message to whoever owns the name."""

    def never() -> list[str]:
        raise AssertionError("resolved")

    with pytest.raises(Blocked):
        Policy.allowing("api.example.com").vetted("secret.evil.net", 443, never)


@pytest.mark.parametrize(
    "text", ["", "http://a.b", "10.0.0.1/8", "a b", "a:port", "a:70000", "127.1", "*", "*.*.com", "[::1", "::1:/80"]
)
def test_a_rule_that_says_nothing_clear_is_refused(text: str) -> None:
    with pytest.raises(PgweaveError) as caught:
        rule(text)
    assert "api.example.com" in caught.value.advice


def test_the_environment_lists_rules_with_commas_or_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "public, 127.0.0.1:8080 *.corp")
    assert Policy.of_environment() == Policy.allowing("public", "127.0.0.1:8080", "*.corp")
    monkeypatch.delenv(VARIABLE)
    assert Policy.of_environment() == Policy.allowing()


# From here on with connections: the counter of a real server says what was reached.


@pytest.fixture
def web() -> Iterator[Server]:
    with serving() as found:
        found.on("/", answer("reached"))
        yield found


def ask(url: str, policy: Policy, seconds: int = 5) -> str:
    request = prepare("HTTP", {"url": url, "method": "GET", "timeout_seconds": seconds}, {}, {})
    return perform(request, secrets={}, key="k", policy=policy, max_bytes=100_000)


SPELLINGS = [
    "http://127.0.0.1:{port}/", "http://127.1:{port}/", "http://2130706433:{port}/", "http://0x7f000001:{port}/",
    "http://0x7f.1:{port}/", "http://0177.0.0.1:{port}/", "http://017700000001:{port}/", "http://127.0.0.1.:{port}/",
    "http://0:{port}/", "http://0.0.0.0:{port}/", "http://127.000.000.001:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:1]:{port}/", "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/", "http://[2002:7f00:1::]:{port}/", "http://[::]:{port}/", "http://[::1]:{port}/",
    "http://[::1%25lo]:{port}/", "http://[fe80::1%25lo]:{port}/",
    "http://localhost:{port}/", "http://LOCALHOST:{port}/", "http://localhost.:{port}/",
    "http://１２７.０.０.１:{port}/", "http://①②⑦.⓪.⓪.①:{port}/", "http://127。0。0。1:{port}/", "http://ⓛocalhost:{port}/",
    "http://example.com@127.0.0.1:{port}/", "http://example.com:80@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.com/", "http://example.com\\@127.0.0.1:{port}/", "http://127.0.0.1:{port}#@example.com/",
    "http://%31%32%37.0.0.1:{port}/", "http://127.0.0.1%2f.example.com:{port}/", "http://127%2e0%2e0%2e1:{port}/",
    "http:///127.0.0.1:{port}/", "http:127.0.0.1:{port}/", "http://:{port}/", "//127.0.0.1:{port}/",
    "HTTP://127.0.0.1:{port}/", "ftp://127.0.0.1:{port}/", "file:///etc/passwd", "gopher://127.0.0.1:{port}/",
    "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/latest/meta-data/", "http://224.0.0.1:{port}/",
    "http://127.0.0.1:{port}\r\nHost: example.com/", "http://127.0.0.1\t:{port}/", "http://127.0.0.1 :{port}/",
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_a_private_address_is_ever_connected_to(web: Server, spelling: str) -> None:
    """The default policy, and the system's own resolver, which understands far more spellings than it should."""
    with pytest.raises(RequestProblem) as caught:
        ask(spelling.format(port=web.port), Policy())
    assert web.connections == 0
    assert caught.value.error.get("request_sent", False) is False


def test_a_private_address_that_is_allowed_is_reached(web: Server) -> None:
    """The corpus above would also pass if nothing were ever reached."""
    assert "reached" in ask(web.url(), Policy.allowing("127.0.0.1"))
    assert web.connections == 1


@pytest.mark.parametrize("answers", [["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"]])
def test_a_name_that_leads_home_is_blocked_whatever_else_it_leads_to(web: Server, answers: list[str]) -> None:
    policy = Policy(resolve=lambda host, port: answers)
    with pytest.raises(RequestProblem, match="restricted range"):
        ask(f"http://innocent.example:{web.port}/", policy)
    assert web.connections == 0


def test_a_name_is_resolved_once_and_the_judged_address_is_the_one_connected_to(web: Server) -> None:
    """DNS rebinding: the first answer is allowed, a second one would lead elsewhere."""
    asked: list[str] = []
    elsewhere = "127.0.0.2"

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else [elsewhere]

    policy = Policy(Policy.allowing("127.0.0.1").rules, rebinding)
    assert "reached" in ask(f"http://rebinding.example:{web.port}/", policy)
    assert asked == ["rebinding.example"]
    assert web.requests[0].header("Host") == f"rebinding.example:{web.port}"
    with pytest.raises(RequestProblem, match="restricted range"):
        ask(f"http://rebinding.example:{web.port}/", policy)
    assert web.connections == 1


def test_a_redirect_to_a_private_address_is_an_answer_and_nothing_more(web: Server) -> None:
    with serving() as inner:
        web.on("/away", answer(status=302, headers={"Location": inner.url()}))
        found = ask(web.url("/away"), Policy.allowing(f"127.0.0.1:{web.port}"))
        assert '"status":302' in found
        assert inner.url() in found
        assert inner.connections == 0


def test_proxies_of_the_environment_are_not_used(web: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect for us to whatever it is told."""
    with serving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert "reached" in ask(web.url(), Policy.allowing("127.0.0.1"))
        assert proxy.connections == 0


def test_the_next_address_of_a_name_is_tried_when_one_is_dead(web: Server) -> None:
    policy = Policy(Policy.allowing("127.0.0.0/8").rules, lambda host, port: ["127.0.0.9", "127.0.0.1"])
    assert "reached" in ask(f"http://two.example:{web.port}/", policy)


def test_the_resolver_of_the_system_answers_with_every_address() -> None:
    assert {"127.0.0.1", "::1"} & set(resolve("localhost", 80))
    assert resolve("127.1", 80) == ["127.0.0.1"], "this is why addresses are judged and not strings"


def test_a_name_that_cannot_be_resolved_says_so(web: Server) -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(RequestProblem) as caught:
        ask("http://nowhere.example/", Policy(resolve=unknown))
    assert str(caught.value) == "HTTP connection failed: http://nowhere.example/ - Name or service not known"
