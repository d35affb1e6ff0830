"""
The harness itself: its arithmetic, its options, and that each kind of measurement
gets to a right result.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks.building import goPackages
from tests.benchmarks.cases import CASES, GROUPS, Case, Entry, Figure, chosen
from tests.benchmarks.contest import Findings, contest, measureEntry, whyNot
from tests.benchmarks.contestants import (
    OURS,
    PEERS,
    YARDSTICK,
    Contestant,
    contestants,
    worker,
)
from tests.benchmarks.figures import ratios, rounded, summary
from tests.benchmarks.job import MESSAGE_SIZE, Job, message
from tests.benchmarks.plot import TIMES, plot
from tests.benchmarks.plot import main as drawAll
from tests.benchmarks.report import NONE
from tests.benchmarks.running import Layout, MeasurementFailed, layouts, measure
from tests.benchmarks.targets import TARGETS, verdicts
from tests.benchmarks.workers.reporting import percentile
from tests.interop.peers import GO
from tests.interop.peers import whyNot as toolchainMissing
from twisted_mux.wire import wireNames

# Seconds for warming up and measuring, where only the way to a result matters.
BRIEF = (0.05, 0.1)
RATE = Figure("rate", "things/s")
COST = Figure("cost", "µs", more=False)

drawing = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib"
)


@pytest.fixture
def layout() -> Layout:
    """
    Everything on one core.
    """
    return layouts(["one"])[0]


# Arithmetic.


def test_summary() -> None:
    """
    Median and range.
    """
    found = summary([5.0, 1.0, 3.0])
    assert (found.median, found.low, found.high) == (3.0, 1.0, 5.0)
    with pytest.raises(ValueError, match="nothing"):
        summary([])


def test_rounded() -> None:
    """
    What was counted stays as it is, or a bound that is just met would not be.
    """
    assert rounded(524_288.0) == 524_288
    assert rounded(123_456.5) == 123_500
    assert rounded(0.123456) == 0.1235


def test_ratios() -> None:
    """
    Values are compared with those of the same round: here each was half of its
    round's yardstick, while the medians are the same.
    """
    assert ratios([1.0, 2.0, 50.0], [2.0, 4.0, 100.0]) == [0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match=r"zip\(\)"):
        ratios([1.0, 2.0], [1.0])


def test_percentile() -> None:
    """
    Percentiles are values that occurred.
    """
    ordered = [float(n) for n in range(1, 101)]
    assert percentile(ordered, 0.5) == 51
    assert percentile(ordered, 0.99) == 100
    assert percentile([7.0], 0.99) == 7


def found(case: str, layout: str, **rates: list[float]) -> Findings:
    """
    Findings as of a contest.
    """
    findings = Findings(CASES[case], layout)
    for name, values in rates.items():
        entry = name.replace("_mux_", "_mux ").replace("go_yamux", "go-yamux yamux")
        findings.rounds[entry] = [{"rate": value} for value in values]
        findings.yardsticks[entry] = "twisted"
    return findings


def latencies(case: str, **p99: float) -> Findings:
    """
    Findings with round trips.
    """
    findings = Findings(CASES[case], "one")
    for name, value in p99.items():
        entry = {"ours": "twisted_mux yamux", "go": "go-smux smux1"}.get(name, name)
        findings.rounds[entry] = [{"p50": 1.0, "p99": value}]
    return findings


def test_verdicts() -> None:
    """
    Targets are compared with the median of the rounds' ratios, on the layout that
    they are for.
    """
    rates = {
        "twisted": [10.0, 100.0, 10.0],
        "twisted_mux_yamux": [90.0, 790.0, 70.0],
        "go_yamux": [20.0, 200.0, 50.0],
    }
    one = verdicts([found("echo-100", "one", **rates)])
    assert [(each.by, each.target.bound, each.met) for each in one] == [
        ("twisted", 8, False),
        ("go-yamux yamux", 3, True),
    ]
    assert [round(each.value, 2) for each in one] == [7.9, 3.95]
    assert [(each.word, each.wanted) for each in one] == [
        ("missed", "at least 8"),
        ("met", "at least 3"),
    ]
    two = verdicts([found("echo-100", "two", **rates)])
    assert [each.met for each in two] == [True, True]
    assert verdicts([found("echo-1", "two", **rates)]) == []


def test_hardestRival() -> None:
    """
    Whoever is best of all peers is who counts.
    """
    findings = latencies("beside-1", twisted=50.0, go=80.0, openssh=400.0, ours=60.0)
    (verdict,) = (it for it in verdicts([findings]) if it.target.figure == "p99")
    assert (verdict.by, verdict.value, verdict.word) == ("twisted", 1.2, "missed")
    findings.rounds["twisted"] = [{"p50": 1.0, "p99": 90.0}]
    (verdict,) = (it for it in verdicts([findings]) if it.target.figure == "p99")
    assert (verdict.by, verdict.value, verdict.word) == ("go-smux smux1", 0.75, "met")
    # Unless it had a second core.
    findings.unpinned.append("go-smux smux1")
    (verdict,) = (it for it in verdicts([findings]) if it.target.figure == "p99")
    assert verdict.by == "twisted"
    findings.layout = "two"
    (verdict,) = (it for it in verdicts([findings]) if it.target.figure == "p99")
    assert verdict.by == "go-smux smux1"


def test_twoCases() -> None:
    """
    Latency beside a hundred bulk streams is measured by that beside one.
    """
    for value, word in ((200.0, "met"), (201.0, "missed")):
        hundred = latencies("beside-100", ours=value)
        said = verdicts([latencies("beside-1", ours=100.0), hundred])
        (verdict,) = (it for it in said if it.target.figure == "p99")
        assert (verdict.by, verdict.word) == ("beside-1", word)
        assert verdict.wanted == "at most 2"
        assert verdicts([hundred]) == []


def test_values() -> None:
    """
    Some targets are values, each in its figure's unit.
    """
    link = Findings(CASES["link"], "one")
    result = {"slow": 262_144.0, "steady": 524_288.0}
    result |= {f"share-{each}": 0.94 for each in (1, 20, 100, 300)}
    link.rounds = {"twisted_mux smux2": [result], "twisted_mux yamux": [result]}
    words: Any = {
        (it.entry, it.target.figure): (round(it.value), it.wanted, it.word)
        for it in verdicts([link])
    }
    assert words[("twisted_mux yamux", "share-100")] == (94, "at least 95", "missed")
    assert words[("twisted_mux yamux", "slow")] == (256, "at most 256", "met")
    assert words[("twisted_mux yamux", "steady")] == (512, "at most 256", "missed")
    assert words[("twisted_mux smux2", "steady")] == (512, "at most 512", "met")


def test_wishes() -> None:
    """
    What is beyond the promises is not missed.
    """
    rates = {"twisted": [10.0], "twisted_mux_yamux": [11.0]}
    assert [it.word for it in verdicts([found("bulk-1", "one", **rates)])] == [
        "met",
        "not yet",
    ]


def test_targetsAreOfCases() -> None:
    """
    Each target names a figure that its case has, and entries that there can be.
    """
    everybody = [
        Contestant(peer, wire) for peer in PEERS.values() for wire in peer.wires
    ]
    for target in TARGETS:
        case = CASES[target.case]
        assert target.figure in {figure.key for figure in case.figures}
        assert not target.byCase or target.byCase in CASES
        entries = {entry.name for entry in case.entries(everybody)}
        assert entries.issuperset(target.by)
        assert entries.issuperset(
            target.entry.format(wire=wire) for wire in target.wires
        )


# Who runs what.


def test_chosen() -> None:
    """
    Cases are chosen by name and by group.
    """
    assert chosen([]) == list(CASES.values())
    assert [case.name for case in chosen(["open-100", "echo"])] == [
        "echo-1",
        "echo-100",
        "open-100",
    ]
    with pytest.raises(ValueError, match="'speed'"):
        chosen(["speed"])
    assert not set(GROUPS) & set(CASES) - {"link", "idle"}


def test_whoCanNot() -> None:
    """
    Who can't do what the others do is told with the reason, by the README too.
    """
    everybody = [
        Contestant(peer, wire) for peer in PEERS.values() for wire in peer.wires
    ]
    absent = CASES["memory-10000"].absent(everybody)
    assert absent.keys() == {
        "asyncio",
        "py-libp2p yamux",
        "py-libp2p mplex",
        "openssh",
        "twist-mux yamux",
    }
    assert CASES["echo-1"].absent(everybody) == {}
    # There only the two take part that it is about.
    assert CASES["idle"].absent(everybody) == {}
    readme = (Path(command.__file__).parent / "README.md").read_text()
    for peer in PEERS.values():
        (row,) = (line for line in readme.splitlines() if f"| `{peer.name}` |" in line)
        assert row.count(NONE) == len(peer.cannot)
        assert all(why in row for why in peer.cannot.values())


def test_missingPeer(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who is not there is told in one line.
    """
    monkeypatch.setattr(
        "tests.benchmarks.contestants.find_spec", lambda name: name != "libp2p" or None
    )
    monkeypatch.setattr(
        "tests.benchmarks.contestants.shutil.which",
        lambda name, **how: None if name == "ssh" else f"/usr/bin/{name}",
    )
    _, absent = contestants(["py-libp2p", "openssh"])
    assert absent == [
        "py-libp2p is left out: not installed: pip install -e '.[bench]'",
        "openssh is left out: no ssh: install openssh-client",
    ]


