"""
The files that the demo serves, and what the disk says they hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

__all__ = ["ServedFile", "findFiles", "hashFiles"]

CHUNK = 1 << 20


@dataclass(frozen=True)
class ServedFile:
    """
    A file below the served folder.

    @ivar name: its path relative to the folder, with slashes.
    @ivar path: where it is.
    """

    name: str
    path: Path

    @property
    def url(self) -> bytes:
        """
        Where a Site that serves the folder has it.  The host stands for nothing:
        the demo's Agent has one endpoint for all.
        """
        return b"http://demo/" + quote(self.name).encode("ascii")


def findFiles(root: Path) -> Iterator[ServedFile]:
    """
    Every file below C{root} that L{twisted.web.static.File} serves as it is:
    regular, readable, and with a name in UTF-8.  Symbolic links are left out.
    """
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_symlink() or not path.is_file() or not os.access(path, os.R_OK):
                continue
            relative = path.relative_to(root).as_posix()
            if _isText(relative):
                yield ServedFile(relative, path)


def _isText(name: str) -> bool:
    """
    Whether a file's name is more than bytes that Python could not decode.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def hashFiles(files: Iterable[ServedFile], into: dict[str, str]) -> Iterator[None]:
    """
    Put the SHA-256 of each file into a dictionary, under the file's name.

    @return: an iterator that does one bounded piece of the work per step, for
        L{twisted.internet.task.coiterate}.
    """
    for served in files:
        digest = sha256()
        with served.path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                yield
        into[served.name] = digest.hexdigest()
