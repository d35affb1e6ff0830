import sys

from application import Sum
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.task import react
from twisted.protocols.amp import AMP
from twisted.protocols.basic import LineReceiver


class Member(LineReceiver):
    def __init__(self, name):
        self.name = name
        self.heard = Deferred()

    def lineReceived(self, line):
        print(self.name, "hears:", line.decode())
        if not self.heard.called:
            self.heard.callback(None)


async def main(reactor, chat, calculator):
    chat = clientFromString(reactor, chat)
    ann = await connectProtocol(chat, Member("Ann"))
    bob = await connectProtocol(chat, Member("Bob"))
    bob.sendLine(b"hello, this is Bob")
    await ann.heard
    await bob.heard

    amp = await connectProtocol(clientFromString(reactor, calculator), AMP())
    answer = await amp.callRemote(Sum, a=13, b=81)
    print("13 + 81 =", answer["total"])


react(main, sys.argv[1:])
