"""
A real browser, told what to do by the DevTools protocol.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.integration.programs import PATIENCE, Program

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1200,1100",
)


def needs(program: str) -> str:
    """
    Where a program is; where it is missing the test is skipped, but in CI it fails.
    """
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        text = f"needs {program}, a Debian package"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    return found


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """
    A browser, and its end.

    @param folder: its profile goes there.
    """
    program = Program(
        needs("chromium"), *_OPTIONS, f"--user-data-dir={folder / 'profile'}"
    )
    try:
        url = program.saw("DevTools listening on ws://")[0].split()[-1]
        port = urlsplit(url).port
        assert port is not None
        # Whatever proxies the environment names.
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
        with connect(url, sock=plain, max_size=None) as connection:
            yield Browser(connection)
    finally:
        program.kill()


class Browser:
    """
    Chromium with one page.

    @ivar complaints: what its console has said.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self.complaints: list[str] = []
        self._number = 0
        self._connection = connection
        self._session = ""
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        attached = self.tell("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        """
        Have it do something.

        @return: what came of it.
        """
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv(timeout=PATIENCE))
            if answer.get("method") == "Log.entryAdded":
                self.complaints.append(answer["params"]["entry"]["text"])
            elif answer.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(answer["params"]))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def visit(self, url: str) -> None:
        """
        Go to a page.
        """
        self.tell("Page.navigate", url=url)

    def find(self, expression: str) -> Any:
        """
        What an expression of JavaScript has as its value, once it has one that is
        true.

        The page looks for itself; it is asked again each second, since it may be on
        its way to another.
        """
        code = (
            "new Promise((found) => {"
            "  const end = Date.now() + 1000;"
            "  const look = () => { let it = null;"
            f"    try {{ it = ({expression}); }} catch {{ /* Not there yet. */ }}"
            "    if (it || Date.now() > end) found(it); else setTimeout(look, 20); };"
            "  look(); })"
        )
        answer: dict[str, Any] = {}
        for _ in range(PATIENCE):
            answer = self.tell(
                "Runtime.evaluate",
                expression=code,
                awaitPromise=True,
                returnByValue=True,
            )
            value = answer["result"].get("value")
            if value and "exceptionDetails" not in answer:
                return value
        text = self.tell("Runtime.evaluate", expression="document.body.innerText")
        raise AssertionError(f"{expression}: {answer}, {text}, {self.complaints}")

    def prefer(self, scheme: str) -> None:
        """
        Light, or dark.
        """
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.tell("Emulation.setEmulatedMedia", features=[feature])

    def picture(self, file: Path) -> bytes:
        """
        What it looks like, also as a file.
        """
        content = b64decode(self.tell("Page.captureScreenshot")["data"])
        file.write_bytes(content)
        return content
