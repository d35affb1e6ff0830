"""
What tests on the real reactor share.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.certificates import Certificates
from tests.integration.programs import Programs


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """
    Certificates for a server and a client.
    """
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """
    Starts programs; none may print a traceback.
    """
    programs = Programs(tmp_path)
    try:
        yield programs
    finally:
        programs.endAll()
    programs.noTracebacks()
