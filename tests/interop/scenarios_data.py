"""
Scenarios about data: all of it arrives, whatever else goes on.
"""

from __future__ import annotations

from twisted.internet.defer import ensureDeferred

from tests.interop.link import (
    Link,
    Scenarios,
    notInApi,
    notOnWire,
)
from tests.interop.peers import CommandFailed, noise, sumLine
from tests.interop.scenarios_known import Quirk
from tests.interop.services import together
from twisted_mux.config import KIB, MIB, MuxConfig
from twisted_mux.engine.stream import CHUNK_CHARGE

scenario = Scenarios()

#: Longer than any stream's first window.
LONG = 400_000
#: By how much what is held may miss a bound when nothing more comes.
CHUNK = 128 * KIB


async def echoes(link: Link, size: int) -> None:
    """
    One stream from each side, at once.
    """
    await link.start()
    await together(
        link.weOpen("echo", size, seed=1), link.peerOpens("echo", size=size, seed=2)
    )
    await link.quiet()


@scenario("echo-0: echo of nothing, one stream from each side at once")
async def echoNothing(link: Link) -> None:
    await echoes(link, 0)


@scenario("echo-1: echo of 1 byte")
async def echoByte(link: Link) -> None:
    await echoes(link, 1)


@scenario("echo-1k: echo of 1 KiB")
async def echoKib(link: Link) -> None:
    await echoes(link, KIB)


@scenario("echo-64k: echo of 64 KiB")
async def echo64Kib(link: Link) -> None:
    await echoes(link, 64 * KIB)


@scenario("echo-8m: echo of 8 MiB")
async def echo8Mib(link: Link) -> None:
    await echoes(link, 8 * MIB)


@scenario("hundred: 100 streams at once, opened by us, then by the peer")
async def hundred(link: Link) -> None:
    await link.start()
    await together(*(link.weOpen("echo", 1000, seed) for seed in range(100)))
    reply = await link.peerOpens("echo", size=1000, streams=100, concurrent=True)
    assert reply["received"] == 100_000
    await link.quiet()


@scenario("both: 50 streams from each side at once")
async def both(link: Link) -> None:
    await link.start()
    _, reply = await together(
        together(*(link.weOpen("echo", 3000, seed) for seed in range(50))),
        link.peerOpens("echo", size=3000, streams=50, concurrent=True),
    )
    assert reply["received"] == 150_000
    await link.quiet()


@scenario("writers: 8 streams from each side send 1 MiB at once")
async def writers(link: Link) -> None:
    await link.start()
    await together(
        link.peerOpens("take", size=MIB, streams=8, concurrent=True),
        *(link.weOpen("take", MIB, seed) for seed in range(8)),
    )
    if link.differs(Quirk.SENDS_TWICE):
        # Without care, that is; not each time.
        while not await sendsTwice(link.sibling()):
            pass


async def sendsTwice(link: Link) -> bool:
    """
    Have the peer write as it likes on several streams.

    @return: was more sent than written?  It may be without end.
    """
    await link.start()
    most = MIB + len("take 1048576\n")
    writing = link.peerOpens(
        "take", size=MIB, streams=8, concurrent=True, chunk=64 * KIB
    )

    def tooMuch() -> bool:
        sizes = [each.transport.bytesReceived for each in link.services.accepted]
        return max(sizes, default=0) > most

    await link.until(lambda: writing.called or tooMuch())
    return tooMuch()


@scenario("sequence: 2,000 streams one after the other, opened by the dialler")
async def sequence(link: Link) -> None:
    await link.start()
    many = link.known.many
    if link.known.whyNotMore:
        link.note(f"{many} streams: {link.known.whyNotMore}.")
    if link.role == "dials":
        reply = await link.peerOpens("echo", size=10, streams=many)
        assert reply["received"] == 10 * many
    else:
        for seed in range(many):
            await link.weOpen("echo", 10, seed)
    await link.quiet()


@scenario("opener-ends: the opener ends first, the acceptor's data go on")
async def openerEnds(link: Link) -> None:
    await link.start()
    await link.weOpen("late", LONG)
    if not link.differs(Quirk.LOSES_AT_HALF_CLOSE):
        await link.peerOpens("late", size=LONG)
    else:
        # What the peer's reader gets of it is chance.
        command = link.peerOpens("late", size=LONG)
        command.addErrback(lambda failure: failure.trap(CommandFailed) and {})
        service = await link.services.arrived("late")
        await service.whenLost()
        assert service.transport.bytesSent == LONG
        await command
    await link.quiet()


@scenario("acceptor-ends: the acceptor ends first, the opener's data go on")
async def acceptorEnds(link: Link) -> None:
    await link.start()
    await link.peerOpens("half", size=LONG)
    if not link.differs(Quirk.LOSES_AT_HALF_CLOSE):
        await link.weOpen("half", LONG)
        event = await link.peer.waitFor("served", service="half")
        assert event["received"] == LONG
    else:
        await link.weOpen("half", LONG)
        event = await link.peer.waitFor("served", service="half")
        assert event["received"] <= LONG
    await link.quiet()