def test_contestants() -> None:
    """
    The yardstick is always there, and first.
    """
    of, _ = contestants([OURS], ["yamux", "smux2"])
    assert [each.name for each in of] == [
        "twisted",
        "twisted_mux smux2",
        "twisted_mux yamux",
    ]
    everybody, _ = contestants()
    assert everybody[0].name == YARDSTICK
    assert {each.wire for each in everybody if each.peer.name == OURS} == set(
        wireNames()
    )


def entriesOf(case: str) -> list[Entry]:
    """
    Ours on one wire, and the yardstick.
    """
    return CASES[case].entries(contestants([OURS], ["yamux"])[0])


def test_entries() -> None:
    """
    What each is measured by.
    """
    assert [(each.name, each.by) for each in entriesOf("echo-1")] == [
        ("twisted", "twisted"),
        ("twisted_mux yamux", "twisted"),
    ]
    assert [
        (each.name, each.by, each.job.streams) for each in entriesOf("bulk-16")
    ] == [
        ("twisted x1", "twisted x1", 1),
        ("twisted", "twisted x1", 16),
        ("twisted_mux yamux", "twisted x1", 16),
    ]
    assert [(each.name, each.by, each.job.idle) for each in entriesOf("idle")][5:7] == [
        ("twisted_mux yamux, 1 idle", "twisted_mux yamux, 1 idle", 1),
        ("twisted_mux yamux, 10 idle", "twisted_mux yamux, 1 idle", 10),
    ]
    assert [(each.name, each.by) for each in entriesOf("link")] == [
        ("twisted_mux yamux", "")
    ]


