"""
Streams on a pair of sessions, for the tests that run on every wire.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from twisted_mux.testing import SessionPair
from twisted_mux.testing.conformance import (
    Recorder,
)

if TYPE_CHECKING:
    pass

MakePair = Callable[..., SessionPair]


def capabilities(pair: SessionPair) -> Any:
    """
    What the wire can do.
    """
    return pair.client.engine.capabilities


def connect(
    pair: SessionPair,
    client: Recorder | None = None,
    server: Recorder | None = None,
    **arguments: Any,
) -> tuple[Any, Any]:
    """
    Two protocols on a new stream.
    """
    client = Recorder() if client is None else client
    server = Recorder() if server is None else server
    pair.connect(client, server, **arguments).addErrback(lambda failure: None)
    pair.pump()
    return client, server


class Factory3:
    """
    A factory that has the three methods that endpoints call, and no other.
    """

    def __init__(self, build: Callable[[Any], Any]) -> None:
        self.build = build
        self.calls: list[str] = []

    def doStart(self) -> None:
        self.calls.append("start")

    def doStop(self) -> None:
        self.calls.append("stop")

    def buildProtocol(self, address: Any) -> Any:
        self.calls.append("build")
        return self.build(address)


def listen(pair: SessionPair, build: Callable[[Any], Any]) -> Factory3:
    """
    A factory that listens on the server's session.
    """
    factory = Factory3(build)
    pair.server.serverEndpoint().listen(cast(Any, factory))
    return factory
