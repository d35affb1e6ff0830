"""
What hypothesis and pytest-twisted need to get along.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def innerTest(request: pytest.FixtureRequest) -> Iterator[None]:
    """
    pytest-twisted wraps hypothesis' inner test before it runs, and once more for
    every further set of parameters, and such wrappers can't be nested.
    """
    handle = getattr(request.function, "hypothesis", None)
    inner = getattr(handle, "inner_test", None)
    yield
    if handle is not None:
        handle.inner_test = inner
