"""
What the tests of faults share.
"""

from __future__ import annotations

import pytest

from twisted_mux.wire import wireNames


@pytest.fixture(params=wireNames())
def wire(request: pytest.FixtureRequest) -> str:
    """
    The name of each wire protocol.
    """
    name: str = request.param
    return name
