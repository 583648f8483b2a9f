"""Which addresses an HTTP step may reach: the guard against requests forged from inside.

In: the host and port of a URL that is about to be asked. Out: the addresses to connect to, or Blocked. URLs come from
people and from data, so a worker must not become a way into its own network. Three rules:

- Addresses are judged, never spellings: the resolver turns `127.1`, `2130706433` and full-width digits into 127.0.0.1.
- Every answer of the resolver has to pass, and the caller connects to exactly these answers: a second look-up could
  answer otherwise.
- What is not known to be public is refused. Python's `is_global` says yes to multicast, to NAT64 and 6to4 forms of
  private addresses and to more, differently by version, so the tables stand here.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, TypeAlias

from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolver: TypeAlias = "Callable[[str, int], Iterable[str]]"

VARIABLE = "PGWEAVE_HTTP_ALLOW"
FORMS = "public, api.example.com, *.example.com, 10.0.0.0/8, 127.0.0.1:8080 or [::1]:8080"

# IANA's registries of special-purpose addresses, plus multicast and what clouds put at public addresses.
_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # Azure answers with the machine's own secrets here
    )
)  # fmt: skip
# Only 2000::/3 is handed out as global unicast; loopback, ULA, link-local, multicast and the like lie outside of it.
_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarking
        "2001:db8::/32", "3fff::/20",  # documentation
        "2002::/16",  # 6to4: an IPv4 address of anybody's choice
        "3ffe::/16",  # given back in 2006
    )
)  # fmt: skip
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)  # upper half of an interface identifier that tunnels to an IPv4 address

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_RULE = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]+)(:(?P<port>[0-9]{1,5}))?", re.ASCII)


class Blocked(Exception):
    """The policy of this worker forbids the request. The message goes to the person."""


def unwrapped(address: Address) -> Address:
    """The IPv4 address at which a packet to `address` arrives, for the two forms a resolver may rightly give."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether an address belongs to the open internet. False for everything that is not known to."""
    address = unwrapped(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address.scope_id is not None or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return False
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def resolve(host: str, port: int) -> list[str]:
    """Every address the system's resolver knows for a name. OSError when there is none."""
    return [str(answer[4][0]) for answer in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that may be reached.

    network: these addresses, even private ones. name: this host, or with `*.` every host below it, at public addresses.
    Neither: every name at public addresses. port: None for any.
    """

    network: Network | None = None
    name: str | None = None
    port: int | None = None

    def admits_name(self, host: str, port: int) -> bool:
        """Whether `host` may be asked as long as its addresses are public."""
        if self.network is not None or self.port not in (None, port):
            return False
        if self.name is None or self.name == host:
            return True
        return self.name.startswith("*.") and host.endswith(self.name[1:])

    def admits_address(self, address: Address, port: int) -> bool:
        """Whether this very address may be reached. One with a zone (`fe80::1%eth0`) never may."""
        address = unwrapped(address)
        zoned = isinstance(address, IPv6Address) and address.scope_id is not None
        return self.network is not None and self.port in (None, port) and not zoned and address in self.network


def rule(text: str) -> Rule:
    """Read one rule as people write it; FORMS lists the ways. PgweaveError for anything else."""
    # An IPv6 network without brackets cannot have a port: its colons are its own.
    host, port = (text, None) if text.count(":") > 1 and not text.startswith("[") else _split(text)
    host = host.lower()
    if port is None or port < 65536:
        if host == "public":
            return Rule(port=port)
        try:
            return Rule(network=ip_network(host), port=port)
        except ValueError:
            if _is_name(host.removeprefix("*.")):
                return Rule(name=host, port=port)
    raise PgweaveError(f"“{text}” is not something to allow HTTP steps.", f"Write {FORMS}.")


def _split(text: str) -> tuple[str, int | None]:
    found = _RULE.fullmatch(text)
    if found is None:
        return "", None
    return found["host"].strip("[]"), int(found["port"]) if found["port"] else None


def _is_name(host: str) -> bool:
    """Whether this is a host name that nothing takes for an IPv4 address: `127.1` and `0x7f000001` are taken for one."""
    return _NAME.fullmatch(host) is not None and not _NUMBER.fullmatch(host.rpartition(".")[2])


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Policy:
    """What the HTTP steps of one worker may reach: whatever one of the rules admits.

    The default: every name at public addresses, no private ones, and no bare addresses. resolve: answers with the
    addresses of a host name; tests put their own here.
    """

    rules: tuple[Rule, ...] = (Rule(),)
    resolve: Resolver = resolve

    @classmethod
    def allowing(cls, *texts: str) -> Policy:
        """Exactly what these rules admit; the default when there are none."""
        return cls(tuple(rule(text) for text in texts)) if texts else cls()

    @classmethod
    def of_environment(cls) -> Policy:
        """What PGWEAVE_HTTP_ALLOW says: rules with commas or spaces in between."""
        return cls.allowing(*os.environ.get(VARIABLE, "").replace(",", " ").split())

    def vetted(self, host: str, port: int, resolve: Callable[[], Iterable[str]]) -> tuple[Address, ...]:
        """The addresses to connect to, in the resolver's order. Blocked when one of them is not allowed.

        host: from a parsed URL, lower case, without brackets. resolve: called once, or not at all.

        With the default rules: `93.184.216.34` and `2130706433` are blocked as bare addresses, without a look-up;
        `api.example.com` is looked up, and blocked if one of its addresses is private, be the others public. With the
        rule `10.0.0.0/8`: a name is admitted if all its addresses lie in that network.
        """
        literal = _literal(host)
        if literal is not None:
            if not any(rule.admits_address(literal, port) for rule in self.rules):
                raise Blocked("Blocked: requests to bare IP addresses are not permitted.")
            return (literal,)
        if _NUMBER.fullmatch(host.rpartition(".")[2]):
            raise Blocked("Blocked: requests to bare IP addresses are not permitted.")
        if not _is_name(host):
            raise Blocked("Blocked: unable to extract hostname from URL.")
        named = any(rule.admits_name(host, port) for rule in self.rules)
        if not named and all(rule.network is None for rule in self.rules):
            raise Blocked(f"Blocked: '{host}' is not in the allowed endpoint list.")
        addresses = tuple(dict.fromkeys(ip_address(answer) for answer in resolve()))
        for address in addresses:
            if any(rule.admits_address(address, port) for rule in self.rules) or (named and is_public(address)):
                continue
            if not named and is_public(address):
                raise Blocked(f"Blocked: '{host}' is not in the allowed endpoint list.")
            raise Blocked(f"Blocked: the resolved IP address for '{host}' is in a restricted range.")
        return addresses
