"""
The order of the layers, the shape of the tree, and what the package exports.
"""

from __future__ import annotations

import ast
import configparser
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import twisted_mux

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "twisted_mux"

# Which layer a module is in; all below a package are in the package's.  A module
# may import those of its own layer and of the layers under it.  A new module has to
# be placed here.
LAYERS = {
    name: layer
    for layer, names in enumerate(
        [
            ("_version", "compiling", "errors"),
            ("config", "masking", "wire"),
            ("engine",),
            ("address", "admission", "carrier", "interfaces", "reasons", "statistics"),
            (
                "mtls_handshake",
                "mtls_identity",
                "starttls",
                "stream_identity",
                "tls_reasons",
                "transport",
            ),
            ("driver", "negotiation", "opening", "protocol", "stream_endpoints"),
            (
                "carrier_session",
                "connecting",
                "detection",
                "endpoint_strings",
                "factory",
            ),
            ("carriers",),
            ("accepting", "dialling", "sharing"),
            ("listening", "mtls", "named_listening", "socks"),
            ("endpoint_parsers", "endpoints", "testing"),
            (
                "bridge",
                "demo",
                "half_close",
                "joint",
                "json_log",
                "metrics",
                "snapshot",
                "tunnel_strings",
            ),
            ("tunnel_config",),
            ("tunnel",),
            ("service", "status"),
            ("tap",),
            ("__main__",),
        ]
    )
    for name in names
}

# Nothing in these layers knows of Twisted, of sockets or of the time.
PURE = ("wire", "engine")
IMPURE_IMPORTS = {
    "asyncio",
    "select",
    "selectors",
    "socket",
    "ssl",
    "threading",
    "time",
    "twisted",
    "zope",
}

TOP_LEVEL = {
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "docs",
    "pyproject.toml",
    "setup.cfg",
    "tests",
    "twisted",
    "twisted_mux",
}


def moduleName(path: Path) -> str:
    """
    The dotted name of a file of the package.
    """
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {moduleName(path): path for path in sorted(PACKAGE.rglob("*.py"))}
PURE_MODULES = [
    name for name in MODULES if name.startswith(tuple(f"twisted_mux.{p}" for p in PURE))
]


class Imports(ast.NodeVisitor):
    """
    The dotted names of all that a module imports, anywhere in it, but what it
    imports only for its annotations: that is no arrow, since it is not there when
    the code runs.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_Import(self, node: ast.Import) -> None:
        self.names.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            self.names.add(name if name in MODULES else str(node.module))

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for statement in node.orelse:
                self.visit(statement)
        else:
            self.generic_visit(node)


def importsOf(path: Path) -> set[str]:
    """
    See L{Imports}.
    """
    imports = Imports()
    imports.visit(ast.parse(path.read_text(encoding="utf-8")))
    return imports.names


def layerOf(name: str) -> int:
    """
    The layer of a module of this package, given its dotted name.
    """
    part = name.split(".")[1]
    assert part in LAYERS, f"{name} has no layer: place it in LAYERS"
    return LAYERS[part]


@pytest.mark.parametrize("name", [name for name in MODULES if "." in name])
def test_arrowsNeverPointUp(name: str) -> None:
    """
    A module imports nothing of a layer above its own.
    """
    layer = layerOf(name)
    for imported in importsOf(MODULES[name]):
        if imported.startswith("twisted_mux."):
            assert layerOf(imported) <= layer, f"{name} imports {imported}"
        assert imported != "twisted_mux", (
            f"{name} imports the package, which is there for users: import the module"
        )


@pytest.mark.parametrize(
    "name",
    PURE_MODULES,
)
def test_pureLayersImportNoIO(name: str) -> None:
    """
    C{wire} and C{engine} import nothing that could reach a network or a clock.
    """
    roots = {imported.split(".")[0] for imported in importsOf(MODULES[name])}
    assert not roots & IMPURE_IMPORTS


WITHOUT_TWISTED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("twisted", "zope"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
from twisted_mux.wire import wireNames
assert "yamux" in wireNames(), wireNames()
"""


