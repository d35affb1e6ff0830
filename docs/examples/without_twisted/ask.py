import asyncio
import sys

from driver import MuxDriver

from twisted_mux.wire.base import Role


class Asker:
    def __init__(self, stream):
        self.answer = asyncio.get_running_loop().create_future()
        self.stream = stream
        stream.receiver = stream.handler = self

    def dataReceived(self, data):
        self.answer.set_result(data)
        self.stream.leave()

    def streamLost(self, error):
        self.answer.set_exception(ConnectionError(str(error)))

    def ignore(self, *arguments):
        pass

    streamAccepted = streamEnded = streamReset = ignore
    writeBufferEmptied = writingEnded = receiverFailed = ignore


async def main(port):
    loop = asyncio.get_running_loop()
    _, mux = await loop.create_connection(
        lambda: MuxDriver(Role.CLIENT), "127.0.0.1", port
    )
    for word in (b"one\n", b"two\n", b"three\n"):
        stream = mux.session.openStream(None)
        asker = Asker(stream)
        mux.session.start(stream)
        stream.write(word)
        print("answer:", (await asker.answer).decode().strip())
    mux.session.drain(loop.time(), 10)
    await mux.ended.wait()


asyncio.run(main(int(sys.argv[1])))
