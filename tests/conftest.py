"""
What all tests share: settings of hypothesis, and that nothing may be logged as an
error without the test's leave.
"""

from __future__ import annotations

import os
import signal
import unittest
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

# No deadlines, and none for making examples: the machine may be busy with something else.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", PATIENT)
settings.register_profile("thorough", PATIENT, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@implementer(ILogObserver)
class LoggedErrors:
    """
    The failures that were logged while a test ran.
    """

    def __init__(self) -> None:
        self.failures: list[Failure] = []

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            self.failures.append(failure)

    def flush(self, *types: type[BaseException]) -> list[Failure]:
        """
        Take out the failures of these types, or all of them: the test expected
        them.
        """
        wanted = types or (Exception,)
        taken = [failure for failure in self.failures if failure.check(*wanted)]
        self.failures = [each for each in self.failures if each not in taken]
        return taken


@pytest.fixture(autouse=True)
def loggedErrors(request: pytest.FixtureRequest) -> Iterator[LoggedErrors]:
    """
    Fails a test in which an error was logged, as trial does, unless the test has
    asked for this fixture and flushed it.
    """
    observer = LoggedErrors()
    # Trial's test cases look after this themselves.
    if isinstance(request.instance, unittest.TestCase):
        yield observer
        return
    globalLogPublisher.addObserver(observer)
    try:
        yield observer
    finally:
        globalLogPublisher.removeObserver(observer)
    if observer.failures:
        tracebacks = "\n".join(each.getTraceback() for each in observer.failures)
        pytest.fail(
            "errors were logged; a test that expects them takes them with "
            f"loggedErrors.flush(TheirType):\n{tracebacks}",
            pytrace=False,
        )


@pytest.fixture(autouse=True, scope="module")
def childrenAreNoticed() -> Iterator[None]:
    """
    Fails a module behind which the reactor no longer hears of the end of a child
    process, for which later modules would wait.
    """
    before = signal.getsignal(signal.SIGCHLD)
    yield
    if before != signal.SIG_DFL and signal.getsignal(signal.SIGCHLD) != before:
        pytest.fail("the handler of SIGCHLD has not been put back", pytrace=False)
