"""What is proposed of what no proof touched."""

from __future__ import annotations

from typing import Any

import pytest
from layersmith.assemble.manifest import Manifest
from layersmith.assemble.prune import PruneRule
from layersmith.prove.slim.propose import pattern_of, propose
from layersmith.prove.slim.trace import unit
from pathspec import GitIgnoreSpec

OWNERS = {
    "pkg": [
        "pkg/__init__.py",
        "pkg/__pycache__/__init__.cpython-313.pyc",
        "pkg/used.py",
        "pkg/idle.py",
        "pkg/__pycache__/idle.cpython-313.pyc",
        "pkg/_fast.cpython-313-aarch64-linux-gnu.so",
        "pkg/table.dat",
        "pkg/folder/__init__.py",
        "pkg/folder/deep/more.py",
        "pkg/lists/words.txt",
        "pkg/LICENSE.py",
        "pkg.libs/libfast.so",
        "pkg-1.0.dist-info/METADATA",
    ],
    "other": ["other.py", "other-1.0.dist-info/METADATA"],
    "asked": ["asked.py", "asked-1.0.dist-info/METADATA"],
    "mine": ["mine/__init__.py", "mine/idle.py"],
    "replaced": ["replaced/__init__.py"],
}
ORIGINS = {"mine": "local", "replaced": "stub"}
TOUCHED = {"python/pkg/__init__.py", "python/pkg/used.py"}


def manifest(owners: dict[str, list[str]] = OWNERS) -> Manifest:
    files: list[dict[str, Any]] = [
        {"path": f"python/{path}", "size": 100, "zipped": 40, "distribution": name}
        for name, paths in owners.items()
        for path in paths
    ]
    distributions = [
        {
            "name": name,
            "version": "1.0",
            "origin": ORIGINS.get(name, "wheel"),
            "unzipped": 100,
            "zipped": 40,
            "native": 0,
            "bytecode": 0,
            "files": len(paths),
            "modules": [],
            "requires": [],
        }
        for name, paths in owners.items()
    ]
    return Manifest.model_validate(
        {
            "layer": "layer",
            "version": "1.0.0",
            "runtime": "python3.13",
            "architecture": "arm64",
            "identifier": "layer-python3.13-arm64",
            "description": "a layer",
            "artifact": {
                "filename": "layer.zip",
                "sha256": "0",
                "code_sha256": "0",
                "zipped": 1,
                "unzipped": 1,
                "files": len(files),
            },
            "inputs": {
                "digest": "0",
                "lock": "0",
                "requirements": ["pkg", "asked"],
                "packages": {},
            },
            "distributions": distributions,
            "dropped": [],
            "pruned": [],
            "bytecode": {"mode": "unchecked-hash", "compiled": 0},
            "audit": {"elf_files": 0},
            "tools": {},
            "files": files,
        }
    )


def test_distributions_folders_and_modules() -> None:
    found = {one.pattern: one for one in propose(manifest(), TOUCHED, {})}
    assert set(found) == {"other", "pkg/folder/", "pkg/lists/", "pkg/idle.py", "pkg/_fast.*so"}
    assert (found["other"].kind, found["other"].files) == ("exclude", 2)
    assert found["pkg/idle.py"].units == ["pkg/idle.py"]
    # The source and its bytecode.
    assert (found["pkg/idle.py"].files, found["pkg/idle.py"].unzipped) == (2, 200)
    assert found["pkg/lists/"].risk == "data"
    assert found["pkg/idle.py"].risk == "unnamed"


def test_what_code_that_stays_names_is_riskier() -> None:
    reached = {"pkg.idle": ["pkg.used"], "pkg.folder.deep.more": ["pkg.folder"]}
    found = {one.pattern: one for one in propose(manifest(), TOUCHED, reached)}
    assert (found["pkg/idle.py"].risk, found["pkg/idle.py"].named_by) == ("named", ["pkg.used"])
    # Named only by what goes as well.
    assert found["pkg/folder/"].risk == "unnamed"


def test_the_largest_comes_first_and_the_small_not_at_all() -> None:
    found = propose(manifest(), TOUCHED, {}, at_least=150)
    assert [one.unzipped for one in found] == [200, 200, 200]


def test_a_distribution_whose_metadata_is_read_is_used() -> None:
    touched = {*TOUCHED, "python/other-1.0.dist-info/METADATA"}
    found = {one.pattern: one.kind for one in propose(manifest(), touched, {})}
    assert "other" not in found
    assert found["/other.py"] == "prune"


def test_a_shared_folder_is_free_only_where_nobody_uses_it() -> None:
    owners = {"a": ["space/a/__init__.py", "a.py"], "b": ["space/b/__init__.py", "b.py"]}
    touched = {"python/a.py", "python/b.py", "python/space/b/__init__.py"}
    found = [one.pattern for one in propose(manifest(owners), touched, {})]
    assert found == ["space/a/"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("python/pkg/__pycache__/a.cpython-313.pyc", "python/pkg/a.py"),
        ("python/pkg/a.pyc", "python/pkg/a.py"),
        ("python/a.py", "python/a.py"),
        ("python/pkg/_a.cpython-312-x86_64-linux-gnu.so", "python/pkg/_a.so"),
        ("python/pkg/_a.abi3.so", "python/pkg/_a.so"),
        ("python/pkg.libs/liba-1b2c.so.3", "python/pkg.libs/liba-1b2c.so.3"),
    ],
)
def test_a_unit_has_one_name_on_every_machine(path: str, expected: str) -> None:
    assert unit(path) == expected


@pytest.mark.parametrize(
    ("path", "gone", "stays"),
    [
        ("six.py", "six.py", "vendor/six.py"),
        ("pkg/_a.so", "pkg/_a.cpython-313-aarch64-linux-gnu.so", "pkg/_ab.abi3.so"),
        ("pkg/a[1].py", "pkg/a[1].py", "pkg/a1.py"),
    ],
)
def test_patterns_mean_what_they_were_made_from(path: str, gone: str, stays: str) -> None:
    rule = PruneRule("x", "x", GitIgnoreSpec.from_lines([pattern_of(path)]))
    assert rule.spec.match_file(gone)
    assert not rule.spec.match_file(stays)
