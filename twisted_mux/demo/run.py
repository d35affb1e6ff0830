"""
The demo itself: a web server, a web client and, between them, two strings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import coiterate
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool, ResponseDone
from twisted.web.iweb import IAgentEndpointFactory, IResponse
from twisted.web.server import Site
from twisted.web.static import File
from zope.interface import implementer

from twisted_mux.demo.files import ServedFile, findFiles, hashFiles
from twisted_mux.demo.report import Report, WireResult

__all__ = ["Demo"]

SERVER = "mux:tcp:0:interface=127.0.0.1:wire={wire}:muxMaxStreams={limit}"
# The server sees a stream's end later than the client, who by then may have opened
# the next ones: so many more than are in use.
SLACK = 1000
CLIENT = "mux:tcp:127.0.0.1:{port}:wire={wire}"


class Demo:
    """
    One run of the demo, over all the wires that it was asked for.

    @ivar results: what came of the wires that are through.
    @ivar interrupted: the reactor was stopped before L{run} was through.
    """

    def __init__(
        self, path: Path, wires: Sequence[str], streams: int, report: Report
    ) -> None:
        self.results: list[WireResult] = []
        self.interrupted = False
        self._path = path
        self._wires = wires
        self._streams = streams
        self._report = report
        self._finished = False

    async def run(self, reactor: Any) -> None:
        """
        Serve and fetch; the outcome is in L{results}.  A file that can't be fetched
        or differs is part of it, not an exception.
        """
        reactor.addSystemEventTrigger("before", "shutdown", self._shuttingDown)
        try:
            await self._runWires(reactor)
        finally:
            self._finished = True

    def _shuttingDown(self) -> None:
        self.interrupted = not self._finished

    async def _runWires(self, reactor: Any) -> None:
        # Before the files are read: looking for the plugin may write Twisted's cache
        # of plugins, which lies in the folder that is served by default.
        servers = {
            wire: serverFromString(
                reactor, SERVER.format(wire=wire, limit=self._streams + SLACK)
            )
            for wire in self._wires
        }
        files = list(findFiles(self._path))
        digests: dict[str, str] = {}
        await coiterate(hashFiles(files, digests))
        for wire, server in servers.items():
            if not self.interrupted:
                await self._runWire(reactor, wire, server, files, digests)

    async def _runWire(
        self,
        reactor: Any,
        wire: str,
        server: IStreamServerEndpoint,
        files: Sequence[ServedFile],
        digests: Mapping[str, str],
    ) -> None:
        port: Any = await server.listen(Site(File(str(self._path))))
        client = clientFromString(
            reactor, CLIENT.format(wire=wire, port=port.getHost().port)
        )
        result = WireResult(wire, len(files))
        fetching = Fetching(agentOver(reactor, client), result, self._report)
        began = reactor.seconds()
        await fetching.fetchAll(self._unlessInterrupted(files), digests, self._streams)
        result.seconds = reactor.seconds() - began
        result.connections = port.carriersAccepted
        if not self.interrupted:
            self.results.append(result)
            for session in tuple(port.sessions):
                session.close()
            await maybeDeferred(port.stopListening)

    def _unlessInterrupted(self, files: Sequence[ServedFile]) -> Iterator[ServedFile]:
        """
        The files, until the reactor stops: from then on every fetch would fail.
        """
        for served in files:
            if self.interrupted:
                return
            yield served


def agentOver(reactor: Any, endpoint: IStreamClientEndpoint) -> Agent:
    """
    An Agent that sends every request over a new connection of one endpoint.
    """
    pool = HTTPConnectionPool(reactor, persistent=False)
    agent: Agent = Agent.usingEndpointFactory(reactor, _OneEndpoint(endpoint), pool)
    return agent


@implementer(IAgentEndpointFactory)
class _OneEndpoint:
    """
    Whatever the URI, the same endpoint.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """
        See L{IAgentEndpointFactory}.
        """
        return self._endpoint


class Fetching:
    """
    Workers that take files from one list until it is empty.
    """

    def __init__(self, agent: Agent, result: WireResult, report: Report) -> None:
        self._agent = agent
        self._result = result
        self._report = report
        self._underWay = 0

    async def fetchAll(
        self, files: Iterator[ServedFile], digests: Mapping[str, str], streams: int
    ) -> None:
        """
        Fetch all files, C{streams} at a time, and compare their SHA-256 with
        C{digests}.
        """
        workers = min(streams, self._result.files)
        await gatherResults(
            [Deferred.fromCoroutine(self._work(files, digests)) for _ in range(workers)]
        )

    async def _work(
        self, files: Iterator[ServedFile], digests: Mapping[str, str]
    ) -> None:
        result = self._result
        for served in files:
            self._underWay += 1
            result.streams = max(result.streams, self._underWay)
            try:
                await self._fetch(served, digests[served.name])
            except Exception as error:
                result.addFailure(served.name, error)
            else:
                result.verified += 1
            self._underWay -= 1
            self._report(result)

    async def _fetch(self, served: ServedFile, digest: str) -> None:
        response: IResponse = await self._agent.request(b"GET", served.url)
        body = BodyHasher()
        response.deliverBody(body)
        received = await body.done
        if response.code != 200:
            raise ValueError(f"the server answered {response.code}")
        self._result.bytes += body.length
        if received != digest:
            raise ValueError("its SHA-256 is not that of the file on the disk")


class BodyHasher(Protocol):
    """
    Hashes a response's body as it comes, and keeps none of it.

    @ivar length: how many bytes have come.
    @ivar done: fires with the SHA-256 when the body has come to its end, fails
        when it broke off.
    """

    def __init__(self) -> None:
        self.length = 0
        self.done: Deferred[str] = Deferred()
        self._digest = sha256()

    def dataReceived(self, data: bytes) -> None:
        """
        A part of the body.
        """
        self.length += len(data)
        self._digest.update(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The end of the body, or of the connection.
        """
        if reason.check(ResponseDone):
            self.done.callback(self._digest.hexdigest())
        else:
            self.done.errback(reason)
