"""
An idle stream is cheap enough.
"""

from __future__ import annotations

import platform

import pytest

from tests.benchmarks.idle_memory import measure
from twisted_mux.wire import wireNames

#: Bytes, as promised for CPython 3.11.
MOST = 800


@pytest.mark.skipif(
    platform.python_implementation() != "CPython",
    reason="what objects cost is CPython's affair",
)
@pytest.mark.parametrize("wire", wireNames())
def test_idleStream(wire: str) -> None:
    """
    Transport and engine state stay within the bound, with 10,000 streams on the
    default wire, and fewer on the others, since counting takes its time.
    """
    assert measure(wire, 10_000 if wire == "yamux" else 1_000) <= MOST
