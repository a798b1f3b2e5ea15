from __future__ import annotations

import pytest
from layersmith.errors import ConfigError
from layersmith.ship.aws import regions


def test_all_partitions_are_known_and_wrong_names_are_corrected() -> None:
    assert len(regions.expand(("all",))) == 34
    assert regions.expand(("aws-cn", "eu-west-1")) == ("cn-north-1", "cn-northwest-1", "eu-west-1")
    with pytest.raises(ConfigError, match="eu-wset-1") as caught:
        regions.expand(("eu-wset-1",))
    assert caught.value.hint == "did you mean eu-west-1?"
