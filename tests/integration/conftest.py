"""
What tests on the real reactor share.
"""

from __future__ import annotations

import pytest

from tests.integration.certificates import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """
    Certificates for a server and a client.
    """
    return Certificates(tmp_path_factory.mktemp("certificates"))
