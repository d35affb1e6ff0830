"""
All targets, and where their inputs are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from tests.fuzz import beginnings, codecs, sessions
from tests.fuzz.target import Target

_HERE = Path(__file__).parent
#: The inputs that everybody has: a folder for each target.
CORPUS = _HERE / "corpus"
#: What git ignores: inputs that reached something new, and, in C{found}, those
#: that found something.
WORK = _HERE / "work"
FOUND = WORK / "found"


def _find(data: bytes) -> None:
    if len(data) > 8:
        raise ZeroDivisionError


#: A target that has something to be found, for the test of all this.
CANARY = Target("canary", _find, lambda: [b"F"])


@cache
def targets() -> Mapping[str, Target]:
    """
    Every target by its name.
    """
    found = chain(codecs.targets(), sessions.targets(), beginnings.targets())
    return MappingProxyType({target.name: target for target in found})


def inputs(folder: Path) -> Iterator[Path]:
    """
    The inputs in a folder, which need not be there.
    """
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.is_file())


#: How the names of inputs begin that once found something: they are kept.
KEPT = "found-"


def store(folder: Path, data: bytes, prefix: str = "") -> Path:
    """
    Write an input, under the name that its content gives it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{prefix}{sha256(data).hexdigest()[:16]}"
    path.write_bytes(data)
    return path
