"""
When a carrier is up.
"""

from __future__ import annotations

from typing import Any

import pytest
from OpenSSL.SSL import TLS_METHOD, Connection, Context
from twisted.internet.error import TimeoutError as TwistedTimeout
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from tests.unit.carrying import Network, Peer, Peers, failureOf, logged, resultOf
from twisted_mux.carrier_session import HANDSHAKE_TIMEOUT, CarrierSession
from twisted_mux.config import MuxConfig
from twisted_mux.endpoints import MuxServerEndpoint
from twisted_mux.testing import MemoryConnection, OneProtocol
from twisted_mux.wire import codecNamed
from twisted_mux.wire.base import Role


@implementer(IOpenSSLServerConnectionCreator)
class Creator:
    """
    TLS without a certificate, which no handshake gets through.
    """

    def serverConnectionForTLS(self, protocol: Any) -> Connection:
        """
        See L{IOpenSSLServerConnectionCreator}.
        """
        return Connection(Context(TLS_METHOD))


@pytest.mark.parametrize("wire", ["yamux", "auto"])
def test_noHandshake(wire: str) -> None:
    """
    A client that does not shake hands is dropped.
    """
    network = Network()
    server = MuxServerEndpoint(network.clock, network, wire=wire)
    port: Any = resultOf(server.listen(Peers()))
    tls = TLSMemoryBIOFactory(Creator(), False, network.factory, network.clock)
    client = Peer()
    connection = MemoryConnection(network.clock)
    connection.connect(client, tls.buildProtocol(connection.CLIENT))
    with logged("warn" if wire == "auto" else "info") as messages:
        network.clock.advance(HANDSHAKE_TIMEOUT + 1)
    assert client.reason
    assert not port.carriersAccepted
    assert not network.clock.getDelayedCalls()
    assert messages == [
        "carrier from 192.0.2.1:49152 refused: the peer sent nothing within 10 seconds (limit detectTimeout: 10)"
        if wire == "auto"
        else "carrier from 192.0.2.1:49152 refused: User timeout caused connection "
        "failure: no TLS handshake within 30 seconds."
    ]


class Session:
    """
    A session of its own, on a connection.
    """

    def __init__(self) -> None:
        self.connection = MemoryConnection()
        self.session = CarrierSession(
            codecNamed("yamux"), Role.CLIENT, MuxConfig(), reactor=self.connection.clock
        )
        self.peer = Peer()

    def connect(self) -> None:
        """
        Connect it.
        """
        self.connection.connect(self.session, self.peer)
        self.connection.clock.settle()


def test_up() -> None:
    """
    Without TLS a carrier is up when it is connected.
    """
    before, after = Session(), Session()
    whenUp = before.session.whenUp()
    assert not whenUp.called
    before.connect()
    after.connect()
    assert resultOf(whenUp) is before.session
    assert resultOf(after.session.whenUp()) is after.session


def test_goAwayThatNobodyWaitsFor() -> None:
    one = Session()
    one.connect()
    one.connection.server.write(b"\0\3\0\0\0\0\0\0\0\0\0\0")
    one.connection.clock.settle()
    assert not one.session.takesStreams


def test_timeoutIsTwisteds() -> None:
    """
    Who dials gets the error that existing code checks for.
    """
    one = Session()
    only: Any = OneProtocol(one.session)
    tls = TLSMemoryBIOFactory(Creator(), False, only, one.connection.clock)
    one.connection.connect(Peer(), tls.buildProtocol(None))
    whenUp = one.session.whenUp()
    one.connection.clock.advance(HANDSHAKE_TIMEOUT + 1)
    assert failureOf(whenUp).check(TwistedTimeout)
