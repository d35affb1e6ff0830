"""
The build backend: setuptools', and an sdist that holds what git tracks.

setuptools takes the list of what belongs to an sdist from F{MANIFEST.in} at the top of
the tree, where nothing but the project itself lies.  So that list is beside this file,
and this is all that tells setuptools.  Plugins that ask git instead find nothing in a
tree that was unpacked from an sdist.

Plain wheels come out the same, byte by byte, whenever C{SOURCE_DATE_EPOCH} is in the
environment; so do sdists, here.

With the setting C{compile=mypyc} (C{pip install -C compile=mypyc .}) a wheel is for one
platform: beside the sources of the codecs and of the engine lie extension modules that
mypyc has made of them.  It takes mypy and a C compiler.  Editable installs take the
setting, too, and stay plain: what was compiled would not follow an edit.
"""

from __future__ import annotations

import functools
import gzip
import io
import os
import platform
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import setuptools
from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
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

Settings = Mapping[str, str | list[str]]

#: The setting, and its one value.
COMPILE, MYPYC = "compile", "mypyc"
#: What it takes, besides a C compiler; the versions that the code is checked with.
MYPY = "mypy >= 2.4, < 3"
#: What is compiled.  The packages' own modules stay plain: they do nothing often.
COMPILED = ("twisted_mux/engine/[!_]*.py", "twisted_mux/wire/[!_]*.py")


def isCompiled(settings: Settings | None) -> bool:
    """
    Is a compiled wheel asked for?

    @raise ValueError: the setting has a value that means nothing, or there is no mypyc
        for this Python.
    """
    value = (settings or {}).get(COMPILE)
    if value is None:
        return False
    if value != MYPYC:
        raise ValueError(f"{COMPILE}={value}: the only value is {MYPYC}")
    if platform.python_implementation() != "CPython":
        raise ValueError(f"{COMPILE}={MYPYC}: mypyc compiles for CPython only")
    return True


def get_requires_for_build_wheel(
    config_settings: Settings | None = None,
) -> Sequence[str]:
    """
    What building a wheel takes: mypy, if it is to be compiled.
    """
    compiled = [MYPY] if isCompiled(config_settings) else []
    return [*build_meta.get_requires_for_build_wheel(config_settings), *compiled]


def build_wheel(
    wheel_directory: str,
    config_settings: Settings | None = None,
    metadata_directory: str | None = None,
) -> str:
    """
    Build a wheel, plain or compiled.

    @param wheel_directory: where to.
    @param config_settings: ours and setuptools'.
    @param metadata_directory: what C{prepare_metadata_for_build_wheel} has made.

    @return: its name.
    """
    arguments = (wheel_directory, config_settings, metadata_directory)
    if not isCompiled(config_settings):
        return build_meta.build_wheel(*arguments)
    with compiling():
        return build_meta.build_wheel(*arguments)


@contextmanager
def compiling() -> Iterator[None]:
    """
    Have setuptools build extension modules, and leave nothing of that in the tree.

    Where there is no F{setup.py}, all that it runs is C{setuptools.setup()}.
    """
    # Not at the top: it is not there when the first hooks are called.
    from mypyc.build import mypycify

    plain = setuptools.setup
    with tempfile.TemporaryDirectory() as folder:
        sources = sorted(
            path.as_posix() for each in COMPILED for path in Path().glob(each)
        )
        options = [
            # The tree's own settings need plugins, and are for the tree's own checks.
            "--config-file=",
            f"--cache-dir={folder}/cache",
            # Twisted may be there or not; no type that matters is out of it.
            "--ignore-missing-imports",
            "--follow-imports=silent",
        ]
        extensions = mypycify(
            [*options, *sources],
            target_dir=f"{folder}/c",
            # The name of what all of them share; by default it is a hash.
            group_name="twisted_mux",
        )
        more: dict[str, Any] = {
            "ext_modules": extensions,
            "options": {"build": {"build_base": f"{folder}/build"}},
        }
        setuptools.setup = functools.partial(plain, **more)
        try:
            yield
        finally:
            setuptools.setup = plain


def build_sdist(sdist_directory: str, config_settings: Settings | None = None) -> str:
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
