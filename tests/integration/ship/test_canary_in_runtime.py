"""A layer with native code, built, published, and started by its canary in the ARM64 runtime."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer, Project

ROOT = Path(__file__).parents[3]
REGION = "eu-west-1"


@pytest.mark.docker
@pytest.mark.slow
def test_a_real_layer_passes_its_canary_and_a_foreign_one_does_not(
    aws_with_runtime: AwsServer, project: Project
) -> None:
    document = yaml.safe_load((ROOT / "layers.yaml").read_text(encoding="utf-8"))
    layer = document["layers"]["imaging"] | {"runtimes": ["python3.13"], "regions": [REGION]}
    for folder in ("locks", "tests/smoke"):
        shutil.copytree(ROOT / folder, project.root / folder)
    path = project.root / "layers.yaml"
    path.write_text(yaml.safe_dump({"layers": {"imaging": layer}}), encoding="utf-8")
    built = project.run("build", *project.places, "--quiet")
    assert built.code == 0, built.err

    good = project.apply("--max-attempts", "1")

    assert good.code == 0, good.err
    assert "canary" in {step["step"] for step in good.json["done"]}
    assert project.verify().code == 0

    # The same zip, said to hold a module that no wheel brought.
    manifest = next((project.root / "dist").glob("*3.13-arm64.json"))
    text = manifest.read_text(encoding="utf-8").replace('"PIL"', '"PIL", "not_there"', 1)
    manifest.write_text(text, encoding="utf-8")
    aws_with_runtime.reset()
    bad = project.apply("--max-attempts", "1")

    assert bad.code == 9
    assert "No module named 'not_there'" in bad.json["findings"][0]["found"]
    assert aws_with_runtime.client("lambda", REGION).list_functions()["Functions"] == []
