"""
Makes the pictures of C{docs/pictures.md}, from the real thing::

    python -m docs.making.pictures [--seconds N] [--only demo|status]

The demo runs in a pseudo-terminal, whose last screen becomes an SVG.  The status page
is that of a C{twist mux} whose tunnels are used by many C{curl}s, seen by a headless
Chromium, as a PNG of few colours.  The benchmarks' drawings are made by
C{tests/benchmarks/plot.py}.

Needs what the extras C{test} and C{pictures} install, curl, and chromium.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import os
import pty
import random
import re
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte
import twisted
from PIL import Image
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.integration.browser import Browser, browsing
from tests.integration.programs import (
    Program,
    Programs,
    environment,
    freePort,
    webServer,
)

ROOT = Path(__file__).parents[2]
#: Where they go.
FOLDER = ROOT / "docs" / "pictures"
#: The terminal's size.
COLUMNS, ROWS = 84, 30
#: What is typed in it: the folder is there by that name.
COMMAND = ("python", "-m", "twisted_mux", "demo", "--path", "twisted")
#: Of the browser's window, in its own pixels, and how many of the picture's each is.
WIDTH, SCALE = 1200, 1.25
#: Colours of a PNG: it is text and lines.
COLOURS = 96
#: Bytes of files that are fetched through tunnels.
SIZES = {"page": 20_000, "image": 400_000, "archive": 30_000_000}
_WINDOW = struct.Struct("HHHH")

THEME = TerminalTheme(
    (24, 28, 36),
    (222, 226, 233),
    [
        *((24, 28, 36), (229, 92, 92), (98, 190, 120), (214, 170, 80)),
        *((98, 154, 230), (190, 120, 200), (80, 180, 190), (222, 226, 233)),
    ],
)
# pyte calls two of them by other names than everybody else.
_COLOURS = {"brown": "yellow", "brightbrown": "bright_yellow"}
#: As L{Console.export_svg} wants it; nothing is fetched from anywhere.
SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: "DejaVu Sans Mono", "Liberation Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 16px; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})"
  clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


# A terminal.


def screenOf(command: Sequence[str], typed: str, folder: Path) -> pyte.Screen:
    """
    Run a program in a terminal of its own.

    @param typed: what a user would have typed for that.
    @return: what is on its screen in the end.
    @raise CalledProcessError: it has failed.
    """
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    stream.feed(f"$ {typed}\r\n".encode())
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, _WINDOW.pack(ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(TERM="xterm-256color", COLORTERM="truecolor"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    with open(ours, "rb", buffering=0) as terminal:
        while True:
            try:
                data = terminal.read(65536)
            except OSError:
                # Linux's way to say that nobody has it open any more.
                break
            if not data:
                break
            stream.feed(data)
    if process.wait():
        raise subprocess.CalledProcessError(
            process.returncode, command, "\n".join(screen.display)
        )
    return screen


def textOf(screen: pyte.Screen) -> Text:
    """
    What is on a screen, as far down as there is anything.
    """
    lines = []
    for row in range(screen.lines):
        line = Text()
        cells = [screen.buffer[row][column] for column in range(screen.columns)]
        # What looks the same is one piece, or there would be one for each letter.
        for style, run in groupby(cells, styleOf):
            line.append("".join(cell.data for cell in run), style)
        line.rstrip()
        lines.append(line)
    while not lines[-1].plain:
        del lines[-1]
    return Text("\n").join(lines)


def styleOf(cell: Any) -> Style:
    """
    How a cell of the screen looks.
    """

    def colour(name: str) -> Color | None:
        if name == "default":
            return None
        if re.fullmatch("[0-9a-f]{6}", name):
            return Color.parse(f"#{name}")
        return Color.parse(_COLOURS.get(name, name.replace("bright", "bright_")))

    return Style.from_color(colour(cell.fg), colour(cell.bg)) + Style(
        bold=cell.bold, italic=cell.italics, reverse=cell.reverse
    )


def drawn(text: Text, title: str) -> str:
    """
    A terminal as SVG.
    """
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True
    )
    console.print(text, no_wrap=True, crop=False)
    made = console.export_svg(
        title=title, theme=THEME, code_format=SVG, unique_id="demo"
    )
    made = made.replace("&#160;", "\N{NO-BREAK SPACE}")

    # Where things are, to a tenth; not what is written there.
    def rounded(tag: re.Match[str]) -> str:
        return re.sub(r"(\d+\.\d)\d+", r"\1", tag[0])

    return re.sub(r"<[^>]*>", rounded, made)


def demo() -> Path:
    """
    The demo, with the installed Twisted as the folder that it serves.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "twisted").symlink_to(Path(twisted.__file__).parent)
        command = [sys.executable, *COMMAND[1:]]
        screen = screenOf(command, " ".join(COMMAND), Path(folder))
    file = FOLDER / "demo.svg"
    file.write_text(drawn(textOf(screen), "python -m twisted_mux demo"))
    return file


