"""
The page of C{twist mux --status}: processes in pairs under load, looked at with curl and
with Chromium.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.browser import browsing
from tests.integration.programs import PATIENCE, Program, Programs, curl, webServer

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

SIZE = 4 * 1024 * 1024
TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """
    A web server with a large file: its port.
    """
    folder = tmp_path_factory.mktemp("served")
    (folder / "large").write_bytes(os.urandom(SIZE))
    with (folder / "endless").open("wb") as file:
        # More than kernels hold for a reader that is slow; not on the disk.
        file.truncate(256 * 2**20)
    with webServer(folder) as port:
        yield port


def statusPort(program: Program) -> int:
    """
    Where its page is.
    """
    return int(program.field("address", "status page at").rpartition(":")[2])


def tunnels(programs: Programs, web: int, *options: str) -> tuple[Program, Program]:
    """
    A reverse tunnel; the side that publishes shows its status.
    """
    publish = programs.tunnel("tcp:0", "mux-listen:tcp:0", "--status", *options)
    expose = programs.tunnel(
        f"mux-dial:tcp:127.0.0.1:{publish.carrierPort}",
        *(f"tcp:127.0.0.1:{web}", "--status", "tcp:0"),
    )
    return publish, expose


def answer(port: int, path: str, *more: str) -> tuple[str, str]:
    """
    What curl gets: the head and the body.
    """
    done = subprocess.run(
        ["curl", "-sS", "--include", *more, f"http://127.0.0.1:{port}/{path}"],
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    head, _, body = done.stdout.partition("\n\n")
    return head, body


def until(
    port: int, condition: Callable[[dict[str, Any]], bool], *more: str
) -> dict[str, Any]:
    """
    Ask for the figures, until they are as they should be: a sample is made each second.
    """
    for _ in range(PATIENCE * 20):
        status: dict[str, Any] = json.loads(curl(port, "status.json", *more))
        if condition(status):
            return status
    raise AssertionError(status)


def test_figures(programs: Programs, web: int) -> None:
    """
    Both sides tell the same story of what went through, and Prometheus' parser
    understands theirs.
    """
    parser = pytest.importorskip("prometheus_client.parser")
    publish, expose = tunnels(programs, web, "tcp:0")
    for _ in range(3):
        assert len(curl(publish.port, "large")) == SIZE

    def enough(status: dict[str, Any]) -> bool:
        (tunnel,) = status["tunnels"]
        carriers: list[dict[str, Any]] = status["carriers"]
        return bool(
            tunnel["bytesBack"] > 3 * SIZE
            and not tunnel["live"]
            and any(it["roundTrip"] and not it["streams"] for it in carriers)
        )

    ours = until(statusPort(publish), enough)
    theirs = until(statusPort(expose), enough)
    assert ours["carriers"][0]["role"] == "server"
    assert ours["carriers"][0]["bytesReceived"] > 3 * SIZE
    assert ours["carriers"][0]["streamsOpened"] == 3
    assert theirs["carriers"][0]["streamsAccepted"] == 3
    assert [it["tunnels"] for it in ours["carriers"]] == [["1"]]
    for status in (ours, theirs):
        assert status["tunnels"][0]["total"] == 3
        assert "carrier up" in " ".join(it["text"] for it in status["messages"])
        columns = status["history"]["columns"]
        assert all(len(row) == len(columns) for row in status["history"]["rows"])
    text = curl(statusPort(publish), "metrics").decode()
    families = parser.text_string_to_metric_families(text)
    found = [sample for family in families for sample in family.samples]
    assert all(
        sample.labels in ({"role": "server", "wire": "yamux"}, {"tunnel": "1"})
        for sample in found
    )
    samples = {sample.name: sample.value for sample in found}
    assert samples["twisted_mux_sessions"] == 1
    assert samples["twisted_mux_received_bytes_total"] > 3 * SIZE
    assert samples["twisted_mux_round_trip_seconds"] > 0
    assert samples["twisted_mux_bridge_connections_total"] == 3
    assert [publish.terminate(), expose.terminate()] == [0, 0]


def test_refused(programs: Programs) -> None:
    """
    A connection whose target refuses is seen.
    """
    program = programs.tunnel("tcp:0", "tcp:127.0.0.1:1", "--status", "tcp:0")
    done = subprocess.run(
        ["curl", "-sS", f"http://127.0.0.1:{program.port}/"], capture_output=True
    )
    assert done.returncode
    status = until(statusPort(program), lambda it: bool(it["tunnels"][0]["failed"]))
    errors = status["history"]["columns"].index("errors")
    assert sum(row[errors] for row in status["history"]["rows"]) == 1
    assert any(
        it["level"] == "warn" and "refused" in it["text"] for it in status["messages"]
    )


def test_token(programs: Programs, web: int) -> None:
    """
    Without the token nobody gets to know anything but that; the log does not tell it.
    """
    publish, _ = tunnels(programs, web, "tcp:0:interface=", "--status-token", TOKEN)
    port = statusPort(publish)
    for path in ("", "status.json", "metrics", "other", "?token=other"):
        head, body = answer(port, path)
        assert head.startswith("HTTP/1.1 401 ")
        assert body == "a token is needed\n"
    head, _ = answer(port, "status.json", "-H", f"Authorization: Bearer {TOKEN}")
    assert head.startswith("HTTP/1.1 200 ")
    assert "no-store" in head
    assert answer(port, f"?token={TOKEN}")[0].startswith("HTTP/1.1 200 ")
    assert publish.terminate() == 0
    assert TOKEN not in "\n".join(publish.lines)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("tcp:0:interface=0.0.0.0",), r"status-token is needed"),
        (("tcp:0", "--status-token", "short"), r"8 or more plain characters"),
        (("foo:",), r"no kind of endpoints is called 'foo'"),
    ],
)
def test_bad(options: tuple[str, ...], complaint: str, programs: Programs) -> None:
    """
    It does not start where anybody could look, or where that makes no sense.
    """
    program = programs.tunnel("tcp:0", "tcp:127.0.0.1:1", "--status", *options)
    assert program.end() != 0
    assert len(program.saw(complaint)) == 1


def test_portInUse(programs: Programs) -> None:
    """
    One line, and the end.
    """
    first = programs.tunnel("tcp:0", "tcp:127.0.0.1:1", "--status", "tcp:0")
    again = ("--status", f"tcp:{statusPort(first)}")
    program = programs.tunnel("tcp:0", "tcp:127.0.0.1:1", *again)
    assert program.end() == 1
    assert len(program.saw("status page: Couldn't listen on")) == 1


def cells(table: str) -> str:
    """
    JavaScript for the text of the cells of a table's first row.
    """
    return f"[...document.querySelectorAll('#{table} tbody tr:first-child td')].map((it) => it.textContent)"


def test_browser(programs: Programs, web: int, tmp_path: Path) -> None:
    """
    The page shows what happens, keeps up with it, and survives the end of the process;
    nothing offends its security policy.
    """
    with browsing(tmp_path) as browser:
        publish, expose = tunnels(programs, web, "tcp:0", "--status-token", TOKEN)
        port = statusPort(publish)
        browser.visit(f"http://127.0.0.1:{port}/?token={TOKEN}")
        browser.find("document.querySelectorAll('#carriers tbody tr td').length > 1")
        assert browser.find(cells("carriers"))[2:5] == ["yamux", "server", "up"]
        assert browser.find(cells("tunnels"))[4] == "0"
        slowly = ("curl", "-sS", "--limit-rate", "100k", "-o", os.devnull)
        load = [
            programs.start(*slowly, f"http://127.0.0.1:{publish.port}/endless")
            for _ in range(4)
        ]
        # The figures move without anybody asking for it...
        browser.find(f"{cells('tunnels')}[3] === '4'")
        plot = "document.querySelector('figure').textContent"
        browser.find(f"/most [0-9.]+ [KM]iB.s/.test({plot})")
        browser.find(f"{cells('carriers')}[10].endsWith('ms')")
        time = browser.find("document.body.dataset.time")
        browser.find(f"document.body.dataset.time !== '{time}'")
        for scheme in ("light", "dark"):
            browser.prefer(scheme)
            picture = browser.picture(tmp_path / f"{scheme}.png")
            assert picture.startswith(b"\x89PNG")
        for each in load:
            each.kill()
        browser.find(f"{cells('tunnels')}.slice(3, 5).join() === '0,4'")
        # ... and the past is still there after it is loaded again.
        points = "document.querySelector('polyline')?.points.numberOfItems"
        before = browser.find(points)
        assert before > 3
        browser.visit(f"http://127.0.0.1:{port}/?token={TOKEN}&again")
        browser.find("location.search.endsWith('again') && document.readyState")
        assert browser.find(points) >= before
        # The other side's end is seen, and then our own.
        assert expose.terminate() == 0
        browser.find(f"{cells('carriers')}[0] === 'none'")
        assert browser.complaints == []
        assert publish.terminate() == 0
        browser.find("!document.querySelector('#trouble').hidden")


def test_browserHasNoToken(programs: Programs, web: int, tmp_path: Path) -> None:
    """
    Who opens the page without the token sees that one is needed, and nothing else.
    """
    with browsing(tmp_path) as browser:
        publish, _ = tunnels(programs, web, "tcp:0", "--status-token", TOKEN)
        browser.visit(f"http://127.0.0.1:{statusPort(publish)}/")
        text = browser.find("document.body && document.body.innerText")
        assert text.strip() == "a token is needed"
