"""
What there is to compiling a part of the package.

The codecs and the engine may be compiled by mypyc, which is asked for when the wheel
is built; then extension modules lie beside their sources.  Nothing else differs, so
nothing in the package asks which of the two it is.  Only who measures and who reports
a bug wants to know.

mypyc makes classes that plain Python can't inherit from, unless they say so by a
decorator out of mypy_extensions.  It is looked for by the compiler alone, so
mypy_extensions does not have to be there when the code runs.
"""

from __future__ import annotations

from importlib.machinery import SOURCE_SUFFIXES
from importlib.util import find_spec
from typing import TYPE_CHECKING

from twisted_mux._version import __version__

__all__ = ["isCompiled", "mypyc_attr", "versionAndBuild"]

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**attributes):
        """
        Decorate a class with what mypyc has to know of it: here, leave it as it is.
        """
        return lambda decorated: decorated


def isCompiled() -> bool:
    """
    Are the codecs and the engine extension modules here?
    """
    spec = find_spec("twisted_mux.engine.session")
    assert spec is not None
    assert spec.origin is not None
    return not spec.origin.endswith(tuple(SOURCE_SUFFIXES))


def versionAndBuild() -> str:
    """
    The package's version and, unless it is plain Python, that it is not.
    """
    return f"{__version__} (compiled)" if isCompiled() else __version__
