"""
The driver for asyncio of the documentation, under load, and without Twisted.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.integration.programs import ROOT, environment

SCRIPT = r"""
import asyncio, hashlib, sys

from driver import MuxDriver
from twisted_mux.wire.base import Role

STREAMS, SIZE = 20, 1_000_000


class Owner:
    def __init__(self, stream):
        self.stream = stream
        self.sum = hashlib.sha256()
        self.count = 0
        self.done = asyncio.get_running_loop().create_future()
        stream.receiver = stream.handler = self

    def ignore(self, *arguments):
        pass

    streamAccepted = streamReset = streamLost = streamEnded = ignore
    writeBufferEmptied = writingEnded = ignore

    def receiverFailed(self):
        sys.excepthook(*sys.exc_info())


class Echo(Owner):
    def dataReceived(self, data):
        self.stream.write(data)

    def streamEnded(self):
        self.stream.leave()


class Sender(Owner):
    def dataReceived(self, data):
        self.count += len(data)
        self.sum.update(data)

    def streamEnded(self):
        self.stream.leave()
        self.done.set_result(self.sum.hexdigest())


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: MuxDriver(Role.SERVER, Echo, sys.argv[1]), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    transport, mux = await loop.create_connection(
        lambda: MuxDriver(Role.CLIENT, wire=sys.argv[1]), "127.0.0.1", port
    )
    # Full after each write: the driver has to wait for its turn.
    transport.set_write_buffer_limits(0)
    senders, sums = [], []
    for number in range(STREAMS):
        data = bytes([number]) * SIZE
        sender = Sender(mux.session.openStream(None))
        mux.session.start(sender.stream)
        sender.stream.write(data)
        sender.stream.endWriting()
        senders.append(sender)
        sums.append(hashlib.sha256(data).hexdigest())
    assert await asyncio.gather(*(each.done for each in senders)) == sums
    assert not mux.session.streams
    mux.session.drain(loop.time(), 10)
    await mux.ended.wait()
    server.close()
    assert "twisted" not in sys.modules
    print("done")


asyncio.run(asyncio.wait_for(main(), 60))
"""


def test_load(tmp_path: Path) -> None:
    """
    Twenty megabytes on twenty streams at once go there and back, on a wire with credit
    and on one without; then the session is drained.
    """
    example = ROOT / "docs" / "examples" / "without_twisted"
    for wire in ("yamux", "smux2", "mplex"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT, wire],
            cwd=tmp_path,
            env=environment(PYTHONPATH=f"{ROOT}:{example}"),
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert (done.returncode, done.stderr, done.stdout) == (0, "", "done\n"), wire
