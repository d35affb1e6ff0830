"""
How many sessions whoever listens may have: altogether, and from one address.

L{twisted.protocols.policies} has two factories for this, which wrap the one that they
protect, and every protocol that it builds as well.  Here nothing is wrapped: a carrier's
transport stays what it is, and costs nothing for having been counted.  And a carrier that
is refused leaves a line in the log.

B{Whose address?}  Of IPv6, the network of 64 bits, since that is what a single host is
given, to pick addresses from as it likes; but not of link-local addresses, which are all
of one network.  Behind C{haproxy:} a carrier counts for the proxy until its first bytes
have come, with the client's address in front of them.  Peers without an address (those
of a Unix socket) are counted altogether only.

B{The log}: floods shall not fill it, so what is said at once is said again after a
minute at the earliest, with the number of those that were refused meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any, cast

from twisted.internet.protocol import Protocol
from twisted.logger import Logger

from twisted_mux.address import describeAddress
from twisted_mux.config import MuxConfig

__all__ = ["Admission", "RefusedCarrier", "Visitor", "admissionFor", "peerOf"]

#: Seconds after which it may be said again that a limit is reached.
TELL_EVERY = 60.0


def peerOf(address: object) -> Hashable:
    """
    What carriers from the same peer have in common, or C{None} if that can't be told.
    """
    host = getattr(address, "host", None)
    if host is None:
        return None
    try:
        ip = ip_address(host)
    except ValueError:
        return str(host)
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if not ip.is_link_local:
            return IPv6Network((ip, 64), strict=False)
    return ip


class Visitor:
    """
    A carrier that was admitted.
    """

    __slots__ = ("_admission", "_peer")

    def __init__(self, admission: Admission, peer: Hashable) -> None:
        self._admission: Admission | None = admission
        self._peer = peer

    def moved(self, address: object) -> bool:
        """
        Its peer turns out to be another one, maybe.

        @return: may it stay?  It is counted until it leaves, all the same.
        """
        peer = peerOf(address)
        admission = self._admission
        if peer == self._peer or admission is None:
            return True
        mayStay = admission.mayCome(peer, address)
        admission.count(self._peer, -1)
        self._peer = peer
        admission.count(peer, 1)
        return mayStay

    def leave(self, result: object = None) -> None:
        """
        It is gone.  A second call does nothing.
        """
        admission = self._admission
        self._admission = None
        if admission is not None:
            admission.sessions -= 1
            admission.count(self._peer, -1)


class Admission:
    """
    Who may come in.

    @ivar sessions: how many carriers there are, those included whose wire is not
        known yet.
    @ivar refused: how many were refused so far.
    """

    _log = Logger()

    def __init__(self, config: MuxConfig, seconds: Callable[[], float]) -> None:
        """
        @param seconds: tells the time.
        """
        self._most = config.maxSessions
        self._mostPerPeer = config.maxSessionsPerPeer
        self._seconds = seconds
        self._peers: Counter[Hashable] = Counter()
        # For each limit: when it was last said to be reached, and how often it was
        # since.
        self._told: dict[str, tuple[float, int]] = {}
        self.sessions = 0
        self.refused = 0

    def enter(self, address: object) -> Visitor | None:
        """
        A carrier arrives.

        @return: C{None} if it is refused.
        """
        if self._most and self.sessions >= self._most:
            self._refuse(address, "maxSessions", self._most, "")
            return None
        peer = peerOf(address)
        if not self.mayCome(peer, address):
            return None
        self.sessions += 1
        self.count(peer, 1)
        return Visitor(self, peer)

    def mayCome(self, peer: Hashable, address: object) -> bool:
        """
        Is there room for one more carrier of a peer's?
        """
        most = self._mostPerPeer
        if not most or peer is None or self._peers[peer] < most:
            return True
        self._refuse(address, "maxSessionsPerPeer", most, f" from {peer}")
        return False

    def count(self, peer: Hashable, change: int) -> None:
        """
        A peer has more carriers, or fewer.
        """
        if peer is not None and self._mostPerPeer:
            self._peers[peer] += change
            if not self._peers[peer]:
                del self._peers[peer]

    def _refuse(self, address: object, limit: str, figure: int, whose: str) -> None:
        self.refused += 1
        now = self._seconds()
        toldAt, since = self._told.get(limit, (now - TELL_EVERY, 0))
        if now - toldAt < TELL_EVERY:
            self._told[limit] = toldAt, since + 1
            return
        self._told[limit] = now, 0
        self._log.warn(
            "carrier from {peer} refused: {figure} sessions{whose} are open (limit "
            "{limit}: {figure}){others}",
            peer=describeAddress(address),
            figure=figure,
            whose=whose,
            limit=limit,
            others=f"; {since} others were refused before" if since else "",
        )


def admissionFor(config: MuxConfig, seconds: Callable[[], float]) -> Admission | None:
    """
    Who may come in, or C{None} if everybody may.
    """
    if config.maxSessions or config.maxSessionsPerPeer:
        return Admission(config, seconds)
    return None


class RefusedCarrier(Protocol):
    """
    A carrier that is not admitted.  (A factory could build no protocol at all, but
    those of Twisted's that wrap others, as for TLS, know nothing of that.)
    """

    def connectionMade(self) -> None:
        """
        Be gone.
        """
        transport = cast(Any, self.transport)
        abort = getattr(transport, "abortConnection", transport.loseConnection)
        abort()
