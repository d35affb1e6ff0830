from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver


class Asker(LineReceiver):
    def __init__(self, line):
        self.line = line
        self.answer = Deferred()

    def connectionMade(self):
        self.sendLine(self.line)

    def lineReceived(self, line):
        self.answer.callback(line)
        self.transport.loseConnection()


async def ask(endpoint, line):
    asker = await connectProtocol(endpoint, Asker(line))
    print("answer:", (await asker.answer).decode())


async def main(reactor):
    endpoint = clientFromString(reactor, "mux:tcp:127.0.0.1:7000")
    words = [b"one", b"two", b"three"]
    await gatherResults([Deferred.fromCoroutine(ask(endpoint, w)) for w in words])


react(main)
