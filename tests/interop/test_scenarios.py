"""
Every scenario with every real peer, on every wire that it speaks, in both roles.
"""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred

from tests.interop.conftest import Record
from tests.interop.link import ROLES, Impossible, Link, Outcome, reactor
from tests.interop.peers import IMPLEMENTATIONS, whyNot
from tests.interop.scenarios import SCENARIOS
from tests.interop.scenarios_known import Quirk
from twisted_mux.errors import VersionError

#: Seconds after which a scenario has failed.
PATIENCE = 20

PEERS = [
    (name, wire, role)
    for name, implementation in IMPLEMENTATIONS.items()
    for wire in implementation.wires
    for role in ROLES
]


@pytest.fixture(params=PEERS, ids="-".join)
def link(request: pytest.FixtureRequest) -> Link:
    """
    A link to be started, in each combination whose toolchain is there.
    """
    name, wire, role = request.param
    implementation = IMPLEMENTATIONS[name]
    reason = whyNot(implementation.toolchain)
    if reason:
        pytest.skip(reason)
    return Link(name, implementation, wire, role)


async def noVersion(link: Link) -> None:
    """
    In place of each scenario with a peer that marks its frames wrongly.
    """
    await link.start()
    link.peerOpens("echo", size=1)
    with pytest.raises(VersionError):
        await link.session.whenClosed()
    assert link.differs(Quirk.BROKEN_VERSION)


async def play(link: Link, scenario: str) -> Outcome:
    """
    Play a scenario, and look at what it leaves behind.
    """
    game = noVersion if link.has(Quirk.BROKEN_VERSION) else SCENARIOS[scenario].play
    playing = ensureDeferred(game(link))
    try:
        await playing.addTimeout(PATIENCE, reactor)
    except Impossible as impossible:
        return Outcome(impossible.result, impossible.text)
    finally:
        await link.finish()
    link.check()
    return link.outcome


@pytest.mark.parametrize("scenario", list(SCENARIOS))
@pytest_twisted.ensureDeferred
async def test_scenario(link: Link, scenario: str, record: Record) -> None:
    record(link, scenario, await play(link, scenario))
