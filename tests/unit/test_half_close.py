"""
The end of one direction, through wrappers.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import alsoProvides, implementer

from twisted_mux.half_close import hearOfEnds


@implementer(IHalfCloseableProtocol)
class Hearing(Protocol):
    """
    Wants to be told of ends.
    """

    def __init__(self) -> None:
        self.ends: list[str] = []

    def connectionMade(self) -> None:
        """
        Say so.
        """
        hearOfEnds(self, self.transport)

    def readConnectionLost(self) -> None:
        """
        Keep it.
        """
        self.ends.append("read")

    def writeConnectionLost(self) -> None:
        """
        Keep it.
        """
        self.ends.append("write")


def wrapped(transport: Any) -> tuple[Hearing, Any]:
    """
    A protocol in a wrapper, on that transport.
    """
    factory = WrappingFactory(Factory.forProtocol(Hearing))
    wrapper: Any = factory.buildProtocol(None)
    assert isinstance(wrapper, ProtocolWrapper)
    wrapper.makeConnection(transport)
    protocol = wrapper.wrappedProtocol
    assert isinstance(protocol, Hearing)
    return protocol, wrapper


def test_wrapper() -> None:
    """
    What a transport tells the wrapper of, the protocol hears.
    """
    protocol, wrapper = wrapped(StringTransport())
    end = IHalfCloseableProtocol(wrapper)
    end.readConnectionLost()
    end.writeConnectionLost()
    assert protocol.ends == ["read", "write"]


def test_tls() -> None:
    """
    TLS is left alone.
    """
    transport = StringTransport()
    alsoProvides(transport, ISSLTransport)
    _, wrapper = wrapped(transport)
    assert not IHalfCloseableProtocol.providedBy(wrapper)


def test_wrapperThatHears() -> None:
    """
    So is a wrapper that wants to be told itself.
    """
    transport = StringTransport()
    alsoProvides(transport, IHalfCloseableProtocol)
    protocol, wrapper = wrapped(transport)
    assert "readConnectionLost" not in vars(wrapper)
    assert protocol.ends == []


def test_plain() -> None:
    """
    A transport needs nothing.
    """
    protocol = Hearing()
    protocol.makeConnection(StringTransport())
    assert protocol.ends == []
