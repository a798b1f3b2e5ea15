from __future__ import annotations

import pytest

from tests.support.breakages import Wheelhouse


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    """Real wheels, installed once a session."""
    return Wheelhouse(tmp_path_factory.mktemp("house"))
