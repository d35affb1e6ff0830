"""
The parts of pages that are made from the code::

    python -m docs.making.generate

Such a part stands between C{<!-- made: NAME -->} and C{<!-- end -->}, and says what the
code says: a test compares them, so whoever changes a field, an option or a table of
states is told to run this.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import twisted_mux
from twisted_mux.config import KIB, MIB, MuxConfig
from twisted_mux.engine.states import TRANSITIONS, Event, State
from twisted_mux.tap import Options
from twisted_mux.wire import wires
from twisted_mux.wire.base import Capabilities, Codec, Credit, FrameSink, Role

DOCS = Path(__file__).parents[1]
_PART = re.compile(r"(<!-- made: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Row = Iterable[str]


def table(header: Row, rows: Iterable[Row]) -> str:
    """
    A table in Markdown.
    """
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(value: object) -> str:
    """
    As code.
    """
    return f"`{value}`"


def plain(text: str) -> str:
    """
    A docstring's epytext as Markdown.
    """
    text = re.sub(
        r"[CL]\{(?:twisted_mux\.config\.)?([^}<]*?)\s*(?:<[^>]*>)?\}", r"`\1`", text
    )
    return " ".join(text.split())


def states() -> str:
    """
    The states of a stream, and where each event leads.
    """

    def cell(state: State, event: Event) -> str:
        following = TRANSITIONS.get((state, event))
        return "must not happen" if following is None else following.value

    return table(
        ["state", *(event.value for event in Event)],
        [
            [f"**{state.value}**", *(cell(state, event) for event in Event)]
            for state in State
        ],
    )


def quantity(value: object) -> str:
    """
    A default, with figures that can be read.
    """
    if value is None:
        return "the wire's"
    if isinstance(value, str):
        return code(value)
    assert isinstance(value, (int, float))
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if value >= 16 * KIB and value % unit == 0:
            return f"{value // unit:g} {name}"
    return f"{value:,g}" if value < 10000 else f"{value:,}"


def fieldTexts() -> dict[str, str]:
    """
    What C{MuxConfig}'s docstring says of each field.
    """
    text = inspect.getdoc(MuxConfig) or ""
    return {
        name: plain(said)
        for name, said in re.findall(
            r"^@ivar (\w+): (.*?)(?=^@ivar|\Z)", text, re.DOTALL | re.M
        )
    }


def config() -> str:
    """
    The fields of C{MuxConfig}.
    """
    said = fieldTexts()
    return table(
        ["field", "default", "means"],
        [
            [code(field.name), quantity(field.default), said[field.name]]
            for field in fields(MuxConfig)
        ],
    )


def customs() -> str:
    """
    The fields whose default is the wire's.
    """
    names = [field.name for field in fields(MuxConfig) if field.default is None]
    made = {
        wire: MuxConfig().forWire(codec.capabilities) for wire, codec in wires().items()
    }
    return table(
        ["field", *(code(wire) for wire in made)],
        [
            [code(name), *(quantity(getattr(each, name)) for each in made.values())]
            for name in names
        ],
    )


def _options() -> Iterator[tuple[str, str, str]]:
    """
    The options of C{twist mux}, and what each is.
    """
    for name in ("from", "to"):
        method: Any = getattr(Options, f"opt_{name}")
        yield f"--{name} STRING", "", inspect.getdoc(method) or ""
    for option, letter, _, said in Options.optParameters:
        value = _VALUES[str(option)]
        yield f"--{option} {value}", f"-{letter}" * bool(letter), str(said)
    for flag, letter, said in Options.optFlags:
        yield f"--{flag}", f"-{letter}" * bool(letter), str(said)


_VALUES = {
    "config": "FILE",
    "connect-timeout": "SECONDS",
    "drain": "SECONDS",
    "log-format": "FORMAT",
    "status": "STRING",
    "status-token": "TOKEN",
}


def options() -> str:
    """
    The options of C{twist mux}.
    """
    return table(
        ["option", "short", "means"],
        [
            [code(option), code(short) if short else "", plain(said)]
            for option, short, said in _options()
        ],
    )


#: What wires differ in, in words.
CAPABILITIES: dict[str, Callable[[Capabilities], object]] = {
    "credit per stream": lambda can: {
        Credit.NONE: "no",
        Credit.DELTA: "yes, further bytes",
        Credit.CUMULATIVE: "yes, bytes consumed and the window",
    }[can.credit],
    "window of a new stream": lambda can: (
        _bytes(can.initialWindow) if can.initialWindow else "no credit"
    ),
    "a window of one's own is announced": lambda can: (
        can.credit is not Credit.NONE and can.windowAnnounced
    ),
    "reset": lambda can: can.reset,
    "acknowledgement of an open": lambda can: can.ack,
    "streams that may wait for it": lambda can: (
        (can.openBacklog or "any number") if can.ack else "not needed"
    ),
    "ping": lambda can: can.ping,
    "keep-alive without an answer": lambda can: can.probe,
    "go-away": lambda can: can.goAway,
    "peers end their streams at a go-away": lambda can: can.goAwayEndsStreams,
    "names of streams": lambda can: can.names,
    "addresses of streams": lambda can: can.addressed,
    "a frame is a message": lambda can: can.messages,
    "keep-alive, seconds": lambda can: f"{can.keepAlive:g}" if can.keepAlive else "off",
    "peer given up after, seconds": lambda can: (
        f"{can.keepAliveTimeout:g}" if can.keepAliveTimeout else "never"
    ),
    "longest payload": lambda can: _bytes(can.maxPayload),
    "payload sent by default": lambda can: _bytes(can.customFrame),
}


def _bytes(count: int) -> str:
    return f"{count:,} bytes"


def _cell(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def capabilities(*names: str) -> str:
    """
    What wires can do.
    """
    return table(
        ["", *(code(name) for name in names)],
        [
            [what, *(_cell(tell(wires()[name].capabilities)) for name in names)]
            for what, tell in CAPABILITIES.items()
        ],
    )


def goAways(name: str) -> str:
    """
    The codes of a wire's go-away.
    """
    codes = wires()[name].goAwayCodes
    return table(
        ["cause", "code"],
        [[cause, str(number)] for cause, number in codes.items()],
    )


def frames(name: str) -> str:
    """
    What a client of a wire sends, in bytes.
    """
    kind = wires()[name]
    codec = kind(Role.CLIENT, cast(FrameSink, Mock()), 32768)
    can = kind.capabilities
    address = ("10.0.0.1", 80)
    key = codec.keyOfAddress(address) if can.addressed else next(codec.keys())
    rows = [
        ("open a stream", codec.encodeOpen(key, can.initialWindow, b"x" * can.names)),
        ("`hello` on it", codec.payloadHeader(key, 5) + b"hello"),
    ]
    if can.ack:
        rows.append(("acknowledge it", codec.encodeAccept(key, can.initialWindow)))
    if can.credit is not Credit.NONE:
        rows.append(
            ("grant 65,536 more bytes", codec.encodeCredit(key, 65536, 65536, 262144))
        )
    rows.append(("end our direction", codec.encodeEnd(key)))
    if can.reset:
        rows.append(("reset it", codec.encodeReset(key)))
    if can.ping:
        rows.append(("ping, with the value 7", codec.encodePing(7)))
        rows.append(("answer it", codec.encodePong(7)))
    if can.probe:
        rows.append(("keep-alive", codec.encodeProbe()))
    if can.goAway:
        rows.append(("go away", codec.encodeGoAway(codec.goAwayCodes["normal"])))
    return table(
        ["what", f"bytes on {name}"],
        [[what, code(data.hex(" "))] for what, data in rows],
    )


def names() -> str:
    """
    What the package exports.
    """
    rows = []
    for name in sorted(twisted_mux.__all__):
        thing = getattr(twisted_mux, name)
        # Where pydoctor has it: what a module lists as its own stays there.
        own = name in getattr(import_module(thing.__module__), "__all__", ())
        where = f"{thing.__module__ if own else 'twisted_mux'}.{name}"
        role = "class" if inspect.isclass(thing) else "func"
        first = (inspect.getdoc(thing) or "").split("\n\n")[0]
        # Its first sentence.
        said = re.split(r"(?<=\.)\s", plain(first))[0].replace("::", ".")
        rows.append([f"{{py:{role}}}`{name} <{where}>`", said])
    return table(["name", "is"], rows)


def targets() -> str:
    """
    What the benchmarks promise, and the figures that are kept.
    """
    found = json.loads(
        (DOCS / "explanation" / "performance" / "figures.json").read_text("utf-8")
    )

    def row(target: dict[str, Any]) -> Row:
        case = f"{target['case']}, {target['figure']}"
        if target["cores"] == "two":
            case += ", on two cores"
        bound = "at least" if target["moreIsBetter"] else "at most"
        verdict = "yes" if target["met"] else "no"
        if target["beyond"]:
            verdict += " (a wish)"
        entry = target["entry"].removeprefix("twisted_mux ")
        wanted = f"{bound} {target['bound']:g}"
        return case, entry, target["by"], wanted, f"{target['value']:.3g}", verdict

    return table(
        ["case", "ours", "by", "wanted", "is", "met"],
        [row(target) for target in found["targets"]],
    )


def _wireParts() -> dict[str, Callable[[], str]]:
    parts: dict[str, Callable[[], str]] = {
        "capabilities": lambda: capabilities(*wires())
    }

    def add(name: str, codec: type[Codec]) -> None:
        parts[f"capabilities-{name}"] = lambda: capabilities(name)
        parts[f"frames-{name}"] = lambda: frames(name)
        if codec.goAwayCodes:
            parts[f"go-away-{name}"] = lambda: goAways(name)

    for name, codec in wires().items():
        add(name, codec)
    return parts


#: How each part is made.
PARTS: dict[str, Callable[[], str]] = {
    "states": states,
    "config": config,
    "customs": customs,
    "options": options,
    "names": names,
    "targets": targets,
    **_wireParts(),
}


def parts(page: str) -> list[str]:
    """
    The names of the parts that a page has.
    """
    return [name for _, name, _ in _PART.findall(page)]


def remade(page: str) -> str:
    """
    The page as it should be.

    @raise KeyError: no part is called that.
    """
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n{found[3]}", page)


def pages() -> list[Path]:
    """
    The pages with such parts.
    """
    return [
        path
        for path in sorted(DOCS.rglob("*.md"))
        if "_build" not in path.parts and parts(path.read_text(encoding="utf-8"))
    ]


def main() -> None:
    """
    Make all of them anew.
    """
    for path in pages():
        path.write_text(remade(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
