"""Layers near the most that Lambda unpacks: taken to the last byte, refused beyond."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.base.runtimes import UNZIPPED_LIMIT
from layersmith.ship.publish import desired

from tests.integration.ship.releases import LayerSpec

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer, Project

ONE = ("eu-west-1",)


@pytest.mark.slow  # four zips of 262 MB unpacked
def test_a_layer_of_just_as_much_as_lambda_takes(
    aws: AwsServer, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(LayerSpec(regions=ONE, unzipped=UNZIPPED_LIMIT))

    full = project.apply()
    assert full.code == 9
    assert "the layer leaves 0 bytes for a function's code; its canary needs" in full.err
    assert aws.calls("PublishLayerVersion") == []
    assert project.apply("--no-canary").code == 0
    assert project.verify().code == 0

    project.write(LayerSpec(regions=ONE, version="1.0.1", unzipped=UNZIPPED_LIMIT - 10_000))
    roomy = project.apply()
    assert roomy.code == 0, roomy.err
    project.write(LayerSpec(regions=ONE, version="1.0.2", unzipped=UNZIPPED_LIMIT + 1))
    refused = project.apply("--no-canary")
    assert refused.code == 9
    assert "holds 262,144,001 bytes of files" in refused.err
    assert len(aws.calls("PublishLayerVersion")) == 2

    # AWS says the same of a zip whose manifest is wrong.
    monkeypatch.setattr(desired, "UNZIPPED_LIMIT", UNZIPPED_LIMIT + 1)
    told = project.apply("--no-canary", "--max-attempts", "1")
    assert told.code == 9
    (left_out,) = told.json["quarantined"]
    assert "Unzipped size must be smaller than 262144000 bytes" in left_out["reason"]
