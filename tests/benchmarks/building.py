"""
Builds the Go program, once for each state of its sources, where C{tests/interop}
keeps what it builds.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.interop.peers import CACHE, GO, BuildFailed, locked

HERE = Path(__file__).parent / "go"


def goVersion() -> str | None:
    """
    The toolchain's version; C{None} if there is none.
    """
    if not shutil.which(GO.command):
        return None
    done = subprocess.run(["go", "version"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def goPackages() -> dict[str, str]:
    """
    The versions of the implementations in it.
    """
    lines = (line.split() for line in (HERE / "go.mod").read_text().splitlines())
    return {line[0]: line[1] for line in lines if line and "/" in line[0]}


def _fingerprint() -> str:
    digest = hashlib.sha256(str(goVersion()).encode())
    for path in sorted(HERE.iterdir()):
        digest.update(f"\n{path.name}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def goProgram() -> Path:
    """
    The program, built if need be.

    @raise BuildFailed: with what the toolchain said.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE.parent / ".gitignore").write_text("*\n")
    binary = CACHE / f"go-benchmark-{_fingerprint()}"
    with locked(CACHE / "go-benchmark.lock"):
        if not binary.exists():
            partial = CACHE / "go-partial-benchmark"
            command = ["go", "build", "-trimpath", "-mod=readonly", "-o"]
            done = subprocess.run(
                [*command, str(partial), "."],
                cwd=HERE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            if done.returncode:
                raise BuildFailed(done.stdout)
            for old in CACHE.glob("go-benchmark-*"):
                old.unlink()
            # Not there until it is whole.
            partial.rename(binary)
    return binary