@scenario("windows: our windows larger and smaller than the default")
async def windows(link: Link) -> None:
    for window in (16 * KIB, MIB):
        each = link.sibling()
        # Where windows aren't told, both sides must be configured alike.
        options = dict(
            link.known.smallWindow if window < MIB else link.known.largeWindow
        )
        if link.capabilities.windowAnnounced:
            options = {}
        await each.start(MuxConfig(window=window, maxWindow=window), **options)
        held = each.peerOpens("hold", ms=-1, size=2 * window)
        service = await each.services.arrived("hold")
        await each.weOpen("echo", LONG)
        await each.peerOpens("echo", size=LONG)
        if each.credit:
            # As much as the window says; the line was read.
            least = min(window, 64 * KIB)
            await each.until(
                lambda one=service, size=least: one.transport.bytesReceived >= size  # type: ignore[misc]
            )
            most = window
            if each.capabilities.windowAnnounced:
                # This much was promised before we had a say.
                most = max(window, 262_144)
            assert service.transport.bytesReceived <= most + 20
        each.services.release()
        await held
        assert service.received == noise(2 * window, 0)


def holds(link: Link) -> int:
    """
    What our side holds for readers that don't read, in bytes.
    """
    return link.session.statistics().bytesHeld


@scenario("peer-large: the peer's windows are 1 MiB")
async def peerLarge(link: Link) -> None:
    if not link.credit:
        raise notOnWire("it has no windows")
    if not link.known.largeWindow:
        raise notInApi("its windows grow by themselves, and can't be set")
    config = None
    if not link.capabilities.windowAnnounced:
        config = MuxConfig(window=MIB)
    await link.start(config, **link.known.largeWindow)
    await windowOfPeer(link, MIB)


@scenario("peer-small: the peer's windows are 16 KiB")
async def peerSmall(link: Link) -> None:
    if not link.credit:
        raise notOnWire("it has no windows")
    if not link.known.smallWindow:
        raise notInApi("its windows are no smaller than 256 KiB")
    config = None
    if not link.capabilities.windowAnnounced:
        config = MuxConfig(window=16 * KIB)
    await link.start(config, **link.known.smallWindow)
    await windowOfPeer(link, 16 * KIB)


async def windowOfPeer(link: Link, window: int) -> None:
    """
    We fill the peer's window, and it goes on when it reads.
    """
    line = b"hold -1\n"
    data = noise(3 * window, 5)
    caller = await link.open()
    sending = ensureDeferred(caller.sendAndEnd(line + data))
    await link.weOpen("echo", LONG)
    await link.peerOpens("echo", size=LONG)
    sent = caller.transport.bytesSent
    # The peer has read the line, at most with 64 bytes ahead, and may have told.
    slack = 64 + len(line)
    first = window
    if link.capabilities.windowAnnounced and not link.capabilities.ack:
        # Until the peer has told of its window, more is assumed.
        first = max(window, 262_144)
    assert window <= sent <= first + slack
    await link.command("release")
    assert await caller.readAll() == sumLine(data)
    await sending
    caller.close()


@scenario("peer-stops: a reader of the peer's stops, the others go on, then it does")
async def peerStops(link: Link) -> None:
    if not link.credit:
        raise notOnWire("without credit a reader that stops stops all")
    await link.start()
    data = noise(MIB, 5)
    caller = await link.open(b"hold -1")
    sending = ensureDeferred(caller.sendAndEnd(data))
    await together(*(link.weOpen("echo", LONG, seed) for seed in range(3)))
    await link.peerOpens("echo", size=LONG, streams=3, concurrent=True)
    assert caller.transport.bytesSent < MIB
    assert not caller.writeEnded
    await link.command("release")
    assert await caller.readAll() == sumLine(data)
    await sending
    caller.close()


@scenario("we-stop: a reader of ours stops, the others go on, then it does")
async def weStop(link: Link) -> None:
    if not link.credit:
        raise notOnWire("without credit a reader that stops stops all")
    await link.start()
    held = link.peerOpens("hold", ms=-1, size=MIB)
    service = await link.services.arrived("hold")
    await together(*(link.weOpen("echo", LONG, seed) for seed in range(3)))
    await link.peerOpens("echo", size=LONG, streams=3, concurrent=True)
    assert 0 < service.transport.bytesReceived <= link.session.config.window + 20
    link.services.release()
    await held
    assert service.received == noise(MIB, 0)


@scenario("stalled: every reader of the peer's stops for a while, nothing is lost")
async def stalled(link: Link) -> None:
    await link.start()
    data = noise(MIB, 5)
    caller = await link.open(b"hold 300")
    await caller.sendAndEnd(data)
    assert await caller.readAll() == sumLine(data)
    caller.close()
    await link.alive()


@scenario("bounded: what we hold for a reader that stops is bounded")
async def bounded(link: Link) -> None:
    budget = 256 * KIB
    await link.start(MuxConfig(receiveBudget=budget))
    size = 4 * MIB
    held = link.peerOpens("hold", ms=-1, size=size)
    service = await link.services.arrived("hold")
    await link.until(lambda: holds(link) >= budget - CHUNK)
    await link.services.pause(0.05)
    # What was read last was read when there was room; and what holding it costs beside
    # its bytes is counted, too.
    most = link.session.config.readSize
    assert holds(link) <= budget + most + most // KIB * CHUNK_CHARGE
    if not link.credit:
        # The carrier waits.
        assert not link.session.statistics().reading
    link.services.release()
    await held
    assert service.received == noise(size, 0)
    await link.alive()