# The status page.


class Load:
    """
    Many C{curl}s, whose number changes.
    """

    def __init__(self) -> None:
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def add(self, port: int, name: str, limit: str, pause: float) -> None:
        """
        One more, again and again.

        @param limit: bytes per second at most, as curl takes it.
        @param pause: seconds between two, on average.
        """

        def run() -> None:
            chance = random.Random(len(self._threads))
            command = ["curl", "-sS", "--limit-rate", limit, "-o", os.devnull]
            while not self._over.wait(chance.uniform(0, 2 * pause)):
                subprocess.run(
                    [*command, f"http://127.0.0.1:{port}/{name}"],
                    check=False,
                    capture_output=True,
                )

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        """
        That was all.
        """
        self._over.set()
        for thread in self._threads:
            thread.join()


TUNNELS = """\
[tunnels.shop]
from = "tcp:{shop}"
to = "mux-listen:tcp:{carriers}:muxProtocol=shop"

[tunnels.downloads]
from = "tcp:{downloads}"
to = "mux-listen:tcp:{carriers}:muxProtocol=downloads"
"""
BEHIND = """\
[tunnels.shop]
from = "mux-dial:tcp:127.0.0.1:{carriers}:muxProtocol=shop"
to = "tcp:127.0.0.1:{web}"

[tunnels.downloads]
from = "mux-dial:tcp:127.0.0.1:{carriers}:muxProtocol=downloads"
to = "tcp:127.0.0.1:{web}"
"""


@contextmanager
def tunnelling(folder: Path) -> Iterator[tuple[int, dict[str, int]]]:
    """
    Two machines' worth of C{twist mux} behind a third, which publishes their ports.

    @return: the port of the third's status page, and those of the tunnels.
    """
    served = folder / "served"
    served.mkdir()
    for name, size in SIZES.items():
        (served / name).write_bytes(os.urandom(size))
    ports = {name: freePort() for name in ("shop", "downloads", "carriers")}
    programs = Programs(folder)
    with webServer(served) as web:
        try:
            (folder / "tunnels.toml").write_text(TUNNELS.format(**ports))
            (folder / "behind.toml").write_text(BEHIND.format(**ports, web=web))
            publish = programs.mux("--config", "tunnels.toml", "--status", "tcp:0")
            status = statusPort(publish)
            for _ in range(2):
                programs.mux("--config", "behind.toml")
            publish.saw("carrier up", 2)
            yield status, ports
        finally:
            programs.endAll()


def statusPort(program: Program) -> int:
    """
    Where its page is.
    """
    return int(program.field("address", "status page at").rpartition(":")[2])


def photograph(browser: Browser, scheme: str) -> Path:
    """
    The whole page as a file.
    """
    browser.prefer(scheme)
    height = browser.find("document.documentElement.scrollHeight")
    browser.tell(
        "Emulation.setDeviceMetricsOverride",
        width=WIDTH,
        height=height,
        deviceScaleFactor=SCALE,
        mobile=False,
    )
    file = FOLDER / f"status-{scheme}.png"
    picture = Image.open(io.BytesIO(browser.picture(file))).convert("RGB")
    few = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(file, optimize=True)
    return file


def status(seconds: float) -> list[Path]:
    """
    The status page, after it has seen so many seconds of load.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load = Load()
        with browsing(folder) as browser, tunnelling(folder) as (page, ports):
            browser.visit(f"http://127.0.0.1:{page}/")
            try:
                for phase in range(3):
                    for _ in range(8):
                        load.add(ports["shop"], "page", "200k", 0.3)
                        load.add(ports["shop"], "image", "300k", 0.5)
                    load.add(ports["downloads"], "archive", "6M", 1.5 * phase)
                    time.sleep(seconds / 3)
                files = [photograph(browser, scheme) for scheme in ("light", "dark")]
            finally:
                load.end()
            assert browser.complaints == [], browser.complaints
    return files


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Makes the pictures.")
    parser.add_argument("--only", choices=["demo", "status"], help="just that")
    parser.add_argument("--seconds", type=float, default=90, help="of load")
    options = parser.parse_args(arguments)
    FOLDER.mkdir(exist_ok=True)
    files: list[Path] = []
    if options.only != "status":
        files.append(demo())
    if options.only != "demo":
        files += status(options.seconds)
    for file in files:
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
