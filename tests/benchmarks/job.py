"""
What the two processes of a measurement are asked to do: one L{Job}, the same for
every implementation, which goes to them as JSON (the Go program reads it too).

Both are started with C{ROLE WIRE JOB}, a client with the server's port behind it.
What they have to say is one JSON object a line on standard output: C{port} by a
server, and C{result}, by the side that L{Job.reporter} names.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

#: Bytes of one write in bulk.
BLOCK_SIZE = 64 * 1024
#: Bytes of one message.
MESSAGE_SIZE = 64
#: The first byte of a message; everything else is bulk.
ECHO = b"e"
#: Kinds of jobs that take one process only.
ALONE = ("frames", "idle", "calls", "link")
#: In the place of a wire's name: no mux, but one connection for each stream;
TCP = "tcp"
#: and channels of SSH.
SSH = "ssh"
#: Seconds that connecting, and opening streams, may take.
PATIENCE = 60


@dataclass(frozen=True)
class Job:
    """
    One measurement.

    @ivar kind: C{"bulk"}: the client writes blocks on all streams, the server
        counts.  C{"echo"}: on each stream one message is under way, and the
        server sends it back.  C{"churn"}: so many streams at once are opened,
        have one message echoed, and are closed, again and again.
        C{"memory"}: so many streams have one message echoed, and stay.  Those of
        L{ALONE} are C{workers/alone.py}'s.
    @ivar streams: how many are active; without a mux, connections.
    @ivar bulk: how many bulk streams run beside those that echo.
    @ivar idle: how many more have one message echoed first, and stay.
    @ivar latency: note the time of each round trip, not just their number.
    @ivar warm: seconds before the measurement begins,
    @ivar seconds: and those that it lasts.
    @ivar pull: blocks are written by a pull producer, not by a push producer.
    @ivar config: fields of C{MuxConfig} that are not as by default.
    """

    kind: str
    streams: int = 1
    bulk: int = 0
    idle: int = 0
    latency: bool = False
    warm: float = 0.2
    seconds: float = 0.6
    pull: bool = False
    config: Mapping[str, int] = field(default_factory=dict)

    @property
    def reporter(self) -> str:
        """
        The role of the process that has the result.
        """
        if self.alone:
            return "alone"
        return "server" if self.kind in ("bulk", "memory") else "client"

    @property
    def alone(self) -> bool:
        """
        Is there just one process?
        """
        return self.kind in ALONE

    @property
    def limit(self) -> int:
        """
        Seconds after which a process that is still there ends itself.
        """
        return int(PATIENCE + self.warm + self.seconds)

    def lasting(self, warm: float, seconds: float) -> Job:
        """
        The same with other times.
        """
        return replace(self, warm=warm, seconds=seconds)

    def encode(self) -> str:
        """
        As JSON.
        """
        return json.dumps({**asdict(self), "limit": self.limit})

    @classmethod
    def decode(cls, text: str) -> Job:
        """
        From JSON.
        """
        values = json.loads(text)
        del values["limit"]
        return cls(**values)


def message(number: int) -> bytes:
    """
    What is echoed on a stream: on no two streams the same.
    """
    return (ECHO + b"%d," % number).ljust(MESSAGE_SIZE, b".")


def sshd() -> str | None:
    """
    Where OpenSSH's server is; by default it is on no user's path.
    """
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
