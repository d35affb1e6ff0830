"""
Twisted's own tests of TCP connections, from its module test/test_tcp, with the
connections routed through streams over real TCP carriers, on the tests' reactor.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.test import connectionmixins
from twisted.internet.test import test_tcp as internet_test_tcp
from twisted.test import test_tcp

from tests.integration.routing import Direct, Routes
from tests.integration.skips import (
    SKIPS,
    SKIPS_ON_ASYNCIO,
    SKIPS_WITHOUT_RESET,
    withSkips,
)
from twisted_mux.wire import codecNamed, wireNames

# A connector of Twisted's that can't bind leaves its socket to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


class Routed:
    """
    Runs the tests of a class with another reactor in its module.
    """

    wire: ClassVar[str]
    # Seconds.
    timeout = 30

    def setUp(self: Any) -> Any:
        """
        Put the reactor there.
        """
        routed = Direct(reactor)
        self.routes = Routes(routed, self.wire)
        self.routes.install()
        self.patch(test_tcp, "reactor", routed)
        return super().setUp()  # type: ignore[misc]

    def tearDown(self: Any) -> Any:
        """
        Close everything.
        """

        def close(result: Any) -> Any:
            return self.routes.close().addCallback(lambda _: result)

        tearDown: Any = super().tearDown  # type: ignore[misc]
        return maybeDeferred(tearDown).addBoth(close)

    def _wait(self, deferred: Any, running: object = None) -> None:
        # The reactor runs already, in pytest's hands.
        pytest_twisted.blockon(deferred)


_CLASSES: tuple[type[Any], ...] = (
    test_tcp.AddressTests,
    test_tcp.CallBackOrderTests,
    test_tcp.CannotBindTests,
    test_tcp.FactoryTests,
    test_tcp.HalfCloseBuggyApplicationTests,
    test_tcp.HalfCloseNoNotificationAndShutdownExceptionTests,
    test_tcp.HalfCloseTests,
    test_tcp.LargeBufferTests,
    test_tcp.ListeningTests,
    test_tcp.LocalRemoteAddressTests,
    test_tcp.LogTests,
    test_tcp.LoopbackTests,
    test_tcp.PauseProducingTests,
    test_tcp.ProperlyCloseFilesTests,
    test_tcp.WriteDataTests,
)


def _case(original: type[Any], wire: str) -> None:
    name = f"{wire.capitalize()}{original.__name__}"
    lists = [] if codecNamed(wire).capabilities.reset else [SKIPS_WITHOUT_RESET]
    case = type(name, (Routed, original), {"wire": wire, "__module__": __name__})
    globals()[name] = withSkips(case, *lists)


for each in wireNames():
    for tests in _CLASSES:
        _case(tests, each)
# It would be run as it is.
del tests


def test_skipsAreOfTests() -> None:
    """
    What is listed as skipped is there in Twisted.
    """
    modules = (connectionmixins, internet_test_tcp, test_tcp)
    for name in (*SKIPS, *SKIPS_WITHOUT_RESET, *SKIPS_ON_ASYNCIO):
        owner, method = name.split(".")
        assert any(
            hasattr(getattr(module, owner, None), method) for module in modules
        ), name
