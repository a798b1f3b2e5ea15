from __future__ import annotations

import pytest
from layersmith.config.models import Layer


@pytest.fixture
def layer() -> Layer:
    return Layer(
        runtimes=["python3.13"], description="demo", version="1.0.0", requirements=["demo"]
    )
