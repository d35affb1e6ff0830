"""
One session between us and a real peer, for a scenario to play with.

A L{Link} is made by the tests for one implementation, wire and role; the scenario
starts it with whatever configuration it is about.  Whatever the scenario was,
L{Link.finish} then checks what must be true of every session: it ends, each of its
streams lost its connection once, and no delayed call of ours is left.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory

from tests.interop.peers import CommandFailed, Implementation, Message, Peer
from tests.interop.scenarios_known import Known, Quirk, knownOf
from tests.interop.services import Caller, Service, Services, together
from twisted_mux.config import MuxConfig
from twisted_mux.factory import MuxFactory
from twisted_mux.protocol import MuxProtocol
from twisted_mux.wire import codecNamed
from twisted_mux.wire.base import Capabilities, Credit

reactor: Any = _reactor

#: What the peer does with the carrier; we do the other.
ROLES = ("dials", "listens")

OK = "ok"
NOT_ON_WIRE = "not on this wire"
NOT_IN_API = "not in the peer's API"
NOT_IN_ROLE = "not in this role"
DIFFERENCE = "known difference"
#: What may become of a scenario.
RESULTS = (OK, NOT_ON_WIRE, NOT_IN_API, NOT_IN_ROLE, DIFFERENCE)

#: Seconds after which a condition is looked at again that nobody reports.
POLL = 0.005


class Impossible(Exception):
    """
    A scenario can't be played here.

    @ivar result: one of L{RESULTS}.
    @ivar text: what is missing.
    """

    def __init__(self, result: str, text: str) -> None:
        super().__init__(f"{result}: {text}")
        self.result = result
        self.text = text


def notOnWire(text: str) -> Impossible:
    """
    The wire protocol has no means for it.
    """
    return Impossible(NOT_ON_WIRE, text)


def notInApi(text: str) -> Impossible:
    """
    The peer's public API has no means for it.
    """
    return Impossible(NOT_IN_API, text)


def notInRole(text: str) -> Impossible:
    """
    It makes sense in the other role only.
    """
    return Impossible(NOT_IN_ROLE, text)


@dataclass(frozen=True)
class Outcome:
    """
    What became of a scenario.

    @ivar result: one of L{RESULTS}.
    @ivar text: what there is to say about it.
    """

    result: str
    text: str = ""


class Opened(Factory):
    """
    Builds the protocol of a stream that we open.
    """

    noisy = False
    protocol = Caller


class Link:
    """
    A session with a real peer.

    @ivar implementation: the peer's.
    @ivar wire: our name of the wire.
    @ivar role: what the peer does: C{"dials"} or C{"listens"}.
    @ivar capabilities: the wire's.
    @ivar peer: the peer, once started.
    @ivar session: our end, likewise.
    @ivar services: what accepts the peer's streams.
    @ivar version: the peer's version, once it has told.
    """

    peer: Peer
    session: MuxProtocol

    def __init__(self, name: str, peer: Implementation, wire: str, role: str) -> None:
        self.name = name
        self.implementation = peer
        self.wire = wire
        self.role = role
        self.capabilities: Capabilities = codecNamed(wire).capabilities
        self.services = Services(reactor)
        self.version = ""
        self._known: Known = knownOf(name, wire)
        self._port: Any = None
        self._callers: list[Caller] = []
        self._started = False
        self._replies: list[Deferred[Message]] = []
        self._notes: list[str] = []
        self._differences: list[str] = []
        self._siblings: list[Link] = []
        self._callsBefore = set(reactor.getDelayedCalls())

    # What is known of the peer.

    @property
    def credit(self) -> bool:
        """
        Does the wire bound what a stream's sender may send?
        """
        return self.capabilities.credit is not Credit.NONE

    @property
    def known(self) -> Known:
        """
        What is known of the peer's implementation.
        """
        return self._known

    def has(self, quirk: Quirk) -> bool:
        """
        Does the peer behave in this way?  For what has to be known to talk to
        it at all.
        """
        return quirk in self._known.quirks

    def differs(self, quirk: Quirk) -> bool:
        """
        The same, where the scenario is about what becomes different by it: the
        table will say so.
        """
        text = self._known.quirks.get(quirk)
        if text is None:
            return False
        if text not in self._differences:
            self._differences.append(text)
        return True

    def note(self, text: str) -> None:
        """
        The table is to say this of a scenario that succeeds.
        """
        self._notes.append(text)

    @property
    def outcome(self) -> Outcome:
        """
        What the table will say of a scenario that was played to its end.
        """
        text = " ".join([*self._differences, *self._notes])
        return Outcome(DIFFERENCE if self._differences else OK, text)

    # The session.

    async def start(self, config: MuxConfig | None = None, **options: int) -> None:
        """
        Start the peer and connect.

        @param options: for the peer.
        """
        started: Deferred[MuxProtocol] = Deferred()
        factory = MuxFactory(
            self.services,
            role="server" if self.role == "dials" else "client",
            wire=self.wire,
            config=config,
            sessionStarted=started.callback,
        )
        self._started = True
        if self.role == "dials":
            self._port = reactor.listenTCP(0, factory, interface="127.0.0.1")
            self.spawn(f"127.0.0.1:{self._port.getHost().port}", **options)
        else:
            self.spawn("127.0.0.1:0", **options)
            port = await self.peer.port()
            await TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(factory)
        self.session = await started
        self.version = (await self.peer.ready())["version"]

    def spawn(self, address: str, **options: int) -> None:
        """
        Start the peer's process.
        """
        self.peer = Peer.spawn(
            reactor,
            self.implementation,
            "dial" if self.role == "dials" else "listen",
            address,
            **(self.implementation.wires[self.wire] | options),
        )

    def sibling(self) -> Link:
        """
        Another link of the same kind, for comparison.
        """
        self._siblings.append(
            Link(self.name, self.implementation, self.wire, self.role)
        )
        return self._siblings[-1]

    # Streams.

    async def open(
        self, line: bytes = b"", name: bytes = b"", address: Any = None
    ) -> Caller:
        """
        Open a stream, and write a service's line.
        """
        opened = await self.session.openStream(
            cast(Any, Opened()), name=name, address=address
        )
        caller = cast(Caller, opened)
        self._callers.append(caller)
        if line:
            caller.write(line + b"\n")
        return caller

    async def weOpen(
        self, service: str, size: int = 0, seed: int = 1, exact: bool = False
    ) -> None:
        """
        Open a stream and play the opener's part of a service.
        """
        await (await self.open()).ask(service, size, seed, exact)

    def command(self, cmd: str, **fields: Any) -> Deferred[Message]:
        """
        A command to the peer.  If the scenario fails before it gets to see the
        reply, nobody cares for it.
        """
        reply = self.peer.command(cmd, **fields)
        self._replies.append(reply)
        return reply

    def peerOpens(self, service: str, **fields: Any) -> Deferred[Message]:
        """
        Have the peer open streams and play the opener's part of a service.
        """
        if self.has(Quirk.LOSES_AT_HALF_CLOSE) and service in ("echo", "hold"):
            # It ends its own direction only when it has got everything.
            fields.setdefault("exact", True)
        if self.has(Quirk.SENDS_TWICE):
            # Its buffer is three times that.
            fields.setdefault("chunk", 21_845)
        return self.command("open", service=service, **fields)

    async def peerManual(self, name: str = "stream") -> Service:
        """
        Have the peer open a stream that commands drive by that name.

        @return: our end of it.
        """
        opening = self.peerOpens("manual", name=name)
        service, _ = await together(self.services.arrived("manual", name), opening)
        return cast(Service, service)

    def drive(self, cmd: str, name: str = "stream", **fields: Any) -> Deferred[Message]:
        """
        A command to the peer about a stream of L{peerManual}'s.
        """
        return self.command(cmd, name=name, **fields)

    async def may(self, command: Deferred[Message], what: str) -> Message:
        """
        The reply to a command that the peer's public API may have no means
        for.
        """
        try:
            return await command
        except CommandFailed as failed:
            if failed.unsupported:
                raise notInApi(f"it has no {what}") from None
            raise

    async def alive(self) -> None:
        """
        The session still does its work, in both directions.
        """
        await self.peerOpens("echo", size=100, seed=98)
        await self.weOpen("echo", 100, seed=99)

    async def until(self, condition: Callable[[], bool]) -> None:
        """
        Wait for something that nothing reports.
        """
        while not condition():
            await self.services.pause(POLL)

    async def quiet(self) -> None:
        """
        Wait until no stream is left on our side.
        """
        await self.until(lambda: self.session.statistics().streams == 0)

    # The end.

    async def _ended(self) -> None:
        session = self.session
        session.abort()
        closed = session.whenClosed()
        # With or without an error: the scenario has looked at that.
        closed.addErrback(lambda failure: None)
        await closed

    async def finish(self) -> None:
        """
        End everything, then check what must be true after any session.
        """
        for sibling in self._siblings:
            await sibling.finish()
        if not self._started:
            return
        if self._port is not None:
            await self._port.stopListening()
        if hasattr(self, "session"):
            await self._ended()
        if hasattr(self, "peer"):
            await self.peer.kill()
        for reply in self._replies:
            reply.addErrback(lambda failure: None)

    def check(self) -> None:
        """
        What must be true after any session; for a scenario that did not fail.
        """
        assert self.services.errors == []
        conversations = [*self._callers, *self.services.accepted]
        assert [each for each in conversations if each.losses != 1] == []
        left = set(reactor.getDelayedCalls()) - self._callsBefore
        assert [str(each) for each in left] == []


Play = Callable[[Link], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Scenario:
    """
    One line of the table.

    @ivar title: what the table calls it.
    @ivar play: plays it on a link.
    """

    title: str
    play: Play

    @property
    def name(self) -> str:
        """
        What tests call it.
        """
        return self.title.split(":")[0]


class Scenarios:
    """
    The scenarios of a module, in the order in which they are defined.
    """

    def __init__(self) -> None:
        self.all: list[Scenario] = []

    def __call__(self, title: str) -> Callable[[Play], Play]:
        """
        This function plays the scenario of that title: a short name, a colon,
        and what happens.
        """

        def add(play: Play) -> Play:
            self.all.append(Scenario(title, play))
            return play

        return add
