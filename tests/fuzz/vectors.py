"""
What real peers sent (C{tests/vectors}), as something to begin with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.inputs import LONGEST
from twisted_mux.wire.base import Role

_VECTORS = Path(__file__).parents[1] / "vectors"


def messages(wire: str) -> Iterator[tuple[Role, bytes]]:
    """
    Each direction of each recording: who wrote it, and its bytes, as far as they
    make a short input.
    """
    path = _VECTORS / f"{wire}.json"
    for recording in json.loads(path.read_text())["recordings"]:
        for role in Role:
            frames = [
                bytes.fromhex(frame["hex"])
                for frame in recording["frames"]
                if frame["from"] == role.value
            ]
            content = b"".join(frames)[: LONGEST // 4]
            if content:
                yield role, content
