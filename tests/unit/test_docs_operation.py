"""
The files for running it that the documentation has: of systemd, Prometheus, Grafana.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock

from twisted_mux.metrics import exposition
from twisted_mux.snapshot import Snapshot
from twisted_mux.tunnel_config import readConfig

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples"
SYSTEMD = EXAMPLES / "systemd"
MONITORING = EXAMPLES / "monitoring"


def metrics() -> set[str]:
    """
    The names of all metrics, as they are asked for.
    """
    pytest.importorskip("prometheus_client")
    text = exposition(Snapshot())[0].decode()
    kinds = re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M)
    return {
        name if kind == "gauge" or name.endswith("_total") else f"{name}_total"
        for name, kind in kinds
    }


def used(text: str) -> set[str]:
    """
    The metrics that expressions ask for.
    """
    return set(re.findall(r"twisted_mux_\w+", text))


def test_metrics() -> None:
    assert {"twisted_mux_streams", "twisted_mux_sent_bytes_total"} <= metrics()


@pytest.mark.parametrize("file", ["rules.yml", "dashboard.json"])
def test_metricsExist(file: str) -> None:
    """
    What rules and the dashboard ask for is there.
    """
    asked = used((MONITORING / file).read_text(encoding="utf-8"))
    assert len(asked) >= 5
    assert not asked - metrics()


def test_rulesAskForRecords() -> None:
    """
    What rules ask of each other is recorded.
    """
    text = (MONITORING / "rules.yml").read_text(encoding="utf-8")
    records = set(re.findall(r"^ +- record: (\S+)$", text, re.M))
    assert records
    assert set(re.findall(r"\bmux:[\w:]+", text)) == records


def test_dashboard() -> None:
    """
    It shows every metric that there is but how many sessions there were, and each
    panel has its own place.
    """
    text = (MONITORING / "dashboard.json").read_text(encoding="utf-8")
    assert metrics() - used(text) == {
        "twisted_mux_sessions_started_total",
        "twisted_mux_bridge_connections_total",
        "twisted_mux_bridge_forward_bytes_total",
        "twisted_mux_bridge_back_bytes_total",
    }
    panels = json.loads(text)["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels) == 8


def test_tunnels() -> None:
    """
    The file of tunnels is right, and drains for less than systemd waits.
    """
    config = readConfig(
        MemoryReactorClock(), str(SYSTEMD / "tunnels.toml"), False, None
    )
    assert [tunnel.name for tunnel in config.tunnels] == ["web", "intranet"]
    unit = (SYSTEMD / "mux.service").read_text(encoding="utf-8")
    found = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.M)
    assert found
    assert config.drain < int(found[1])


def test_statusInTheFile(tmp_path: Path) -> None:
    """
    So is the one with a status page.
    """
    page = (DOCS / "how-to" / "status.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"^```toml\n(.*?)^```$", page, re.S | re.M)
    file = tmp_path / "tunnels.toml"
    file.write_text(found, encoding="utf-8")
    config = readConfig(MemoryReactorClock(), str(file))
    assert config.status.where == "tcp:9000:interface=0.0.0.0"
    assert config.status.token


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_unit(tmp_path: Path) -> None:
    """
    systemd finds nothing wrong with the unit; only the program is another.
    """
    text = (SYSTEMD / "mux.service").read_text(encoding="utf-8")
    unit = tmp_path / "mux.service"
    unit.write_text(text.replace("/opt/mux/bin/twist", "/bin/true"), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    complaints = [line for line in done.stderr.splitlines() if "mux.service" in line]
    assert (done.returncode, complaints) == (0, [])
