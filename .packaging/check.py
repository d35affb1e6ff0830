"""
Checks a release, C{check.py CHECKOUT DIST}: the sdist holds what git tracks, the wheel
holds the package and the plugin out of it, both byte by byte and nothing else, and what
they say of themselves is what F{setup.cfg} says.

So whoever tests a checkout, an sdist or an installed wheel tests the same thing.
"""

from __future__ import annotations

import configparser
import email.parser
import email.policy
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

#: What setuptools puts into every sdist.
MADE = re.compile(r"PKG-INFO|\w+\.egg-info/[\w.-]+")

#: setuptools writes it anew, with one section more.
REWRITTEN, ADDED = "setup.cfg", "egg_info"

#: The parts of the tree that get installed.
INSTALLED = ("twisted/", "twisted_mux/")


def tracked(checkout: Path) -> dict[str, bytes]:
    """
    The files that git knows, as they are on the disk.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=checkout, capture_output=True, check=True
    )
    names = listed.stdout.decode().rstrip("\0").split("\0")
    return {name: (checkout / name).read_bytes() for name in names}


def unpackedSdist(path: Path) -> dict[str, bytes]:
    """
    The files of an sdist, without the folder that all of them lie in.
    """
    with tarfile.open(path) as archive:
        found = ((each.name, archive.extractfile(each)) for each in archive)
        return {
            name.partition("/")[2]: file.read()
            for name, file in found
            if file is not None
        }


def unpackedWheel(path: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """
    The files of a wheel, and those about it.
    """
    files, about = {}, {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            folder, _, rest = name.partition(".dist-info/")
            if rest:
                about[rest] = archive.read(name)
            else:
                files[folder] = archive.read(name)
    return files, about


def differences(
    what: str, found: dict[str, bytes], expected: dict[str, bytes]
) -> Iterator[str]:
    """
    What one of them holds that the other does not.
    """
    for name in sorted(expected.keys() - found.keys()):
        yield f"{what}: {name} is missing"
    for name in sorted(found.keys() - expected.keys()):
        yield f"{what}: {name} does not belong there"
    for name in sorted(found.keys() & expected.keys()):
        if found[name] != expected[name]:
            yield f"{what}: {name} differs"


def configuration(text: bytes) -> configparser.ConfigParser:
    """
    What F{setup.cfg} says.
    """
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text.decode())
    return parser


def metadataFaults(what: str, text: bytes, checkout: Path) -> Iterator[str]:
    """
    What the metadata should say, and do not.
    """
    policy = email.policy.EmailPolicy(utf8=True, refold_source="none")
    found = email.parser.BytesParser(policy=policy).parsebytes(text)
    setup = configuration((checkout / "setup.cfg").read_bytes())
    metadata = setup["metadata"]
    source = (checkout / "twisted_mux" / "_version.py").read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    expected = {
        "Name": [metadata["name"]],
        "Version": [version[1] if version else "a version"],
        "Summary": [metadata["description"]],
        "License": [metadata["license"]],
        "License-File": ["LICENSE"],
        "Requires-Python": [setup["options"]["python_requires"]],
        "Classifier": metadata["classifiers"].split("\n")[1:],
        "Provides-Extra": list(setup["options.extras_require"]),
    }
    for field, values in expected.items():
        if sorted(found.get_all(field, [])) != sorted(values):
            yield f"{what}: {field} is {found.get_all(field)}, not {values}"
    if found.get_content() != (checkout / "README.md").read_text(encoding="utf-8"):
        yield f"{what}: its description is not README.md"


def faults(checkout: Path, dist: Path) -> Iterator[str]:
    """
    All that is wrong with a release.
    """
    sdists, wheels = list(dist.glob("*.tar.gz")), list(dist.glob("*.whl"))
    if len(sdists) != 1 or len(wheels) != 1 or len(list(dist.iterdir())) != 2:
        yield f"not one sdist and one wheel: {[each.name for each in dist.iterdir()]}"
        return
    source = tracked(checkout)
    sdist = unpackedSdist(sdists[0])
    yield from metadataFaults("sdist", sdist["PKG-INFO"], checkout)
    setup = configuration(sdist.pop(REWRITTEN))
    setup.remove_section(ADDED)
    if setup != configuration(source.pop(REWRITTEN)):
        yield f"sdist: {REWRITTEN} differs"
    yield from differences(
        "sdist",
        {name: data for name, data in sdist.items() if not MADE.fullmatch(name)},
        source,
    )

    files, about = unpackedWheel(wheels[0])
    yield from metadataFaults("wheel", about["METADATA"], checkout)
    yield from differences(
        "wheel",
        files,
        {name: data for name, data in source.items() if name.startswith(INSTALLED)},
    )
    if about.get("licenses/LICENSE") != source["LICENSE"]:
        yield "wheel: no licence"
    for line in (b"Root-Is-Purelib: true", b"Tag: py3-none-any"):
        if line not in about["WHEEL"].splitlines():
            yield f"wheel: not {line.decode()}"


found = list(faults(Path(sys.argv[1]), Path(sys.argv[2])))
if found:
    sys.exit("\n".join(found))
print("the release holds what it should")
