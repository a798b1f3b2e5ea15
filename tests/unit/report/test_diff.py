"""What `diff` finds between manifests and locks, and how it says it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from layersmith.assemble import manifest as manifests
from layersmith.errors import BuildError, ConfigError
from layersmith.lock import document
from layersmith.lock.document import Lock, LockEntry
from layersmith.report import diff_text, diffs

from .made import FILES, cold_start, import_tree, manifest

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest


def write(made: Manifest, folder: Path, *, measured: int = 0) -> Path:
    """Write a manifest, and beside it what was measured, ``measured`` times as slow."""
    path = folder / made.artifact.filename.replace(".zip", ".json")
    manifests.write(made, path)
    if measured:
        starts = cold_start(made, median=400.0 * measured)
        path.with_suffix(".coldstart.json").write_text(starts.model_dump_json())
        path.with_suffix(".importtime.json").write_text(
            import_tree(made, measured).model_dump_json()
        )
    return path


def changed() -> dict[str, dict[str, int]]:
    files = {name: dict(found) for name, found in FILES.items()}
    files["fast"]["python/fast/_fast.cpython-313-aarch64-linux-gnu.so"] += 1_000_000
    del files["plain"]
    files["added"] = {"python/added.py": 5}
    return files


def test_distributions_and_files(tmp_path: Path) -> None:
    before = write(manifest(), tmp_path)
    after = write(manifest(changed(), version="1.1.0", versions={"fast": "2.0"}), tmp_path)
    (diff,) = diffs.compare(before, after, tmp_path)
    found = {
        one.name: (one.kind, one.before, one.after, one.unzipped) for one in diff.distributions
    }
    assert found == {
        "fast": ("upgraded", "1.0", "2.0", 1_000_000),
        "plain": ("removed", "1.0", None, -565_000),
        "added": ("added", None, "1.0", 5),
    }
    assert diff.files
    assert (diff.files.added, diff.files.removed, diff.files.resized) == (1, 3, 1)
    assert diff.files.biggest[0].growth == 1_000_000
    assert diff.before
    assert diff.after
    assert diff.after.unzipped == 5_000_005
    assert not diff.same


def test_the_changes_add_up(tmp_path: Path) -> None:
    before, after = manifest(), manifest(changed(), version="1.1.0")
    (diff,) = diffs.compare(write(before, tmp_path), write(after, tmp_path), tmp_path)
    growth = after.artifact.unzipped - before.artifact.unzipped
    assert sum(one.unzipped or 0 for one in diff.distributions) == growth
    assert diff.files
    assert sum(one.growth for one in diff.files.biggest) == growth


def test_nothing_changed(tmp_path: Path) -> None:
    path = write(manifest(), tmp_path)
    (diff,) = diffs.compare(path, path, tmp_path)
    assert diff.same
    assert "Nothing" in diff_text.markdown([diff])


def test_a_downgrade_and_another_file(tmp_path: Path) -> None:
    before = manifest(versions={"fast": "10.0"})
    after = manifest(version="1.0.1", versions={"fast": "9.0"})
    other = after.distributions[1].model_copy(update={"sha256": "0" * 64})
    after = after.model_copy(update={"distributions": [after.distributions[0], other]})
    (diff,) = diffs.compare(write(before, tmp_path), write(after, tmp_path), tmp_path)
    assert {one.name: one.kind for one in diff.distributions} == {
        "fast": "downgraded",
        "plain": "file",
    }


def test_a_version_that_is_spelt_anew_is_another_file(tmp_path: Path) -> None:
    before, after = manifest(), manifest(version="1.0.1", versions={"fast": "1.0.0"})
    (diff,) = diffs.compare(write(before, tmp_path), write(after, tmp_path), tmp_path)
    found = [(one.name, one.kind, one.before, one.after) for one in diff.distributions]
    assert found == [("fast", "file", "1.0", "1.0.0")]


def test_imports_and_cold_starts(tmp_path: Path) -> None:
    before = write(manifest(), tmp_path, measured=1)
    after = write(manifest(version="1.1.0"), tmp_path, measured=2)
    (diff,) = diffs.compare(before, after, tmp_path)
    imports = {one.name: (one.before, one.after) for one in diff.imports}
    assert imports == {"all imports": (52.0, 92.0), "fast": (40.0, 80.0)}
    assert diff.cold_start[0].name == "start to first answer"
    assert (diff.cold_start[0].before, diff.cold_start[0].after) == (400.0, 800.0)
    assert "+400.0 ms (+100 %)" in diff_text.markdown([diff])


def test_folders_are_compared_target_by_target(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    write(manifest(), old)
    write(manifest(version="0.9.0"), old)
    write(manifest(layer="gone"), old)
    write(manifest(version="1.1.0"), new)
    write(manifest(layer="fresh"), new, measured=1)
    found = {diff.identifier: diff for diff in diffs.compare(old, new, tmp_path)}
    assert set(found) == {f"{name}-python3.13-arm64" for name in ("demo", "gone", "fresh")}
    before = found["demo-python3.13-arm64"].before
    assert before is not None
    assert before.version == "1.0.0", "the newest of a folder counts"
    assert found["gone-python3.13-arm64"].after is None
    assert found["fresh-python3.13-arm64"].before is None


def test_releases_by_name(tmp_path: Path) -> None:
    for version in ("1.0.0", "1.1.0", "1.10.0"):
        write(manifest(version=version), tmp_path)
    (diff,) = diffs.compare("demo@1.1.0", "demo@1.10.0", tmp_path)
    assert diff.before
    assert diff.after
    assert (diff.before.version, diff.after.version) == ("1.1.0", "1.10.0")
    with pytest.raises(BuildError, match=r"no manifest of demo 9\.0\.0"):
        diffs.compare("demo@1.0.0", "demo@9.0.0", tmp_path)


def lock(folder: Path, **versions: str) -> Path:
    entries = [
        LockEntry(name, version, f"{version:0>64}".replace(".", "0"), f"{name}-{version}.whl")
        for name, version in sorted(versions.items())
    ]
    path = folder / "demo-python3.13-arm64.txt"
    document.write(Lock(entries, "0" * 64, {}), path, "demo-python3.13-arm64")
    return path


def test_locks(tmp_path: Path) -> None:
    before = lock(tmp_path / "old", kept="1.0", raised="1.0", gone="1.0")
    after = lock(tmp_path / "new", kept="1.0", raised="1.1", fresh="1.0")
    (diff,) = diffs.compare(before.parent, after.parent, tmp_path)
    assert {one.name: one.kind for one in diff.distributions} == {
        "fresh": "added",
        "gone": "removed",
        "raised": "upgraded",
    }
    assert diff.files is None
    assert "| raised | 1.0 → 1.1 |" in diff_text.markdown([diff])


def test_a_lock_that_is_gone(tmp_path: Path) -> None:
    lock(tmp_path / "old", kept="1.0")
    (tmp_path / "new").mkdir()
    other = lock(tmp_path / "new", kept="1.0")
    other.rename(other.with_name("other-python3.13-arm64.txt"))
    lock(tmp_path / "new" / "deeper", kept="1.0")
    old = lock(tmp_path / "old", kept="1.0")
    old.with_name("second-python3.13-arm64.txt").write_text(old.read_text())
    found = {
        one.identifier: one for one in diffs.compare(tmp_path / "old", tmp_path / "new", tmp_path)
    }
    assert found["demo-python3.13-arm64"].after is None
    assert found["demo-python3.13-arm64"].distributions[0].kind == "removed"


def test_a_lock_and_a_manifest_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not of one kind"):
        diffs.compare(lock(tmp_path, a="1.0"), write(manifest(), tmp_path), tmp_path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="does not exist"):
        diffs.compare(tmp_path / "no.json", tmp_path / "no.json", tmp_path)
    with pytest.raises(BuildError, match="neither manifests nor locks"):
        diffs.compare(tmp_path, tmp_path, tmp_path)


def test_markdown_has_whole_tables(tmp_path: Path) -> None:
    before = write(manifest(), tmp_path, measured=1)
    after = write(manifest(changed(), version="1.1.0"), tmp_path, measured=1)
    text = diff_text.markdown(diffs.compare(before, after, tmp_path))
    assert text.startswith(diff_text.MARKER)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for above, below in pairwise(rows):
        if set(below) <= set("|-:"):
            assert above.count("|") == below.count("|")
    assert text.count("<details>") == text.count("</details>") == 1


def test_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("NO_COLOR", "1")
    before = write(manifest(), tmp_path, measured=1)
    after = write(manifest(changed(), version="1.1.0"), tmp_path, measured=1)
    diff_text.show(diffs.compare(before, after, tmp_path))
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) <= 70
    assert "1.0.0 -> 1.1.0" in said
    assert "removed" in said


@pytest.mark.parametrize(
    ("count", "text"), [(0, "±0"), (1_200_000, "+1.20 MB"), (-34_000, "-34.0 kB")]
)
def test_signed(count: int, text: str) -> None:
    assert diff_text.signed(count) == text
