"""
The little that there is to compiling: what is said of it, and what it must not take
away.
"""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec

import pytest

from tests.unit.wire.sinks import RecordingSink
from twisted_mux import __main__ as command
from twisted_mux import compiling
from twisted_mux._version import __version__
from twisted_mux.compiling import isCompiled, versionAndBuild
from twisted_mux.engine import session
from twisted_mux.wire import codecNamed, wireNames
from twisted_mux.wire.base import Codec, Key, Role


def test_isCompiled() -> None:
    """
    It is about what runs here.
    """
    assert session.__file__ is not None
    assert isCompiled() == session.__file__.endswith(tuple(EXTENSION_SUFFIXES))


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("session.py", __version__),
        ("session.cpython-311-x86_64-linux-gnu.so", f"{__version__} (compiled)"),
        ("session.cp313-win_amd64.pyd", f"{__version__} (compiled)"),
    ],
)
def test_version(
    origin: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    C{--version} says it, if it is not plain Python.
    """
    spec = ModuleSpec(session.__name__, None, origin=origin)
    monkeypatch.setattr(compiling, "find_spec", lambda name: spec)
    assert versionAndBuild() == said
    with pytest.raises(SystemExit) as caught:
        command.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"{said}\n"


def test_compilerIsNotNeeded() -> None:
    """
    Nothing of mypy is imported where the code runs.
    """
    assert compiling.mypyc_attr.__module__ == compiling.__name__
    assert compiling.mypyc_attr(allow_interpreted_subclasses=True)(Role) is Role
    assert "mypyc" not in sys.modules


@pytest.mark.parametrize("wire", wireNames())
def test_wiresAreInheritedFrom(wire: str) -> None:
    """
    A wire of one's own may start from any that is there, and what it has anew is what
    its base calls.
    """
    base: type[Codec] = codecNamed(wire)

    class Own(base):  # type: ignore[misc, valid-type]
        name = "own"

        def __init__(self, *args: object) -> None:
            super().__init__(*args)
            self.asked: list[Key] = []

        def payloadHeader(self, key: Key, length: int) -> bytes:
            self.asked.append(key)
            header: bytes = super().payloadHeader(key, length)
            return header

        def keys(self) -> Iterator[Key]:
            return iter([next(super().keys())])

    own = Own(Role.CLIENT, RecordingSink(), 100)
    [key] = own.keys()
    plain = base(Role.CLIENT, RecordingSink(), 100)
    assert own.payloadHeader(key, 5) == plain.payloadHeader(key, 5)
    assert own.asked == [key]
    assert own.maxFrame == 100
    assert own.describeKey(key) == plain.describeKey(key)


@pytest.mark.parametrize("wire", wireNames())
def test_capabilitiesAreCopied(wire: str) -> None:
    """
    What a wire can do is a plain value.
    """
    found = codecNamed(wire).capabilities
    assert copy.copy(found) == found
    assert pickle.loads(pickle.dumps(found)) == found
    assert hash(copy.deepcopy(found)) == hash(found)
