import asyncio
import sys

from driver import MuxDriver

from twisted_mux.wire.base import Role


class Upper:
    """Answers in upper case: both the reader of a stream, and who hears the rest."""

    def __init__(self, stream):
        self.stream = stream
        stream.receiver = stream.handler = self

    def dataReceived(self, data):
        self.stream.write(data.upper())

    def streamEnded(self):
        self.stream.leave()

    def ignore(self, *arguments):
        pass

    streamAccepted = streamReset = streamLost = ignore
    writeBufferEmptied = writingEnded = receiverFailed = ignore


async def main(port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: MuxDriver(Role.SERVER, Upper), "127.0.0.1", port
    )
    print("listening")
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
