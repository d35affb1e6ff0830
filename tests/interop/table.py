"""
Writes the compatibility table of the documentation from what the last run of the
scenarios found::

    python -m pytest tests/interop && python -m tests.interop.table
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from tests.interop.link import DIFFERENCE, NOT_IN_API, OK, RESULTS, ROLES
from tests.interop.peers import CACHE, IMPLEMENTATIONS
from tests.interop.scenarios import SCENARIOS

#: What the runs found, by peer, wire, role and scenario.
FOUND = CACHE / "results.json"
#: What is written.
TABLE = Path(__file__).parents[2] / "docs" / "reference" / "compatibility.md"

Found = dict[str, dict[str, str]]

_BEGIN = """\
# Compatibility

What was tried with each wire protocol's own implementations, over real connections, and what came of it. This page is
written by `python -m tests.interop.table` from the results of `tests/interop`, not by hand.

"Peer dials" means that the other program opened the carrier, and twisted_mux accepted it; "peer listens" is the other way round.
What is said to be opened, sent or ended "by us" was done by twisted_mux. After each scenario, of whatever result, all
streams had lost their connection exactly once, and no delayed call was left.

- **ok**: it works as described.
- **not on this wire**: the wire protocol has no means for it.
- **not in the peer's API**: the wire protocol has, but the implementation does not let its users do it.
- **not in this role**: it makes sense in the other role only.
- **known difference**: the peer does something else than the wire's other implementations; the scenario shows what.

## Peers
"""


def keyOf(name: str, wire: str, role: str, scenario: str) -> str:
    """
    Where the results of a scenario are found.
    """
    return "/".join((name, wire, role, scenario))


def pairs() -> list[tuple[str, str]]:
    """
    All implementations with each of their wires.
    """
    return [
        (name, wire)
        for name, implementation in IMPLEMENTATIONS.items()
        for wire in implementation.wires
    ]


def expected() -> list[str]:
    """
    The keys of all results that there have to be.
    """
    return [
        keyOf(name, wire, role, scenario)
        for name, wire in pairs()
        for role in ROLES
        for scenario in SCENARIOS
    ]


def title(name: str, wire: str) -> str:
    """
    The heading of a peer's section.
    """
    return f"{IMPLEMENTATIONS[name].package} on {wire}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _summary(name: str, wire: str, found: Found) -> str:
    counted: Counter[str] = Counter()
    versions = set()
    for role in ROLES:
        for scenario in SCENARIOS:
            one = found[keyOf(name, wire, role, scenario)]
            counted[one["result"]] += 1
            versions.add(one["version"])
    versions.discard("")
    package = IMPLEMENTATIONS[name].package
    counts = [str(counted[each]) for each in (OK, DIFFERENCE, NOT_IN_API)]
    rest = str(sum(counted[each] for each in RESULTS) - sum(map(int, counts)))
    return _row(package, ", ".join(sorted(versions)), wire, *counts, rest)


def _section(name: str, wire: str, found: Found) -> list[str]:
    lines = [
        "",
        f"### {title(name, wire)}",
        "",
        _row("scenario", *(f"peer {role}" for role in ROLES), "remark"),
        _row(*["---"] * 4),
    ]
    first: dict[str, str] = {}
    for scenario in SCENARIOS:
        both = [found[keyOf(name, wire, role, scenario)] for role in ROLES]
        remarks = dict.fromkeys(each["text"] for each in both if each["text"])
        told = [f"as with {first[text]}" if text in first else text for text in remarks]
        for text in remarks:
            first.setdefault(text, scenario)
        results = (each["result"] for each in both)
        lines.append(_row(scenario, *results, "; ".join(told)))
    return lines


def render(found: Found) -> str:
    """
    The page.
    """
    lines = [
        _BEGIN,
        _row("peer", "version", "wire", OK, DIFFERENCE, NOT_IN_API, "does not apply"),
        _row(*["---"] * 7),
        *(_summary(name, wire, found) for name, wire in pairs()),
        "",
        "## Scenarios",
        "",
        *(
            f"- `{each.name}`:{each.title.partition(':')[2]}"
            for each in SCENARIOS.values()
        ),
        "",
        "## Results",
        *(line for name, wire in pairs() for line in _section(name, wire, found)),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """
    Write the page, if every combination was tried.
    """
    found: Found = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    missing = [key for key in expected() if key not in found]
    if missing:
        print(f"not tried, or failed: {', '.join(missing)}", file=sys.stderr)
        return 1
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(render(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
