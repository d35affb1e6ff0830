"""
Sessions of the engine that get what they should not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.property.pipe import Driver, Remote
from twisted_mux.config import MuxConfig
from twisted_mux.engine.stream import Stream
from twisted_mux.wire import wireNames, wires
from twisted_mux.wire.base import Role

capabilities = {name: codec.capabilities for name, codec in wires().items()}
everyWire = pytest.mark.parametrize("wire", wireNames())


def wiresThat(test: Callable[[Any], object]) -> Any:
    """
    The wires whose capabilities pass a test.
    """
    return pytest.mark.parametrize(
        "wire", [name for name in wireNames() if test(capabilities[name])]
    )


class Scene:
    """
    A server with a stream of the peer's and one of its own.
    """

    def __init__(self, wire: str, *, paused: bool = False, **options: Any) -> None:
        config = MuxConfig(keepAlive=0, keepAliveTimeout=0, **options)
        self.driver = Driver(wire, Role.SERVER, config)
        self.session = self.driver.session
        if paused:
            self.driver.accept = self.acceptPaused
        self.remote = Remote(self.driver)
        self.live = self.remote.open()
        self.ours = self.driver.open()
        self.remote.heard()

    def acceptPaused(self, stream: Stream) -> None:
        self.driver.takeStream(stream)
        stream.pauseReading()
