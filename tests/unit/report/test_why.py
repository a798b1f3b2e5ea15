"""What `why` tells of files, modules, libraries and distributions, from the manifests in dist/."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import cli
from layersmith.assemble import manifest as manifests
from layersmith.assemble.manifest import Dropped, KeptRecord, PrunedRule
from layersmith.errors import BuildError
from layersmith.recipes.models import RecipeUse

from tests.support.envelopes import data_of, envelope_of

from . import made

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "pillow": {
        "python/PIL/Image.py": 100,
        "python/PIL/_webp.cpython-313-aarch64-linux-gnu.so": 100,
        "python/pillow.libs/libwebp-bac0fc6b.so.7.2.0": 100,
    },
    "shop": {"python/shop/__init__.pyc": 100, "python/shop/docs/a.py": 100},
}
BILL = {"components": [{"name": "pillow", "components": [{"name": "zlib", "version": "1.3"}]}]}


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """Two targets of one layer, and what was left out of them."""
    use = RecipeUse(
        name="shop",
        version="1.0",
        prune={"shop/server/": "the server"},
        excludes={"grpcio": "spans by gRPC"},
        lite_blas="large products take longer",
    )
    for runtime in ("python3.12", "python3.13"):
        one = made.manifest(FILES, runtime=runtime, requires={"shop": ["pillow", "grpcio"]})
        inputs = one.inputs.model_copy(update={"requirements": ["shop[all]>=1"]})
        changed = {
            "inputs": inputs,
            "dropped": [
                Dropped(name="grpcio", version="1.2", reason="spans by gRPC"),
                Dropped(name="boto3", version="1.9", reason="provided by the runtime"),
            ],
            "kept": [
                KeptRecord(path="python/shop/docs/a.py", rule="docs", reason="it is imported")
            ],
            "pruned": [
                PrunedRule(rule="recipe:shop", files=3, unzipped=9),
                PrunedRule(rule="tests", files=5, unzipped=9),
            ],
            "recipes": [use],
        }
        path = tmp_path / one.artifact.filename.replace(".zip", ".json")
        manifests.write(one.model_copy(update=changed), path)
        path.with_suffix(".cdx.json").write_text(json.dumps(BILL))
    return tmp_path


def ask(dist: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert cli.main(["why", *words, "--dist", str(dist), "--json"]) == 0
    found: list[dict[str, Any]] = data_of(capsys.readouterr().out)["answers"]
    return found


CHAIN = ["shop[all]>=1", "pillow"]
WEBP = "python/pillow.libs/libwebp-bac0fc6b.so.7.2.0"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Pillow", {"name": "pillow", "kind": "distribution", "chain": CHAIN, "size": 300}),
        ("PIL.Image", {"name": "python/PIL/Image.py", "distribution": "pillow 1.0"}),
        ("PIL", {"name": "pillow", "kind": "distribution", "chain": CHAIN}),
        ("shop.docs", {"name": "shop", "kind": "distribution"}),
        ("python/pillow.libs/", {"name": "pillow", "kind": "distribution"}),
        ("PIL._webp", {"name": "python/PIL/_webp.cpython-313-aarch64-linux-gnu.so"}),
        ("/opt/python/PIL/Image.py", {"name": "python/PIL/Image.py", "chain": CHAIN}),
        ("libwebp", {"name": WEBP, "kind": "file", "distribution": "pillow 1.0"}),
        ("libwebp.so.7", {"name": WEBP}),
        ("libwebp-bac0fc6b.so.7.2.0", {"name": WEBP}),
        ("zlib", {"kind": "component", "version": "1.3", "distribution": "pillow 1.0"}),
        ("shop/docs/a.py", {"present": True, "rule": "docs", "reason": "kept: it is imported"}),
        ("grpcio", {"present": False, "rule": "recipe:shop", "chain": ["shop[all]>=1", "grpcio"]}),
        ("boto3", {"present": False, "rule": "provided", "chain": []}),
        ("shop.server.app", {"rule": "recipe:shop", "reason": "shop/server/: the server"}),
        ("shop/tests/test_a.py", {"present": False, "rule": "tests"}),
        ("openblas", {"rule": "recipe:shop", "reason": "large products take longer"}),
    ],
)
def test_why_something_is_there_or_not(
    dist: Path, capsys: pytest.CaptureFixture[str], name: str, expected: dict[str, Any]
) -> None:
    (answer,) = ask(dist, capsys, name)
    assert {key: answer[key] for key in expected} == expected
    assert answer["targets"] == ["demo-python3.12-arm64", "demo-python3.13-arm64"]


def test_a_bare_module_is_its_bytecode(dist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (answer,) = ask(dist, capsys, "python/shop/__init__.pyc")
    assert answer["distribution"] == "shop 1.0"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pilow", "did you mean pillow?"),
        ("libweb", "did you mean libwebp?"),
        ("other/tests/a.py", "name a file"),
    ],
)
def test_an_unknown_name_leads_to_close_ones(
    dist: Path, capsys: pytest.CaptureFixture[str], name: str, hint: str
) -> None:
    assert cli.main(["why", name, "--dist", str(dist), "--json"]) == 2
    (error,) = envelope_of(capsys.readouterr().out)["errors"]
    assert hint in error["next"]


def test_people_read_one_block_per_answer(dist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["why", "libwebp", "--dist", str(dist)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{WEBP} (file, 0.1 kB)"
    assert "  required by  shop[all]>=1 -> pillow" in lines


def test_a_target_that_is_not_built_is_named(
    dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["why", "pillow", "--target", "other", "--dist", str(dist)]
    assert cli.main(words) == BuildError.exit_code
    assert "has no manifests of other" in capsys.readouterr().err