def test_unpinned() -> None:
    """
    Only Go's round trips are timed on any core.
    """
    of = [Contestant(PEERS[name], "yamux") for name in ("go-yamux", OURS)]
    assert [each.pinned for each in CASES["beside-1"].entries(of)] == [False, True]
    assert [each.pinned for each in CASES["echo-1"].entries(of)] == [True, True]


def test_tooManyConnections(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What takes more open files than there may be is not tried.
    """
    entry = entriesOf("memory-10000")[0]
    limit = "tests.benchmarks.contest.resource.getrlimit"
    monkeypatch.setattr(limit, lambda which: (1024, 10_049))
    assert whyNot(entry) == "10050 open files, 10049 are allowed"
    assert whyNot(entriesOf("memory-10000")[1]) is None
    monkeypatch.setattr(limit, lambda which: (1024, 10_050))
    assert whyNot(entry) is None


def test_rounds(layout: Layout) -> None:
    """
    All take turns; one that fails is left out, and does not hold up the others.
    """
    turns: list[str] = []
    results: Iterator[float] = iter([10, 20, 40, 50])

    def run(entry: Entry, layout: Layout) -> dict[str, float]:
        turns.append(entry.name)
        if entry.name == "twisted_mux smux2" and len(turns) > 3:
            raise MeasurementFailed("it broke")
        return {"rate": 1.0 if "smux2" in entry.name else next(results)}

    of, _ = contestants([OURS], ["yamux", "smux2"])
    case = Case("x", "x", "x", Job("echo"), (RATE,))
    findings = contest(case, of, layout, 2, run)
    everybody = ["twisted", "twisted_mux smux2", "twisted_mux yamux"]
    assert turns == everybody * 2
    assert findings.failed == {"twisted_mux smux2": "it broke"}
    ratio = findings.ratio("twisted_mux yamux", RATE)
    assert (ratio.low, ratio.high) == (1.25, 2.0)
    assert list(findings.raw()["figures"]["rate"]["ratios"]) == [
        "twisted",
        "twisted_mux yamux",
    ]


# Measurements.

KINDS = {
    "bulk": Job("bulk", 3),
    "pull": Job("bulk", 2, pull=True),
    "echo": Job("echo", 3),
    "churn": Job("churn", 3),
    "beside": Job("echo", 1, bulk=2, latency=True),
    "idle": Job("echo", 2, idle=150),
    "memory": Job("memory", 150),
}
#: Programs in Python, beside bare Twisted and ourselves.
OTHERS = (
    ("conch", "ssh"),
    ("openssh", "ssh"),
    ("py-libp2p", "mplex"),
    ("py-libp2p", "yamux"),
    ("twist-mux", "yamux"),
)
PROGRAMS = {
    "twisted": (worker("twisted_worker"), "tcp"),
    "asyncio": (worker("asyncio_worker"), "tcp"),
    **{wire: (worker("twisted_worker"), wire) for wire in wireNames()},
}


def checked(job: Job, result: dict[str, float]) -> None:
    """
    Is that a result?
    """
    if job.kind == "memory":
        assert 0 < result["bytes"] < 100_000
        return
    assert result["count"] > 0
    assert result["seconds"] >= BRIEF[1]
    assert result["rate"] == pytest.approx(result["count"] / result["seconds"])
    if job.latency:
        assert 0 < result["p50"] <= result["p99"] < 1e6


def measurements() -> Iterator[tuple[str, str]]:
    """
    Each kind of measurement in each program, and on one wire; on the others that
    which opens most, and that which has everything at once.
    """
    for kind, job in KINDS.items():
        yield "twisted", kind
        yield "yamux", kind
        if kind != "pull" and PEERS["asyncio"].takes(job):
            yield "asyncio", kind
    for wire in wireNames():
        if wire != "yamux":
            yield from ((wire, "churn"), (wire, "beside"))


@pytest.mark.parametrize(("program", "kind"), list(measurements()))
def test_measurement(program: str, kind: str, layout: Layout) -> None:
    """
    Measurements get to a result.
    """
    command, wire = PROGRAMS[program]
    job = KINDS[kind].lasting(*BRIEF)
    checked(job, measure(command, wire, job, layout))


@pytest.mark.parametrize("kind", ["beside", "bulk", "churn", "memory"])
@pytest.mark.parametrize(("name", "wire"), OTHERS)
def test_others(name: str, wire: str, kind: str, layout: Layout) -> None:
    """
    And in the other peers', where they are there.
    """
    peer = PEERS[name]
    job = KINDS[kind].lasting(*BRIEF)
    if not peer.takes(job):
        assert job.kind in peer.cannot
        return
    why = peer.missing()
    if why is not None:
        pytest.skip(why)
    checked(job, measure(peer.command(), wire, job, layout))


def alive(group: int) -> list[str]:
    """
    What runs in a process group.
    """
    running = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = stat.read_text().rpartition(")")
            state, _, of = rest.split()[:3]
            if int(of) == group and state != "Z":
                running.append(name)
    return running


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nothingStays(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What a process has started ends with it, and the folder that both had is gone.
    """
    groups: dict[int, list[str]] = {}
    killpg = os.killpg

    def noted(group: int, number: int) -> None:
        groups[group] = alive(group)
        killpg(group, number)

    monkeypatch.setattr("os.killpg", noted)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    measure(
        PEERS["twist-mux"].command(), "yamux", KINDS["echo"].lasting(*BRIEF), layout
    )
    # On either side the worker, and an end of the tunnel.
    assert [len(each) for each in groups.values()] == [2, 2]
    deadline = time.monotonic() + 10
    while any(map(alive, groups)):
        assert time.monotonic() < deadline, {it: alive(it) for it in groups}
        time.sleep(0.01)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"pull"}))
