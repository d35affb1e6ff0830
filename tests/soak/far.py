"""
The other process of the soak over sockets, which may be killed at any moment::

    python -m tests.soak.far '{"wires": [...], "ports": {...}, "seed": 1}'

It says on its standard output, in lines of JSON, where it listens, what became of
its streams since the last line, and at its end what is left.  A line on its standard
input tells it to come to an end; so does the end of that input.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall, react
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from tests.faults.leftovers import objectsLeft
from tests.soak.traffic import EVERY, Party, Side
from tests.soak.tunnels import PATIENCE, Problems, Tunnels

# Seconds between two reports.
_REPORTS = 0.3


class _Control(LineOnlyReceiver):
    """
    Standard input and output.
    """

    delimiter = b"\n"

    def __init__(self) -> None:
        self.told: Deferred[None] = Deferred()
        self.closed: Deferred[None] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        if not self.told.called:
            self.told.callback(None)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lineReceived(b"")
        self.closed.callback(None)

    def say(self, **message: Any) -> None:
        """
        One line.
        """
        self.sendLine(json.dumps(message).encode())


async def main(reactor: Any, text: str) -> None:
    """
    Send and receive until told to stop.
    """
    told = json.loads(text)
    control = _Control()
    StandardIO(control)
    problems = Problems()
    side = Side(reactor, told["seed"])
    tunnels = Tunnels(reactor, side, told["wires"])

    def report() -> None:
        side.checkAge(PATIENCE)
        tallies = side.takeTallies()
        tallies[EVERY] = problems.take()
        control.say(
            tallies={
                wire: (each.counts, each.violations) for wire, each in tallies.items()
            }
        )

    await tunnels.listen()
    control.say(ports=tunnels.ports)
    await tunnels.dial(told["ports"])
    reports = LoopingCall(report)
    reports.clock = reactor
    reports.start(_REPORTS)
    await control.told
    await tunnels.close()
    reports.stop()
    report()
    control.say(left=objectsLeft(Party))
    # So that all of that is written.
    transport: Any = control.transport
    transport.loseConnection()
    await control.closed


if __name__ == "__main__":
    react(main, sys.argv[1:])
