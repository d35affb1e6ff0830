"""
A process with one end of a carrier, on which data moves on many streams::

    python -m tests.faults.child WIRE ROLE PORT STREAMS HOW

As a server it listens, at any port, and says at which; as a client it dials PORT.
Then it goes on until it is killed, or, with C{stop} for HOW, stops its reactor when
data moves on all streams, and says what became of them.
"""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogBeginner
from zope.interface import implementer

from tests.faults.leftovers import objectsLeft, reactorsWork
from tests.faults.moving import LOOPBACK, Mover, Movers

reactor: Any = _reactor


@implementer(ILogObserver)
class _Errors:
    def __init__(self) -> None:
        self.all: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if event["log_level"].name in ("error", "critical"):
            self.all.append(formatEvent(event))


def _run(wire: str, role: str, port: int, streams: int, how: str) -> dict[str, Any]:
    movers = Movers(streams)
    factory = movers.factory(wire, role)
    if role == "client":
        TCP4ClientEndpoint(reactor, LOOPBACK, port).connect(factory)
    else:
        listening = TCP4ServerEndpoint(reactor, 0, interface=LOOPBACK).listen(factory)
        listening.addCallback(lambda port: print(f"port {port.getHost().port}"))
    if how == "stop":
        movers.moving.addCallback(lambda _: reactor.stop())
    reactor.run()
    movers.check("SessionLost")
    return {"reasons": movers.reasons()}


def main(wire: str, role: str, port: str, streams: str, how: str) -> None:
    """
    Run, and say what became of it.
    """
    errors = _Errors()
    globalLogBeginner.beginLoggingTo([errors], redirectStandardIO=False)
    result = _run(wire, role, int(port), int(streams), how)
    # A failure that nobody has looked at is logged when it is collected.
    gc.collect()
    result["left"] = objectsLeft(Mover)
    result["work"] = [repr(each) for each in reactorsWork(reactor)]
    result["errors"] = errors.all
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
