"""
What C{docs/reference/transport.md} says of the wires is what they can.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted_mux.wire import codecNamed, wireNames
from twisted_mux.wire.base import Capabilities, Credit

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "transport.md"

CAN: dict[str, Callable[[Capabilities], bool]] = {
    "credit per stream": lambda can: can.credit is not Credit.NONE,
    "reset": lambda can: can.reset,
    "open ack": lambda can: can.ack,
    "ping": lambda can: can.ping,
    "go-away": lambda can: can.goAway,
    "names of streams": lambda can: can.names,
    "addresses of streams": lambda can: can.addressed,
}


def test_differences() -> None:
    """
    The table of differences has every wire, and says of each what its codec says.
    """
    text = PAGE.read_text().partition("## Differences by wire")[2]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.partition("\n- **")[0].splitlines()
        if line.startswith("|")
    ]
    header, _, *lines = rows
    wires = header[1:]
    assert sorted(wires) == sorted(wireNames())
    said = {line[0]: dict(zip(wires, line[1:], strict=True)) for line in lines}
    assert said == {
        name: {
            wire: "yes" if has(codecNamed(wire).capabilities) else "no"
            for wire in wires
        }
        for name, has in CAN.items()
    }