@pytest.mark.parametrize("wire", ["smux1", "smux2", "yamux"])
def test_go(wire: str, kind: str, layout: Layout) -> None:
    """
    And in Go's.
    """
    why = toolchainMissing(GO)
    if why is not None:
        pytest.skip(why)
    peer = PEERS["go-yamux" if wire == "yamux" else "go-smux"]
    job = KINDS[kind].lasting(*BRIEF)
    checked(job, measure(peer.command(), wire, job, layout, pinned=False))


def test_goPackages() -> None:
    """
    The versions are those of the module's file.
    """
    assert set(goPackages()) == {
        "github.com/hashicorp/yamux",
        "github.com/xtaci/smux",
    }


def test_failure(layout: Layout) -> None:
    """
    A process that ends early is reported, with what it said.
    """
    with pytest.raises(
        MeasurementFailed, match=r"server ended \(1\)(?s:.)*UnknownWire"
    ):
        measure(worker("twisted_worker"), "nonsense", Job("echo"), layout)


def test_wrongEcho(tmp_path: Path, layout: Layout) -> None:
    """
    An echo that is something else is a failure, not a figure.
    """
    server = tmp_path / "server.py"
    server.write_text(
        "import runpy, sys\n"
        "from tests.benchmarks.workers import twisted_worker\n"
        "def wrong(self, data):\n"
        "    self.transport.write(data.replace(b'.', b','))\n"
        "if sys.argv[1] == 'server':\n"
        "    twisted_worker.Echo.dataReceived = wrong\n"
        "twisted_worker.main(*sys.argv[1:])\n"
    )
    program = [worker("")[0], str(server)]
    with pytest.raises(MeasurementFailed, match="came back for"):
        measure(program, "yamux", Job("echo").lasting(*BRIEF), layout)


