"""Plans and dry runs change nothing: every call of theirs is recorded, all but reads refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.ship.releases import LayerSpec, published
from tests.support import aws_calls

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer, Project

DRY = [
    ("publish", "plan"),
    ("gc", "--keep", "1", "--days", "0"),
    ("rollback", "alpha", "--dry-run"),
    ("promote", "alpha", "1.0.0", "--dry-run"),
    ("yank", "alpha", "1.0.0", "--reason", "why", "--dry-run"),
    ("yank", "alpha", "1.0.0", "--undo", "--dry-run"),
    ("verify",),
    ("release", "alpha", "--dry-run"),
]


@pytest.mark.parametrize("words", DRY, ids=" ".join)
@pytest.mark.parametrize("account", ["empty", "filled"])
def test_a_dry_run_only_reads(
    aws: AwsServer, project: Project, words: tuple[str, ...], account: str
) -> None:
    if account == "filled":
        published(aws, "eu-west-1", "alpha", ["1.0.0", "1.1.0"])
    project.write(LayerSpec(version="1.2.0", regions=("eu-west-1", "us-east-1")))
    dist = [] if words[0] in {"gc", "rollback", "promote", "yank"} else project.places[2:]
    before = sorted(project.root.rglob("*"))

    with aws_calls.only_reads() as calls:
        done = project.run(*words, *project.places[:2], *dist)

    assert done.code in {0, 9}, done.err
    assert calls or words[0] == "release"
    assert sorted(project.root.rglob("*")) == before
