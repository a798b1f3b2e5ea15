"""Two layers of one function, laid over each other in the order of its list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.assemble.manifest import (
    Artifact,
    AuditRecord,
    BytecodeRecord,
    Distribution,
    FileRecord,
    Inputs,
    Manifest,
)
from layersmith.audit import together
from layersmith.config.models import Config, Function, Layer

from tests.support import zips

if TYPE_CHECKING:
    from pathlib import Path


def made(folder: Path, layer: str, version: str, files: dict[str, bytes]) -> Manifest:
    """Write a layer's zip with the distribution ``six``, and return its manifest."""
    name = f"{layer}.zip"
    zips.write(folder / name, files)
    size = {"unzipped": 1, "zipped": 1, "files": len(files)}
    six = Distribution(
        name="six", version=version, origin="wheel", native=0, bytecode=0, modules=[], requires=[],
        **size,
    )  # fmt: skip
    return Manifest(
        layer=layer,
        version="1.0.0",
        runtime="python3.13",
        architecture="arm64",
        identifier=f"{layer}-python3.13-arm64",
        description="x",
        artifact=Artifact(filename=name, sha256="", code_sha256="", **size),
        inputs=Inputs(digest="", lock="", requirements=[], packages={}),
        distributions=[six],
        dropped=[],
        pruned=[],
        bytecode=BytecodeRecord(mode="none", compiled=0),
        audit=AuditRecord(elf_files=0),
        tools={},
        files=[
            FileRecord(path=path, size=len(content), zipped=1, distribution="six")
            for path, content in files.items()
        ],
    )


def config(*order: str) -> Config:
    one = Layer(description="x", version="1.0.0", runtimes=["python3.13"], requirements=["six"])
    return Config(
        layers=dict.fromkeys(order, one), functions={"query": Function(layers=list(order))}
    )


@pytest.mark.parametrize(("order", "winner"), [(("a", "b"), "b"), (("b", "a"), "a")])
def test_different_versions_name_the_later_layer(
    tmp_path: Path, order: tuple[str, str], winner: str
) -> None:
    versions = {"a": "1.15", "b": "1.17"}
    manifests = [
        made(tmp_path, layer, version, {"python/six.py": version.encode()})
        for layer, version in versions.items()
    ]
    (finding,) = together.check(config(*order), manifests, tmp_path)
    assert finding.distribution == "six"
    assert f"files of {versions[winner]} win, from {winner}-python3.13-arm64" in finding.what


def test_one_path_with_different_bytes(tmp_path: Path) -> None:
    manifests = [
        made(tmp_path, layer, "1.0", {"python/six.py": text, "python/same.py": b"x"})
        for layer, text in (("a", b"1"), ("b", b"2"))
    ]
    (finding,) = together.check(config("a", "b"), manifests, tmp_path)
    assert finding.path == "python/six.py"
    assert "the copy of b-python3.13-arm64 wins" in finding.what


@pytest.mark.parametrize(("count", "more"), [(3, ""), (4, " (and 1 more)")])
def test_the_first_of_many_paths_are_shown(tmp_path: Path, count: int, more: str) -> None:
    names = [f"python/m{number}.py" for number in range(count)]
    manifests = [made(tmp_path, one, "1.0", dict.fromkeys(names, one.encode())) for one in "ab"]
    (finding,) = together.check(config("a", "b"), manifests, tmp_path)
    shown = "python/m0.py, python/m1.py, python/m2.py"
    assert f" hold {shown}{more} with different bytes" in finding.what


def test_what_is_the_same_or_in_no_common_function(tmp_path: Path) -> None:
    same = [made(tmp_path, layer, "1.0", {"python/six.py": b"1"}) for layer in ("a", "b")]
    assert together.check(config("a", "b"), same, tmp_path) == []
    other = [made(tmp_path, layer, layer, {"python/six.py": layer.encode()}) for layer in "cd"]
    assert together.check(config("a", "b"), other, tmp_path) == []
