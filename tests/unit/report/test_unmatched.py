"""Entries of layers.yaml that name nothing are said, with what was probably meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith import lock
from layersmith.assemble.manifest import PrunedRule
from layersmith.config import loader
from layersmith.lock.document import Lock, LockEntry
from layersmith.plan import plan
from layersmith.report import unmatched

from .made import manifest

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.config.loader import LoadedConfig

HEAD = """\
defaults:
  runtimes: ["python3.12", "python3.13"]
"""
LAYER = "    {description: d, version: 1.0.0, requirements: [jinja2]"


def load(tmp_path: Path, *layers: str, defaults: str = "") -> LoadedConfig:
    """Write a layers.yaml whose layers a, b, ... say more."""
    lines = [
        f"  {'abc'[n]}:\n{LAYER}{', ' if more else ''}{more}}}" for n, more in enumerate(layers)
    ]
    path = tmp_path / "layers.yaml"
    path.write_text(f"{HEAD}{defaults}layers:\n" + "\n".join(lines) + "\n")
    return loader.load(path)


def locks(**names: list[str]) -> dict[str, Lock]:
    """Return locks by identifier; the keyword is ``a_312`` for layer a on python3.12."""
    found = {}
    for key, held in names.items():
        layer, minor = key.split("_3")
        entries = [LockEntry(name, "1", "", "") for name in held]
        found[f"{layer}-python3.{minor}-arm64"] = Lock(entries, "", {})
    return found


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("excludes: {markup-safe: typo}", "excludes: markup-safe names nothing; did you mean mark"),
        ("build: {nosuch: {}}", "build: nosuch names nothing"),
        ("stubs: {Jinja3: {path: stub, reason: typo}}", "did you mean jinja2?"),
        ("keep-provided: [botto3]", "keep-provided: botto3 names nothing; did you mean boto3?"),
        ("keep-provided: [boto3]", "keep-provided: boto3 names nothing"),
        ("excludes: {MarkupSafe: fine}", ""),
        ("keep-provided: [six]", ""),
    ],
)
def test_entries_that_name_no_distribution(tmp_path: Path, more: str, message: str) -> None:
    (tmp_path / "stub").mkdir()
    loaded = load(tmp_path, more)
    held = ["jinja2", "markupsafe", "six"]
    said = unmatched.in_locks(loaded, locks(a_312=held, a_313=held))
    assert bool(said) == bool(message)
    if message:
        assert message in said[0]
        assert said[0].startswith("layers.yaml:5:")


def test_what_one_target_needs_is_right_for_all(tmp_path: Path) -> None:
    loaded = load(tmp_path, "excludes: {tomli: old Pythons need it}")
    assert not unmatched.in_locks(loaded, locks(a_312=["tomli"], a_313=["jinja2"]))
    assert unmatched.in_locks(loaded, locks(a_312=["jinja2"], a_313=["jinja2"]))


def test_a_default_is_right_where_one_layer_needs_it(tmp_path: Path) -> None:
    loaded = load(tmp_path, "", "", defaults="  excludes: {markupsafe: because}\n")
    every = locks(a_312=["x"], a_313=["x"], b_312=["markupsafe"], b_313=["x"])
    assert not unmatched.in_locks(loaded, every)
    none = locks(a_312=["x"], a_313=["x"], b_312=["x"], b_313=["x"])
    (said,) = unmatched.in_locks(loaded, none)
    assert said.startswith("layers.yaml:3:14: excludes: markupsafe")


def test_without_a_lock_nothing_is_judged_and_locks_are_read(tmp_path: Path) -> None:
    loaded = load(tmp_path, "excludes: {markupsafe: because}")
    given = locks(a_312=["jinja2"])
    assert not unmatched.in_locks(loaded, given)
    held = Lock([LockEntry("jinja2", "1", "0" * 64, "j.whl")], "0" * 64, {})
    (target,) = plan(loaded.config, only_runtimes=["python3.13"])
    lock.write(held, lock.lock_path(target, loaded.root), target.identifier)
    assert unmatched.in_locks(loaded, given)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("prune: {add: ['jinjja2/**']}", "did you mean jinja2/**?"),
        ("prune: {add: ['jinja2/nothing.py']}", "prune.add: jinja2/nothing.py names nothing"),
        ("prune: {add: ['jinja2/sandbox.py']}", ""),
        ("prune: {add: ['*.txt']}", ""),
        ("import-exceptions: {jinja2.loders: typo}", "did you mean jinja2.loaders?"),
        ("import-exceptions: {jinja2.*: fine}", ""),
        ("forbid-imports: [tkintr]", "did you mean tkinter?"),
        ("forbid-imports: [onnxruntime, tkinter, grpc_extra]", ""),
    ],
)
def test_entries_that_name_no_file_or_module(tmp_path: Path, more: str, message: str) -> None:
    loaded = load(tmp_path, more)
    paths = ["python/jinja2/__init__.py", "python/jinja2/loaders.py", "python/jinja2/sandbox.py"]
    made = [
        manifest({"jinja2": dict.fromkeys(paths, 1)}, layer="a", runtime=runtime).model_copy(
            update={"pruned": [PrunedRule(rule="*.txt", files=1, unzipped=1)]}
        )
        for runtime in ("python3.12", "python3.13")
    ]
    said = unmatched.in_layers(loaded, made)
    assert bool(said) == bool(message)
    assert message in "".join(said)
    assert not unmatched.in_layers(loaded, made[:1]), "the other target may need it"
