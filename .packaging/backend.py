"""
The build backend: setuptools', and an sdist that holds what git tracks.

setuptools takes the list of what belongs to an sdist from F{MANIFEST.in} at the top of
the tree, where nothing but the project itself lies.  So that list is beside this file,
and this is all that tells setuptools.  Plugins that ask git instead find nothing in a
tree that was unpacked from an sdist.

Wheels come out the same, byte by byte, whenever C{SOURCE_DATE_EPOCH} is in the
environment; so do sdists, here.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)
from setuptools.command.egg_info import manifest_maker

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

manifest_maker.template = ".packaging/MANIFEST.in"


def build_sdist(
    sdist_directory: str, config_settings: dict[str, str | list[str]] | None = None
) -> str:
    """
    Build an sdist.

    @param sdist_directory: where to.
    @param config_settings: setuptools'.

    @return: its name.
    """
    name: str = build_meta.build_sdist(sdist_directory, config_settings)
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        repack(Path(sdist_directory) / name, int(epoch))
    return name


def repack(path: Path, time: int) -> None:
    """
    Write an archive again with one time for all, with no trace of who built it, and in
    the order of names.
    """
    inner = io.BytesIO()
    with (
        tarfile.open(path) as found,
        tarfile.open(fileobj=inner, mode="w", format=tarfile.PAX_FORMAT) as made,
    ):
        for member in sorted(found.getmembers(), key=lambda each: each.name):
            member.mtime = time
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.mode & 0o100 else 0o644
            member.pax_headers = {}
            made.addfile(member, found.extractfile(member))
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=time) as packed,
    ):
        packed.write(inner.getvalue())
