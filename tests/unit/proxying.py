"""
A client, a SOCKS server behind a bridge, and targets, in memory and in virtual time.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.unit.carrying import Network
from twisted_mux.bridge import Bridge
from twisted_mux.socks.endpoint import SocksEndpoint
from twisted_mux.socks.targets import Address, AllowList
from twisted_mux.testing import VirtualClock

GREETING = b"\5\1\0"
PUBLIC = "93.184.216.34"
OK = b"\5\0" + b"\5\0\0\1" + bytes(6)


def wanting(host: str, port: int = 80) -> bytes:
    """
    A whole request for a name.
    """
    name = host.encode()
    return GREETING + b"\5\1\0\3" + bytes([len(name)]) + name + port.to_bytes(2, "big")


def refusal(code: int) -> bytes:
    """
    What is answered to L{wanting}.
    """
    return b"\5\0\5" + bytes([code, 0, 1]) + bytes(6)


@implementer(IHalfCloseableProtocol)
class End(Protocol):
    """
    A client or a target.
    """

    ended = False
    data = b""
    reason: Failure | None = None
    transport: Any

    def dataReceived(self, data: bytes) -> None:
        """
        Keep it.
        """
        self.data += data

    def readConnectionLost(self) -> None:
        """
        Keep that.
        """
        self.ended = True

    def writeConnectionLost(self) -> None:
        """
        As we wanted.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Keep it.
        """
        self.reason = reason


class Clock(VirtualClock):
    """
    With a resolver.

    @ivar names: what it finds.
    @ivar asked: what it was asked for.
    @ivar answers: answers that wait to be given, if that is to be later.
    """

    later = False

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, list[Any]] = {}
        self.asked: list[str] = []
        self.answers: list[Any] = []

    @property
    def nameResolver(self) -> Clock:
        """
        As reactors have it.
        """
        return self

    def resolveHostName(
        self, receiver: Any, host: str, port: int, types: Any, semantics: str
    ) -> None:
        """
        Answer, or remember to.
        """
        self.asked.append(host)

        def answer() -> None:
            receiver.resolutionBegan(self)
            for address in self.names.get(host, ()):
                receiver.addressResolved(address)
            receiver.resolutionComplete()

        if self.later:
            self.answers.append(answer)
        else:
            answer()


class Scene:
    """
    A client, a bridge, SOCKS, and a network for the targets.

    @ivar dialled: the addresses, ports and times of all attempts.
    """

    def __init__(self, allow: str = "*", credentials: Any = None) -> None:
        self.clock = Clock()
        self.clock.names["example.org"] = [IPv4Address("TCP", PUBLIC, 80)]
        self.dialled: list[tuple[str, int, float]] = []
        self.target = End()
        self.network = Network(self.clock)
        self.network.listen(Factory.forProtocol(lambda: self.target))
        self.endpoint = SocksEndpoint(
            self.clock, AllowList(allow), credentials, 12.0, self._endpointFor
        )
        self.bridge = Bridge(self.clock, "test", self.endpoint, "socks5:")
        self.source = Network(self.clock)
        self.source.listen(self.bridge)
        self.client = End()
        self.source.connect(Factory.forProtocol(lambda: self.client))
        self.source.accept()

    def _endpointFor(
        self, reactor: Any, address: Address, port: int, timeout: float
    ) -> Any:
        self.dialled.append((str(address), port, timeout))
        return self.network

    def send(self, data: bytes) -> None:
        """
        The client says something.
        """
        self.client.transport.write(data)
        self.clock.settle()

    def checkOver(self, code: int) -> None:
        """
        The client was refused, and nothing is left.
        """
        self.clock.settle()
        assert self.client.data == refusal(code)
        self.checkNothing()

    def checkNothing(self) -> None:
        """
        Nothing is left.
        """
        self.clock.settle()
        assert self.client.ended or self.client.reason is not None
        self.client.transport.loseConnection()
        self.clock.settle()
        assert self.client.reason is not None
        assert self.bridge.live == 0
        assert self.clock.getDelayedCalls() == []
