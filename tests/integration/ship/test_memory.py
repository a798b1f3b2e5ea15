"""The memory of an apply follows from what is in flight, not from regions times layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.ship.publish import uploads

from tests.integration.ship.releases import LayerSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.ship.conftest import AwsServer, Project, Runner

ZIP = 24_000_000
REGIONS = ("eu-west-1", "us-east-1", "ap-south-1", "sa-east-1", "ca-central-1", "eu-north-1")


@pytest.mark.exhaustive
def test_zips_that_go_through_the_bucket_are_never_held_in_memory(
    aws: AwsServer, project: Project, runners: Callable[[], Runner]
) -> None:
    runner = runners()
    options = ["--no-canary", *project.places]
    project.write(LayerSpec(regions=REGIONS))
    small = runner.run("publish", "apply", "--yes", *options)
    project.write(LayerSpec("beta", regions=REGIONS, size=ZIP))

    streamed = runner.run("publish", "apply", "--yes", "--direct-limit", "1000000", *options)
    aws.reset()
    direct = runner.run("publish", "apply", "--yes", *options)

    assert [small.code, streamed.code, direct.code] == [0, 0, 0], streamed.err
    assert (streamed.peak_kib - small.peak_kib) * 1024 < ZIP
    # What the gate lets in at once, at the cost of a request that uploads.py gives.
    assert len(REGIONS) * ZIP > uploads.IN_FLIGHT
    assert (direct.peak_kib - small.peak_kib) * 1024 < uploads.IN_FLIGHT * 8
