"""Names at their limits: 64 characters in layers.yaml, so that AWS's 140 are never passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.errors import ConfigError
from layersmith.ship.aws.labels import NAME_LIMIT

from tests.integration.ship.releases import LayerSpec

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer, Project

SUFFIX = "-python3-13-arm64"
LONGEST = "n" * 64


def test_the_longest_name_is_published_proven_moved_and_withdrawn(
    aws: AwsServer, project: Project
) -> None:
    config = project.places[:2]
    for version in ("1.0.0", "1.1.0"):
        project.write(LayerSpec(LONGEST, version=version))
        done = project.apply("--direct-limit", "1")
        assert done.code == 0, done.err
        # Its function's name is shorter: 64 characters at most.
        assert "canary" in {one["step"] for one in done.json["done"]}
    assert project.verify().code == 0
    arn = project.run("arn", LONGEST, "--region", "us-east-1")
    assert arn.out.strip().endswith(f":layer:{LONGEST}{SUFFIX}:2")
    assert len(arn.out.strip().split(":")[6]) < NAME_LIMIT
    for words in (
        ["rollback", LONGEST, "--yes", *config],
        ["promote", LONGEST, "1.1.0", "--yes", *config],
        ["yank", LONGEST, "1.0.0", "--reason", "wrong", "--yes", *config],
        ["gc", "--apply", "--keep", "1", "--days", "0", *config],
    ):
        result = project.run(*words)
        assert result.code == 0, result.err


@pytest.mark.parametrize("length", [65, NAME_LIMIT - len(SUFFIX), NAME_LIMIT + 1])
def test_a_longer_name_is_refused_before_any_call(
    aws: AwsServer, project: Project, length: int
) -> None:
    project.write(LayerSpec(LONGEST))
    config = project.root / "layers.yaml"
    config.write_text(config.read_text().replace(LONGEST, "n" * length, 1))
    for refused in (project.plan(), project.apply()):
        assert refused.code == ConfigError.exit_code
        assert "layers.yaml:2:" in refused.err
        assert "up to 64" in " ".join(refused.err.split())
    assert aws.calls() == []
