"""
The processes of what is a program of its own and carries other programs' connections:
OpenSSH's port forwards, and C{twist mux} for comparison with them.

The client's connections go to the near end on loopback, over one carrier to the far
end, and from there to the server on loopback: two more hops than a library needs, which
are part of what is measured.  Client and server are those of C{twisted_worker}.

Run by the harness: C{ROLE WIRE JOB [PORTS]}, with the wire C{ssh} or one of ours.  What
is started here is in the harness's process group, which it ends, and keeps the alarm of
this process, should there be no harness any more.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.logger import globalLogBeginner

from tests.benchmarks.job import SSH, Job, sshd
from tests.benchmarks.workers.reporting import fatal, limited, raiseLimits, say
from tests.benchmarks.workers.twisted_worker import (
    BACKLOG,
    LOOPBACK,
    Client,
    Observer,
    Server,
    failed,
    reactor,
)

#: What sshd needs there if root starts it; its service would make it.
_PRIVILEGE_SEPARATION = Path("/run/sshd")
_SSHD_CONFIG = """
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
PrintMotd no
LogLevel ERROR
"""
_SSH_OPTIONS = {
    "BatchMode": "yes",
    "ExitOnForwardFailure": "yes",
    "IdentitiesOnly": "yes",
    "StrictHostKeyChecking": "accept-new",
    "GlobalKnownHostsFile": "none",
    "LogLevel": "ERROR",
    # It is called when the forwards are there.
    "PermitLocalCommand": "yes",
    "LocalCommand": "echo ready",
}


def shared() -> Path:
    """
    A folder that both processes have, and that the harness removes.
    """
    return Path(tempfile.gettempdir())


def start(command: Sequence[str], limit: int, **how: Any) -> subprocess.Popen[str]:
    """
    Start a program that does not outlive the job for long.
    """

    # The alarm goes on over exec, not over fork.
    def alarmed() -> None:
        signal.alarm(limit)

    return subprocess.Popen(command, preexec_fn=alarmed, text=True, **how)


def freePort() -> int:
    """
    A port that nobody has: C{ssh -L} can't choose one itself.  Should somebody take it
    meanwhile, ssh says so and ends, and the measurement fails.
    """
    with socket.socket() as chosen:
        chosen.bind((LOOPBACK, 0))
        port: int = chosen.getsockname()[1]
        return port


# OpenSSH.


def serveSSH(target: int, limit: int) -> None:
    """
    Accept one carrier, and give it to an sshd of its own, with keys and a
    configuration of its own.
    """
    folder = shared()
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f"]
        subprocess.run([*command, folder / name], check=True)
    config = folder / "sshd_config"
    config.write_text(_SSHD_CONFIG.format(folder=folder))
    if os.geteuid() == 0:
        _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    listener = socket.create_server((LOOPBACK, 0))

    def accept() -> None:
        carrier, _ = listener.accept()
        program = sshd()
        assert program is not None
        # -i: the carrier is standard input and output.
        command = [program, "-i", "-e", "-f", str(config)]
        with carrier:
            start(command, limit, stdin=carrier, stdout=carrier)

    threading.Thread(target=accept, daemon=True).start()
    say(port=f"{listener.getsockname()[1]}:{target}")


def dialSSH(ports: str, limit: int) -> int:
    """
    Forward a port with ssh.

    @return: that port.
    """
    carrier, target = ports.split(":")
    near = freePort()
    options = [f"-o{name}={value}" for name, value in _SSH_OPTIONS.items()]
    options.append(f"-oUserKnownHostsFile={shared() / 'known_hosts'}")
    forward = f"{LOOPBACK}:{near}:{LOOPBACK}:{target}"
    command = ["ssh", "-F", "none", "-i", str(shared() / "user"), *options]
    command += ["-N", "-L", forward, "-p", carrier, LOOPBACK]
    process = start(command, limit, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if not lines(process).readline():
        fatal("ssh has ended")
    return near


# twist mux.


def lines(process: subprocess.Popen[str]) -> IO[str]:
    """
    What it writes.
    """
    assert process.stdout is not None
    return process.stdout


def twist(source: str, target: str, limit: int) -> int:
    """
    Start C{twist mux}.

    @return: the port where it listens.
    """
    command = [sys.executable, "-m", "twisted", "mux", "--log-format", "json"]
    command += ["--from", source, "--to", target]
    process = start(command, limit, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    for line in lines(process):
        if "connections at" in line:
            # Whatever else it says must not fill the pipe.
            threading.Thread(target=lines(process).read, daemon=True).start()
            return int(json.loads(line)["address"].rpartition(":")[2])
    fatal("twist mux has ended")
    raise AssertionError


def serveTwist(target: int, wire: str, limit: int) -> None:
    """
    The far end.
    """
    source = f"mux:tcp:0:wire={wire}"
    say(port=twist(source, f"tcp:{LOOPBACK}:{target}", limit))


def dialTwist(ports: str, wire: str, limit: int) -> int:
    """
    The near end.
    """
    target = f"mux:tcp:{LOOPBACK}:{ports}:wire={wire}"
    return twist("tcp:0", target, limit)


def serve(job: Job, wire: str) -> None:
    """
    Be the server, and the tunnel's far end.
    """

    def listening(port: IListeningPort) -> None:
        target = cast(Any, port.getHost()).port
        if wire == SSH:
            serveSSH(target, job.limit)
        else:
            serveTwist(target, wire, job.limit)

    endpoint = TCP4ServerEndpoint(reactor, 0, BACKLOG, LOOPBACK)
    endpoint.listen(Server(job)).addCallback(listening).addErrback(failed)


def dial(job: Job, wire: str, ports: str) -> None:
    """
    Be the client, and the tunnel's near end.
    """
    if wire == SSH:
        near = dialSSH(ports, job.limit)
    else:
        near = dialTwist(ports, wire, job.limit)
    Client(job, TCP4ClientEndpoint(reactor, LOOPBACK, near)).start()


def main(role: str, wire: str, text: str, ports: str = "") -> None:
    """
    Do it.
    """
    job = Job.decode(text)
    limited(job)
    raiseLimits()
    globalLogBeginner.beginLoggingTo([Observer()], redirectStandardIO=False)
    if role == "server":
        reactor.callWhenRunning(serve, job, wire)
    else:
        reactor.callWhenRunning(dial, job, wire, ports)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
