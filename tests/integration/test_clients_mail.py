"""
Servers of C{twisted.mail} on streams, with the standard library's blocking clients.
"""

from __future__ import annotations

import imaplib
import smtplib
from email.message import EmailMessage
from io import BytesIO
from typing import Any, cast

import pytest
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.mail import imap4, smtp
from zope.interface import implementer

from tests.integration.certificates import HOST, Certificates
from tests.integration.forwarder import inThread, onReactor, served
from twisted_mux.wire import wireNames

wires = pytest.mark.parametrize("wire", wireNames())

USER = "somebody"
PASSWORD = "something"
LINES = [f"line {number} of a message of some length" for number in range(4000)]


@implementer(smtp.IMessage)
class Message:
    """
    A message that is delivered into a list.
    """

    def __init__(self, delivered: list[list[bytes]]) -> None:
        self._delivered = delivered
        self._lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        self._lines.append(line)

    def eomReceived(self) -> Deferred[None]:
        self._delivered.append(self._lines)
        return succeed(None)

    def connectionLost(self) -> None:
        raise AssertionError("it was lost within a message")


@implementer(smtp.IMessageDelivery)
class Delivery:
    """
    Takes all messages.
    """

    def __init__(self, delivered: list[list[bytes]]) -> None:
        self._delivered = delivered

    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:
        client: bytes = helo[0]
        return b"Received: from " + client

    def validateFrom(self, helo: Any, origin: Any) -> Any:
        return origin

    def validateTo(self, user: Any) -> Any:
        return lambda: Message(self._delivered)


@wires
@onReactor
async def test_smtplib(wire: str, certificates: Certificates) -> None:
    """
    STARTTLS, and a message under it.
    """
    delivered: list[list[bytes]] = []

    def build() -> smtp.ESMTP:
        protocol = smtp.ESMTP(contextFactory=certificates.serverContext())
        protocol.delivery = Delivery(delivered)
        protocol.host = HOST.encode()
        return protocol

    factory: Any = smtp.SMTPFactory()
    factory.noisy = False
    factory.buildProtocol = lambda address: _with(build(), factory)
    message = EmailMessage()
    message["Subject"] = "on a stream"
    message.set_content("\n".join(LINES))

    def send(port: int) -> dict[str, Any]:
        with smtplib.SMTP(HOST, port, HOST, timeout=20) as client:
            client.ehlo()
            assert client.has_extn("starttls")
            client.starttls(context=certificates.standardContext())
            return client.send_message(message, "from@example.org", "to@example.org")

    async with served(wire, factory) as there:
        assert await inThread(send, there.port) == {}
    [lines] = delivered
    assert b"Subject: on a stream" in lines
    assert [line.decode() for line in lines[-len(LINES) :]] == LINES


def _with(protocol: Any, factory: Factory) -> Any:
    protocol.factory = factory
    return protocol


# These two without what imaplib does not ask for here.
@implementer(imap4.IMailbox)
class Mailbox:  # type: ignore[misc]
    """
    Messages in memory.
    """

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def getFlags(self) -> list[str]:
        return ["\\Seen"]

    def getHierarchicalDelimiter(self) -> str:
        return "/"

    def getUIDValidity(self) -> int:
        return 1

    def getUIDNext(self) -> int:
        return len(self.messages) + 1

    def getUID(self, message: int) -> int:
        return message

    def getMessageCount(self) -> int:
        return len(self.messages)

    def getRecentCount(self) -> int:
        return 0

    def getUnseenCount(self) -> int:
        return 0

    def isWriteable(self) -> bool:
        return True

    def requestStatus(self, names: Any) -> Any:
        return imap4.statusRequestHelper(self, names)

    def addListener(self, listener: object) -> None:
        pass

    def removeListener(self, listener: object) -> None:
        pass

    def addMessage(self, message: Any, flags: Any = (), date: Any = None) -> Any:
        self.messages.append(message.read())
        return succeed(None)

    def fetch(self, messages: Any, uid: bool) -> list[tuple[int, Stored]]:
        messages.last = len(self.messages)
        return [
            (number, Stored(number, self.messages[number - 1])) for number in messages
        ]


@implementer(imap4.IMessage, imap4.IMessageFile)
class Stored:  # type: ignore[misc]
    """
    One of them.
    """

    def __init__(self, number: int, content: bytes) -> None:
        self._number = number
        self._content = content

    def getUID(self) -> int:
        return self._number

    def getFlags(self) -> list[str]:
        return []

    def getInternalDate(self) -> str:
        return "01-Jan-2026 00:00:00 +0000"

    def getSize(self) -> int:
        return len(self._content)

    def open(self) -> BytesIO:
        return BytesIO(self._content)

    def getHeaders(self, negate: bool, *names: str) -> dict[str, str]:
        return {}

    def getBodyFile(self) -> BytesIO:
        return self.open()

    def isMultipart(self) -> bool:
        return False


@implementer(IRealm)
class Realm:
    """
    One account for all.
    """

    def __init__(self, mailbox: Mailbox) -> None:
        account: Any = imap4.MemoryAccount(b"account")
        account._emptyMailbox = lambda name, number: mailbox
        account.create("INBOX")
        self._account = account

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        return imap4.IAccount, self._account, lambda: None


@wires
@onReactor
async def test_imaplib(wire: str, certificates: Certificates) -> None:
    """
    STARTTLS, then a message is stored and fetched.
    """
    mailbox = Mailbox()
    checker = InMemoryUsernamePasswordDatabaseDontUse()
    checker.addUser(USER.encode(), PASSWORD.encode())
    portal = Portal(Realm(mailbox), [checker])
    content = "\r\n".join(["Subject: on a stream", "", *LINES]).encode()

    class Server(imap4.IMAP4Server):
        def __init__(self) -> None:
            super().__init__(contextFactory=certificates.serverContext())
            self.portal: Any = portal

    def visit(port: int) -> bytes:
        with imaplib.IMAP4(HOST, port, timeout=20) as client:
            client.starttls(certificates.standardContext())
            client.login(USER, PASSWORD)
            assert client.select()[0] == "OK"
            assert client.append("INBOX", r"(\Seen)", "", content)[0] == "OK"
            fetched: Any = client.fetch("1", "(RFC822)")
            kind, [(_, message), _] = fetched
            assert kind == "OK"
            return cast(bytes, message)

    async with served(wire, Factory.forProtocol(Server)) as there:
        assert await inThread(visit, there.port) == content
    assert mailbox.messages == [content]
