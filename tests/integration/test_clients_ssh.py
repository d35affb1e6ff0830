"""
A server of C{twisted.conch} on streams, with the OpenSSH client.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from twisted.conch.avatar import ConchUser
from twisted.conch.checkers import InMemorySSHKeyDB, SSHPublicKeyChecker
from twisted.conch.interfaces import IConchUser, ISession
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.session import SSHSession
from twisted.cred.portal import IRealm, Portal
from zope.interface import implementer

from tests.integration.forwarder import (
    LOOPBACK,
    ProgramFailed,
    onReactor,
    program,
    reactor,
    run,
    served,
)
from twisted_mux.wire import wireNames

USER = "somebody"
SIZE = 300_000


# Without what OpenSSH is not asked to do here.
@implementer(ISession)
class User(ConchUser):  # type: ignore[misc]
    """
    May run commands.
    """

    def __init__(self) -> None:
        super().__init__()
        self.channelLookup[b"session"] = SSHSession

    def execCommand(self, protocol: Any, command: bytes) -> None:
        self._process = reactor.spawnProcess(
            protocol, "/bin/sh", ["sh", "-c", command.decode()]
        )

    def eofReceived(self) -> None:
        self._process.closeStdin()

    def closed(self) -> None:
        pass


@implementer(IRealm)
class Realm:
    """
    Everybody who gets in is a L{User}.
    """

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        return IConchUser, User(), lambda: None


class Server(SSHFactory):
    """
    Takes one key of one user.
    """

    noisy = False

    def __init__(self, host: Key, user: Key) -> None:
        self.publicKeys = {host.sshType(): host.public()}
        self.privateKeys = {host.sshType(): host}
        checker = SSHPublicKeyChecker(
            InMemorySSHKeyDB({USER.encode(): [user.public()]})
        )
        self.portal = Portal(Realm(), [checker])


def makeKey() -> tuple[Key, bytes]:
    """
    A key for conch, and for OpenSSH.
    """
    private = ed25519.Ed25519PrivateKey.generate()
    text = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    return Key.fromString(text), text


class Client:
    """
    OpenSSH's, and the server that it knows.
    """

    def __init__(self, folder: Path) -> None:
        self._command = program("ssh", "openssh-client")
        self._host, _ = makeKey()
        self._user, text = makeKey()
        self._identity = folder / "identity"
        self._identity.write_bytes(text)
        self._identity.chmod(0o600)
        self._known = folder / "known_hosts"

    def server(self) -> Server:
        """
        The server.
        """
        return Server(self._host, self._user)

    async def talk(self, port: int) -> None:
        """
        A command with so much for its standard input and its output that windows
        move, and one that ends with an exit code: two connections.
        """
        data = bytes(range(250)) * (SIZE // 250)
        self._known.write_bytes(
            b"[%s]:%d " % (LOOPBACK.encode(), port)
            + self._host.public().toString("openssh")
            + b"\n"
        )
        options = [
            *("-F", "none", "-i", str(self._identity), "-p", str(port)),
            *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"),
            *("-o", f"UserKnownHostsFile={self._known}"),
            *("-o", "StrictHostKeyChecking=yes"),
            *("-o", "GlobalKnownHostsFile=none", "-o", "IdentityAgent=none"),
            f"{USER}@{LOOPBACK}",
        ]
        back = await run(self._command, *options, "cat", stdin=data)
        assert len(back) == len(data)
        assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()
        with pytest.raises(ProgramFailed, match="exit code 7"):
            await run(self._command, *options, "exit 7")


@pytest.mark.parametrize("wire", wireNames())
@onReactor
async def test_ssh(wire: str, tmp_path: Path) -> None:
    """
    Commands run through streams of every wire.
    """
    client = Client(tmp_path)
    async with served(wire, client.server()) as there:
        await client.talk(there.port)
        assert there.forwarder.connections == 2