def test_pureLayersRunWithoutTwisted() -> None:
    """
    C{wire} and C{engine}, and what they import, can be used where there is no
    Twisted.
    """
    subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_TWISTED, *PURE_MODULES],
        check=True,
        cwd=ROOT,
        timeout=60,
    )


def printedBy(code: str) -> str:
    """
    What a program prints, in a process of its own.
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=ROOT,
        timeout=60,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_packageOnlyReexports() -> None:
    """
    The package's own module has no code but the look-up of the public names, and
    importing it imports none of its modules.
    """
    tree = ast.parse(MODULES["twisted_mux"].read_text(encoding="utf-8"))
    functions = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    assert set(functions) <= {"__getattr__", "__dir__"}
    code = (
        "import sys, twisted_mux\n"
        "print([name for name in sys.modules if name.startswith('twisted')])"
    )
    assert printedBy(code).strip() == "['twisted_mux']"


@pytest.mark.parametrize("name", twisted_mux.__all__)
def test_publicNamesResolve(name: str) -> None:
    """
    Every public name is there.
    """
    assert getattr(twisted_mux, name) is not None


def test_publicNamesAreSorted() -> None:
    """
    C{__all__} is in order and has no name twice.
    """
    assert twisted_mux.__all__ == sorted(set(twisted_mux.__all__))


def test_publicNamesAreListed() -> None:
    """
    C{dir} knows the names that have not been looked up yet, too, as shells that
    complete names need it.
    """
    code = "import twisted_mux; print(*dir(twisted_mux))"
    assert set(twisted_mux.__all__) <= set(printedBy(code).split())


def test_unknownNameIsAnAttributeError() -> None:
    """
    A name that the package has not got fails as with any module.
    """
    with pytest.raises(AttributeError, match="noSuchName"):
        _ = twisted_mux.noSuchName


@pytest.mark.parametrize("name", [name for name in MODULES if name != "twisted_mux"])
def test_modulesOfferWhatTheyDeclare(name: str) -> None:
    """
    Every module says what it is for, and has what its C{__all__} lists.
    """
    module = importlib.import_module(name)
    # Where it was compiled, the docstring is in the source alone.
    source = MODULES[name].read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source))
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), f"{name}.{public}"


def test_topLevelIsFixed() -> None:
    """
    At the top of the tree lies what L{TOP_LEVEL} lists, and files whose name begins
    with a dot.
    """
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    found = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    assert {name for name in found if not name.startswith(".")} == TOP_LEVEL


def test_everyPackageIsListed() -> None:
    """
    F{setup.cfg} lists the packages one by one, since C{twisted.plugins} can't be
    found as others are; none is missing.
    """
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = setup["options"]["packages"].split()
    packages = {name for name, path in MODULES.items() if path.stem == "__init__"} | {
        "twisted.plugins"
    }
    assert sorted(listed) == sorted(packages)


def test_twistedIsNoPackageHere() -> None:
    """
    The folder C{twisted} holds one plugin and nothing that would make it, or
    C{twisted.plugins}, a package that hides Twisted's.
    """
    assert [
        path.relative_to(ROOT).as_posix() for path in (ROOT / "twisted").rglob("*.py")
    ] == ["twisted/plugins/twisted_mux_plugins.py"]


PLUGIN_IS_LIGHT = """
import sys
from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import getPlugins

for interface in (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
):
    found = [each for each in getPlugins(interface) if each.prefix == "mux"]
    assert len(found) == 1, found
assert "twisted.plugins.twisted_mux_plugins" in sys.modules
print([each for each in sys.modules if each.startswith("twisted_mux")])
print("twisted.internet.reactor" in sys.modules)
"""


def test_pluginIsFoundAndLight(tmp_path: Path) -> None:
    """
    Twisted finds the endpoint strings' parsers, once each; this imports nothing of
    the package, and no reactor.
    """
    done = subprocess.run(
        [sys.executable, "-c", PLUGIN_IS_LIGHT],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == ["[]", "False"]


def test_versionIsInOnePlace() -> None:
    """
    The installed distribution has the version that the package says it has.
    """
    from importlib.metadata import PackageNotFoundError, version

    from twisted_mux._version import __version__

    try:
        assert version("twisted-mux") == __version__
    except PackageNotFoundError:
        pytest.skip("not installed, run in the checkout")
