from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest
from layersmith import cache
from layersmith.assemble import files, wheel
from layersmith.assemble.tree import Bytes, Entry, Tree
from layersmith.config.models import Stub
from layersmith.errors import BuildError

from tests.support import wheels

if TYPE_CHECKING:
    from pathlib import Path

STUB = Stub(path="stub", reason="never used here")


def test_a_stub_brings_its_files_and_metadata_that_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "stub" / "demo"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("x = 1\n")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_text("")
    found = {e.path: e for e in files.of_stub("demo-api", "2.0", STUB, folder.parent)}
    assert set(found) == {
        "python/demo/__init__.py",
        "python/demo_api-2.0+stub.dist-info/METADATA",
        "python/demo_api-2.0+stub.dist-info/RECORD",
    }
    metadata = found["python/demo_api-2.0+stub.dist-info/METADATA"].source.read().decode()
    assert "Name: demo-api\nVersion: 2.0+stub\n" in metadata
    assert "never used here" in metadata


def test_an_empty_stub_is_refused(tmp_path: Path) -> None:
    (tmp_path / "stub").mkdir()
    with pytest.raises(BuildError, match="is empty"):
        files.of_stub("demo", "2.0", STUB, tmp_path / "stub")


def test_a_stubs_digest_follows_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    first = cache.sha256_folder(tmp_path)
    (tmp_path / "a.py").write_text("2")
    second = cache.sha256_folder(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert len({first, second, cache.sha256_folder(tmp_path)}) == 3


def rows(tree: Tree, path: str) -> dict[str, tuple[str, str]]:
    text = tree.entries[path].source.read().decode()
    return {name: (digest, size) for name, digest, size in csv.reader(text.splitlines())}


def test_record_has_what_is_left_with_the_hash_of_its_bytes(tmp_path: Path) -> None:
    path = wheels.make(
        tmp_path, "demo", {"demo/a.py": b"a", "demo/b,c.py": b"bb", "demo/gone.py": b""}
    )
    read = wheel.read(path, "demo")
    tree = Tree()
    for entry in read.entries:
        tree.add(entry)
    tree.remove("python/demo/gone.py", "rule")
    tree.replace(tree.entries["python/demo/a.py"].with_content(b"changed"))
    tree.add(Entry("python/demo/__pycache__/a.cpython-313.pyc", Bytes(b"x"), "demo"))
    wheel.correct_records(tree, read.hashes)
    found = rows(tree, "python/demo-1.0.dist-info/RECORD")
    assert {f"python/{name}" for name in found} == set(tree.entries)
    assert found["demo/a.py"] == (wheels.digest(b"changed"), "7")
    assert found["demo/b,c.py"] == (wheels.digest(b"bb"), "2")
    assert found["demo/__pycache__/a.cpython-313.pyc"] == ("", "")
    assert found["demo-1.0.dist-info/RECORD"] == ("", "")
