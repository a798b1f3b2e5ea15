"""A store in a folder of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chroma_store.storage import Storage, open_storage

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage((tmp_path / "store").as_uri())
