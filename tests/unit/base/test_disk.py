"""Trouble with a file is told with the file, the folder that it lies in, and what helps."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from layersmith import cache
from layersmith.base import disk
from layersmith.errors import BuildError, LockError, MachineError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def told(
    work: Callable[[], object], root: Path | None = None, dist: Path | None = None
) -> MachineError:
    with pytest.raises(MachineError) as caught, disk.explained(root=root, dist=dist):
        work()
    return caught.value


@pytest.mark.parametrize(
    ("inner", "named"),
    [
        ("cache/wheels", "the cache {}/cache cannot be used: Not a directory: wheels"),
        ("project/dist/x", "the folder of artifacts {}/project/dist cannot be used"),
        ("project/locks/x", "the folder of locks {}/project/locks cannot be used"),
        ("project/other/x", "the folder of layers.yaml {}/project cannot be used"),
        ("elsewhere/x", "{}/elsewhere/x cannot be used: Not a directory"),
    ],
)
def test_the_folder_is_named_for_what_it_is(home: Path, inner: str, named: str) -> None:
    place = home / inner
    place.parent.parent.mkdir(exist_ok=True)
    place.parent.write_text("in the way")
    found = told(place.read_bytes, root=home / "project", dist=home / "project/dist")
    assert found.message.startswith(named.replace("{}", str(home)))
    assert found.cause == "a file is where a folder is needed"
    assert (found.hint is None) == inner.startswith("elsewhere")


def test_a_file_that_is_not_there_is_named_and_not_its_folder(home: Path) -> None:
    place = home / "project" / "plan.json"
    place.parent.mkdir()
    missing = told(place.read_bytes, root=home / "project")
    assert missing.message == f"{place} does not exist"
    assert "check the name" in str(missing.hint)
    place.symlink_to("nowhere")
    dangling = told(place.read_bytes, root=home / "project")
    assert "a link to it points to nothing" in str(dangling.cause)


def test_a_folder_above_the_cache_is_told_as_the_cache(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "closed").write_text("in the way")
    monkeypatch.setenv("LAYERSMITH_CACHE", str(home / "closed/inner/cache"))
    found = told(lambda: cache.section("wheels"))
    assert found.message.startswith(f"the cache {home}/closed/inner/cache cannot be used: ")
    assert "LAYERSMITH_CACHE" in str(found.hint)


def test_write_names_no_file_and_the_cache_is_named_all_the_same(home: Path) -> None:
    path = cache.section("wheels") / "big"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        found = told(lambda: cache.write_bytes(path, bytes(100_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert found.message == f"the disk is full: the cache {home}/cache"
    assert "ulimit -f" in str(found.cause)
    assert not list(path.parent.iterdir())


def test_a_tree_that_was_copied_in_part_names_the_file(home: Path) -> None:
    (home / "from").mkdir()
    (home / "from/link").symlink_to("nowhere")
    found = told(lambda: shutil.copytree(home / "from", home / "to"))
    assert found.message.startswith(f"{home}/from/link cannot be used: ")


def test_the_error_is_of_the_room_and_names_the_target(home: Path) -> None:
    with (
        pytest.raises(LockError, match=r"demo: .*none/x cannot be used") as caught,
        disk.explained(LockError, target="demo"),
    ):
        (home / "none/x").read_bytes()
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_an_error_of_layersmith_and_a_lost_connection_pass(home: Path) -> None:
    for problem in (BuildError("x"), ConnectionResetError("gone"), BrokenPipeError(), OSError("?")):
        with pytest.raises(type(problem)) as caught, disk.explained():
            raise problem
        assert caught.value is problem


def test_a_disk_without_a_file_and_too_many_files(home: Path) -> None:
    for code, named in ((errno.ENOSPC, "the disk is full"), (errno.EMFILE, "Too many open files")):
        with pytest.raises(MachineError, match=named) as caught, disk.explained():
            raise OSError(code, os.strerror(code))
        assert caught.value.cause


def test_a_closed_folder_is_told_and_a_missing_one_is_empty(home: Path) -> None:
    disk.require_readable(home / "none")
    (home / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        disk.require_readable(home / "file")


def test_what_may_not_be_looked_at_is_not_called_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    assert disk.is_there(tmp_path / "file")
    assert not disk.is_there(tmp_path / "none")
    assert not disk.is_there(tmp_path / "file" / "below")

    def refuse(path: Path) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(PermissionError):
        disk.is_there(tmp_path / "file")
