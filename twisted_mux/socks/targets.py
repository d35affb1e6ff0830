"""
Which targets a client may connect to.

A proxy is inside, and its clients are outside: what it connects to for them must not be
what only it can reach.  So three kinds of addresses are told apart.

  - B{Public} addresses: those that anybody can reach.  They are allowed if their name
    is, or they themselves.
  - B{All others}: loopback, link-local (where clouds keep their credentials), private,
    unspecified, multicast, reserved, and IPv6 addresses with any of them inside.  They
    are allowed only if a network in the list has them.  A name does not help, not even
    C{*}: what a name stands for is up to whoever has it.
  - What is not in the list is not allowed, of either kind.

An entry is a network, an address or a name, with C{*} for all names below another
(C{*.example.org}, which is not C{example.org} itself) or for every public target; behind
it there may be a port: C{10.0.0.0/8}, C{192.0.2.7:443}, C{[2001:db8::]/32}, C{*:443}.

It is the B{address} that is checked, after a name was resolved, and it is that address
which is connected to: a second look at the name might find another one (DNS rebinding).
A name that neither itself nor by any network could be allowed is not looked up at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from twisted_mux.errors import ConfigError

__all__ = ["Address", "AllowList", "isPublic", "toAddress"]

Address = IPv4Address | IPv6Address

_NAME = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")


def toAddress(text: str) -> Address | None:
    """
    The address that C{text} is, if it is one; an IPv4 address within an IPv6 one is
    itself.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped


def isPublic(address: Address) -> bool:
    """
    Can it be reached from anywhere, as far as one can tell from it?
    """
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return True
    inside = address.sixtofour or (address.teredo or (None, None))[1]
    return not address.is_site_local and (inside is None or isPublic(inside))


@dataclass(frozen=True)
class _Entry:
    """
    @ivar network: the addresses, for an entry about those.
    @ivar name: the name, for one about that.
    @ivar port: C{None} is any.
    """

    network: IPv4Network | IPv6Network | None
    name: str
    port: int | None

    def hasName(self, host: str) -> bool:
        """
        Is that name meant?
        """
        if self.name.startswith("*."):
            return host.endswith(self.name[1:])
        return self.name in ("*", host)


class AllowList:
    """
    What may be connected to.
    """

    def __init__(self, text: str) -> None:
        """
        @param text: the entries, separated by commas.
        @raise ConfigError: one makes no sense.
        """
        self._entries = tuple(_entry(each.strip().lower()) for each in text.split(","))

    def mayResolve(self, host: str, port: int) -> bool:
        """
        Is there any address that C{host} could stand for and that would be allowed?
        """
        return any(
            entry.network is not None or entry.hasName(host) for entry in self._at(port)
        )

    def allows(self, host: str, address: Address, port: int) -> bool:
        """
        May C{address}, which C{host} stands for, be connected to?  If that is no name
        it is the address itself.
        """
        named = isPublic(address) and any(
            entry.network is None
            and (entry.name == "*" if toAddress(host) else entry.hasName(host))
            for entry in self._at(port)
        )
        return named or any(
            entry.network is not None and address in entry.network
            for entry in self._at(port)
        )

    def _at(self, port: int) -> Iterable[_Entry]:
        return (entry for entry in self._entries if entry.port in (None, port))


def _entry(text: str) -> _Entry:
    found = re.fullmatch(
        r"(?:\[([0-9a-f:.]+)\](/\d+)?|([^\[\]:]*))(?::(\d{1,5}))?", text, re.ASCII
    )
    if found is None:
        raise ConfigError(
            f"allow= has an entry {text!r}, which is no network, address or name "
            "(IPv6 goes in brackets)"
        )
    port = None if found[4] is None else int(found[4])
    if port is not None and not 0 < port < 65536:
        raise ConfigError(f"allow= has an entry {text!r} with a port that is none")
    target = found[3] if found[1] is None else found[1] + (found[2] or "")
    try:
        return _Entry(ip_network(target), "", port)
    except ValueError as error:
        if "/" in target or found[1] or re.fullmatch(r"[\d.]+", target):
            raise ConfigError(f"allow= has an entry {text!r}: {error}") from None
    if not _NAME.fullmatch(target):
        raise ConfigError(f"allow= has an entry {text!r}, which is no name")
    return _Entry(None, target, port)
