"""
Inventories of names that are somebody else's.

Sphinx and pydoctor look names up in inventories that each project publishes.  Those
would have to be fetched, so here they are made: of the names that docstrings and
pages of this project use, each of which has to exist in what is installed.  Where a
name's page is follows from how the projects lay out theirs: Twisted by pydoctor, a
page for each module and class; Python by hand, a page for each module, and a few for
what is built in.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from zope.interface.interface import InterfaceClass

TWISTED = "https://docs.twisted.org/en/stable/api/"
PYTHON = "https://docs.python.org/3/"

# What may come behind such a name in a docstring is a bracket, a full stop, ...
_DOTTED = re.compile(r"\b([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)")


@dataclass(frozen=True)
class Inventory:
    """
    One project's names.

    @ivar url: where its pages are.
    @ivar path: the file.
    """

    name: str
    url: str
    path: Path


@dataclass(frozen=True, order=True)
class Entry:
    """
    A name, what it is, and its page.
    """

    name: str
    role: str
    page: str


def write(root: Path, folder: Path) -> list[Inventory]:
    """
    Write the inventories of all foreign names that this project uses.

    @param root: of the project.
    @param folder: where they go.
    """
    used = usedNames(root)
    found = [entry for name in used for entry in _lookUp(name)]
    found += [
        (project, replace(entry, name=name.rpartition(".")[2]))
        for name in used & importedNames(root)
        for project, entry in _lookUp(name)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    inventories = []
    for name, url in (("Twisted", TWISTED), ("Python", PYTHON)):
        path = folder / f"{name}.inv"
        entries = {entry for project, entry in found if project == name}
        path.write_bytes(_inventory(name, entries))
        inventories.append(Inventory(name, url, path))
    return inventories


def usedNames(root: Path) -> set[str]:
    """
    The dotted names that modules import, or that stand in docstrings and pages, and
    the names that are built in.  More than are needed does no harm.
    """
    names = {*dir(builtins), "None"}
    for path in sorted((root / "twisted_mux").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        names.update(_DOTTED.findall(source))
        names.update(re.findall(r"L\{(\w+)\}", source))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
    for path in sorted((root / "docs").rglob("*.md")):
        for target in re.findall(r"\{py:\w+\}`([^`]*)`", path.read_text("utf-8")):
            names.update(_DOTTED.findall(target))
    return {name for name in names if not name.startswith("twisted_mux")}


def importedNames(root: Path) -> set[str]:
    """
    The names of Twisted's that modules import.  Docstrings call those by their last
    part, and pydoctor does not know any more which module a docstring is from if the
    package exports what it is of.
    """
    return {
        f"{node.module}.{alias.name}"
        for path in (root / "twisted_mux").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("twisted.")
        for alias in node.names
    }


def _lookUp(name: str) -> Iterator[tuple[str, Entry]]:
    """
    The project that a name is of, and its entry; nothing if there is no such thing.
    """
    if hasattr(builtins, name):
        yield "Python", Entry(name, *_builtIn(name))
        return
    found = _find(name)
    if found is None:
        return
    module, path, thing = found
    if module.split(".")[0] == "twisted":
        yield "Twisted", Entry(name, *_twisted(module, path, thing))
    elif path:
        yield "Python", Entry(name, _role(path, thing), f"library/{module}.html#{name}")
    else:
        yield "Python", Entry(name, "module", f"library/{name}.html#module-{name}")


def _find(name: str) -> tuple[str, list[str], Any] | None:
    """
    Take a dotted name of Twisted's or of Python's apart.

    @return: the module, what is left, and what it is the name of.
    """
    top = name.split(".")[0]
    if top != "twisted" and (top not in sys.stdlib_module_names or top == "this"):
        return None
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            module = import_module(".".join(parts[:count]))
        except ImportError:
            continue
        thing: Any = module
        for part in parts[count:]:
            # Methods of an interface are no attributes of it.
            member = getattr(thing, "get", None) if _isInterface(thing) else None
            thing = member(part) if member else getattr(thing, part, None)
            if thing is None:
                return None
        return ".".join(parts[:count]), parts[count:], thing
    return None


def _role(path: list[str], thing: Any) -> str:
    if inspect.ismodule(thing):
        return "module"
    if inspect.isclass(thing):
        return "class"
    if _isInterface(thing):
        return "class"
    if callable(thing) or len(path) > 1:
        return "method" if len(path) > 1 else "function"
    return "attribute"


def _isInterface(thing: Any) -> bool:
    """
    Is it one of zope.interface's, which are no classes?
    """
    return isinstance(thing, InterfaceClass)


def _twisted(module: str, path: list[str], thing: Any) -> tuple[str, str]:
    """
    What a name of Twisted's is, and its page.
    """
    role = _role(path, thing)
    if not path:
        return role, f"{module}.html"
    if role == "class":
        return role, f"{module}.{'.'.join(path)}.html"
    return role, ".".join([module, *path[:-1]]) + f".html#{path[-1]}"


def _builtIn(name: str) -> tuple[str, str]:
    """
    What a built-in name is, and its page.
    """
    thing = getattr(builtins, name)
    if not callable(thing):
        return "data", f"library/constants.html#{name}"
    if not inspect.isclass(thing):
        return "function", f"library/functions.html#{name}"
    page = "exceptions" if issubclass(thing, BaseException) else "stdtypes"
    return "class", f"library/{page}.html#{name}"


def _inventory(project: str, entries: Iterable[Entry]) -> bytes:
    """
    The content of an inventory: version 2 of Sphinx's format.
    """
    head = (
        "# Sphinx inventory version 2\n"
        f"# Project: {project}\n"
        "# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    lines = "".join(f"{e.name} py:{e.role} 1 {e.page} -\n" for e in sorted(entries))
    return head.encode() + zlib.compress(lines.encode())
