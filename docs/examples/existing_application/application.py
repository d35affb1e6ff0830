"""
A chat and a calculator.  Neither knows what it runs on.
"""

from twisted.internet.protocol import ServerFactory
from twisted.protocols.amp import AMP, Command, Integer
from twisted.protocols.basic import LineReceiver


class Chat(LineReceiver):
    def connectionMade(self):
        print("chat from", self.transport.getPeer())
        self.factory.members.append(self)

    def lineReceived(self, line):
        for member in self.factory.members:
            member.sendLine(line)

    def connectionLost(self, reason):
        self.factory.members.remove(self)


class ChatFactory(ServerFactory):
    protocol = Chat

    def __init__(self):
        self.members = []


class Sum(Command):
    arguments = [(b"a", Integer()), (b"b", Integer())]
    response = [(b"total", Integer())]


class Calculator(AMP):
    def connectionMade(self):
        super().connectionMade()
        print("calculator from", self.transport.getPeer())

    @Sum.responder
    def sum(self, a, b):
        return {"total": a + b}