def test_messages() -> None:
    """
    No two streams have the same message, and all have the same size.
    """
    texts = {message(number) for number in range(20_000)}
    assert len(texts) == 20_000
    assert {len(text) for text in texts} == {MESSAGE_SIZE}


def test_jobTravels() -> None:
    """
    What is encoded is decoded.
    """
    job = Job("bulk", 4, pull=True, config={"maxFrame": 5})
    assert Job.decode(job.encode()) == job


# The command.


def test_options(capsys: pytest.CaptureFixture[str]) -> None:
    """
    What can't be is said.
    """
    for arguments, text in (
        (["--case", "speed"], "there is no case 'speed'"),
        (["--rounds", "0"], "--rounds: at least 1"),
        (["--warm", "0"], "--warm: more than 0 and less than 30"),
        (["--warm", "nan"], "--warm: more than 0 and less than 30"),
        (["--wire", "morse"], "invalid choice: 'morse'"),
        (["--peer", "nobody"], "invalid choice: 'nobody'"),
        (
            ["--case", "frame-cost", "--cores", "one", "--plot", "x.svg"],
            "has a yardstick",
        ),
        (["--cores", "three"], "invalid choice: 'three'"),
        (["--cores", "one", "--add"], "--add: which --json FILE?"),
    ):
        with pytest.raises(SystemExit) as error:
            command.parse(arguments)
        assert error.value.code == 2
        assert text in capsys.readouterr().err


