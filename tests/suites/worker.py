"""
Runs trial's suites in a process of its own, over TCP or over streams, and writes down
what became of every test.

Run by C{python -m tests.suites}.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.trial import unittest
from twisted.trial.reporter import TestResult
from twisted.trial.runner import TestLoader, TrialRunner

from tests.integration.routing import Direct, Routes
from twisted_mux.protocol import MuxProtocol

reactor: Any = _reactor
#: In the place of a wire's name.
TCP = "tcp"
#: Seconds that a test has.
TIMEOUT = 20
# Turns in which what is under way on streams arrives.
_TURNS = 20


class Outcomes(TestResult):
    """
    Notes the outcome of each test, the worst one if it has several.

    @ivar outcomes: by the test's id: the word for it, and its reason.
    """

    shouldStop = False

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[str, tuple[str, str]] = {}

    def _note(self, test: Any, outcome: str, reason: object = "") -> None:
        key = test.id()
        known = self.outcomes.get(key, ("success", ""))[0]
        if known in ("success", outcome):
            self.outcomes[key] = (outcome, str(reason))

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self._note(test, "success")

    def addError(self, test: Any, error: Any) -> None:
        super().addError(test, error)
        self._note(test, "error", _describe(error))

    def addFailure(self, test: Any, fail: Any) -> None:
        super().addFailure(test, fail)
        self._note(test, "failure", _describe(fail))

    def addSkip(self, test: Any, reason: Any) -> None:
        super().addSkip(test, reason)
        self._note(test, "skip", reason)

    def addExpectedFailure(self, test: Any, error: Any, todo: Any = None) -> None:
        super().addExpectedFailure(test, error, todo)
        self._note(test, "expected failure")

    def addUnexpectedSuccess(self, test: Any, todo: Any = None) -> None:
        super().addUnexpectedSuccess(test, todo)
        self._note(test, "unexpected success")

    # What a runner wants of a reporter.

    def done(self) -> None:
        """
        All have run.
        """


def _describe(error: Any) -> str:
    if isinstance(error, tuple):
        error = error[1]
    text = getattr(error, "getTraceback", lambda: str(error))()
    return "\n".join(str(text).splitlines()[-12:])


class Quiet(Direct):
    """
    The reactor for sessions: their delayed calls are kept apart from the tests' own.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.calls: list[Any] = []

    def callLater(self, delay: float, function: Callable[..., object], *a: Any) -> Any:
        """
        See L{twisted.internet.interfaces.IReactorTime}.
        """
        self.calls = [call for call in self.calls if call.active()]
        call = self._reactor.callLater(delay, function, *a)
        self.calls.append(call)
        return call


class Janitor:
    """
    Trial wants the reactor clean after a class of tests, and delayed calls gone after
    each test.  Carriers are no business of the tests', as the kernel's sockets aren't;
    a stream that a test has left is, as a connection would be.
    """

    def __init__(self, routes: Routes, quiet: Quiet) -> None:
        self._quiet = quiet
        self._removeAll = reactor.removeAll
        self._getDelayedCalls = reactor.getDelayedCalls
        routes.direct = quiet
        reactor.removeAll = self.removeAll
        reactor.getDelayedCalls = self.getDelayedCalls

    def getDelayedCalls(self) -> list[Any]:
        """
        See L{twisted.internet.interfaces.IReactorTime}.
        """
        ours = {id(call) for call in self._quiet.calls}
        return [call for call in self._getDelayedCalls() if id(call) not in ours]

    def removeAll(self) -> list[Any]:
        """
        See L{twisted.internet.interfaces.IReactorFDSet}.
        """
        for _ in range(_TURNS):
            if not self._carriers():
                break
            reactor.iterate(0)
        idle = [each for each in self._carriers() if not _streams(each)]
        reading = [each for each in idle if each in reactor.getReaders()]
        writing = [each for each in idle if each in reactor.getWriters()]
        removed = self._removeAll()
        for each in reading:
            reactor.addReader(each)
        for each in writing:
            reactor.addWriter(each)
        return [each for each in removed if each not in idle]

    def _carriers(self) -> list[Any]:
        return [
            each
            for each in {*reactor.getReaders(), *reactor.getWriters()}
            if isinstance(_session(each), MuxProtocol)
        ]


def _session(transport: Any) -> Any:
    protocol = getattr(transport, "protocol", None)
    # A client's endpoint has wrapped it.
    return getattr(protocol, "_wrappedProtocol", protocol)


def _streams(transport: Any) -> int:
    return len(_session(transport).engine.streams)


def main(wire: str, report: str, *modules: str) -> None:
    """
    Run the modules' tests.
    """
    unittest.TestCase.timeout = TIMEOUT  # type: ignore[attr-defined]
    opened = 0
    if wire != TCP:
        # In this order: it keeps the methods that the reactor has now.
        quiet = Quiet(reactor)
        routes = Routes(reactor, wire)
        routes.install()
        Janitor(routes, quiet)
    counts: dict[str, int] = {}
    streamed = MuxProtocol.streamOpened

    def streamOpened(self: MuxProtocol, stream: Any) -> None:
        nonlocal opened
        opened += 1
        streamed(self, stream)

    MuxProtocol.streamOpened = streamOpened  # type: ignore[method-assign]
    outcomes = Outcomes()
    loader = TestLoader()
    runner = TrialRunner(lambda *_: outcomes, workingDirectory=f"{report}.trial")
    for module in modules:
        before = opened
        runner.run(loader.loadByName(module, recurse=True))
        counts[module] = opened - before
    Path(report).write_text(
        json.dumps({"outcomes": outcomes.outcomes, "streams": counts})
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
