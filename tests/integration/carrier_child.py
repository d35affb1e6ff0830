"""
The child of a carrier over stdio: it answers streams and opens some itself, on its
standard input and output.

Its arguments are the wire, the mode of L{exchange
<tests.integration.exchanges.exchange>}, and how many bytes each of its streams sends.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.task import react

from tests.integration.exchanges import Answers, exchange


async def main(reactor: Any, wire: str, mode: str, size: str) -> None:
    """
    Serve until the parent closes the carrier.
    """
    answers = Answers()
    port: Any = await serverFromString(reactor, f"mux:stdio:wire={wire}").listen(
        answers
    )
    endpoint = clientFromString(reactor, f"mux-listen:stdio:wire={wire}")
    [session] = port.sessions
    closed = session.whenClosed()
    await exchange(endpoint, mode.encode(), int(size))
    await answers.answered
    await closed


if __name__ == "__main__":
    react(main, sys.argv[1:])