def test_oneCore(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Two cores can't be had where there is one.
    """
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3})
    with pytest.raises(SystemExit):
        command.parse([])
    assert "--cores one" in capsys.readouterr().err
    (layout,) = command.parse(["--cores", "one"]).layouts
    assert layout.of("server", True) == layout.of("client", True) == {3}


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """
    All there is can be listed.
    """
    assert command.main(["--list"]) == 0
    output = capsys.readouterr().out
    for name in (*CASES, *PEERS):
        assert name in output


@drawing
def test_run(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    A whole run: tables, verdicts, and a file with every round.
    """
    monkeypatch.setattr(command, "QUICK", (*BRIEF, 2))
    file = tmp_path / "figures.json"
    arguments = ["--quick", "--cores", "one", "--case", "echo-1", "--case", "calls"]
    arguments += ["--peer", OURS, "--wire", "yamux", "--json", str(file)]
    arguments += ["--warm", "0.06", "--plots", str(tmp_path / "drawn")]
    assert command.main(arguments) == 0
    output = capsys.readouterr().out
    assert "echo of 64 bytes, 1 stream" in output
    assert "at least 0.95" in output
    content: dict[str, Any] = json.loads(file.read_text())
    assert content["options"] == {"warm": 0.06, "seconds": 0.1, "rounds": 2}
    assert content["environment"]["peers"].keys() == {"twisted", "twisted_mux"}
    echo, calls = content["findings"]
    assert {it: len(rounds["rate"]) for it, rounds in echo["rounds"].items()} == {
        "twisted": 2,
        "twisted_mux yamux": 2,
    }
    # What is counted is not drawn.
    assert [it.name for it in (tmp_path / "drawn").iterdir()] == ["echo.svg"]
    # Counted, so the same each time.
    assert [len(rounds["calls"]) for rounds in calls["rounds"].values()] == [1] * 5
    assert [(it["case"], it["met"]) for it in content["targets"][1:2]] == [
        ("calls", True)
    ]


def test_costIsTheRatesInverse(layout: Layout) -> None:
    """
    Microseconds a message follow from messages a second.
    """
    entry = entriesOf("echo-1")[1]
    result = measureEntry(*BRIEF)(entry, layout)
    assert result["cost"] == pytest.approx(1e6 / result["rate"])
    assert COST.key in result


@drawing
def test_plot(tmp_path: Path) -> None:
    """
    Ratios are drawn; where there are none, that is said.
    """
    rates = {"twisted": [1.0, 2.0], "twisted_mux_yamux": [2.0, 3.0]}
    findings = [found("echo-1", "one", **rates), found("echo-1", "two", **rates)]
    plot(findings, tmp_path / "ratios.svg")
    drawn = (tmp_path / "ratios.svg").read_text()
    assert drawn.startswith("<?xml")
    assert drawn.count(f"2.5 (1.75{TIMES})") == 2
    plot(findings, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == drawn
    with pytest.raises(ValueError, match="nothing to draw"):
        plot([], tmp_path / "nothing.svg")


@drawing
def test_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A file is added to, case by case, and drawings are made from it.
    """
    path = tmp_path / "figures.json"
    rates = {"twisted": [1.0, 2.0], "twisted_mux_yamux": [2.0, 3.0]}

    def add(case: str, factor: float) -> command.File:
        times = {"warm": 1.0, "seconds": 1.0, "rounds": 2}
        file = command.File(path, {"peers": {case: "1"}}, times)
        file.load()
        multiplied = {
            name: [factor * it for it in each] for name, each in rates.items()
        }
        file.add(found(case, "one", **multiplied))
        return file

    for case, factor in (("open-100", 1), ("bulk-1", 1), ("open-100", 3)):
        file = add(case, factor)
    assert [it.case.name for it in file.found] == ["bulk-1", "open-100"]
    content = json.loads(path.read_text())
    assert content["environment"]["peers"] == {"open-100": "1", "bulk-1": "1"}
    assert content["findings"][1]["rounds"] == {
        "twisted": {"rate": [3, 6]},
        "twisted_mux yamux": {"rate": [6, 9]},
    }
    assert [it["case"] for it in content["targets"]] == ["bulk-1", "open-100", "bulk-1"]
    drawAll([str(path), str(tmp_path / "drawn")])
    drawn = sorted(it.name for it in (tmp_path / "drawn").iterdir())
    assert drawn == ["bulk.svg", "open.svg"]
    with pytest.raises(ValueError, match="other times"):
        command.File(path, {"peers": {}}, {"rounds": 3}).load()
