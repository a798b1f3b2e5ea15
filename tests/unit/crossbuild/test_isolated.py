from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from layersmith.crossbuild import isolated
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "SCRATCH", tmp_path)


def test_builds_of_one_sdist_take_turns_in_their_folder(tmp_path: Path) -> None:
    inside: list[int] = []
    most = []

    def build(number: int) -> None:
        with isolated.scratch("one") as folder:
            assert list(folder.iterdir()) == []
            inside.append(number)
            (folder / "source").mkdir()
            (folder / "source" / "file").write_text(str(number))
            most.append(len(inside))
            assert (folder / "source" / "file").read_text() == str(number)
            inside.remove(number)

    threads = [threading.Thread(target=build, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 20
    assert list(tmp_path.iterdir()) == []


def test_a_second_build_waits_until_the_first_is_done() -> None:
    order: list[str] = []
    asked = threading.Event()

    def second() -> None:
        asked.set()
        with isolated.scratch("one"):
            order.append("second")

    with isolated.scratch("one"):
        thread = threading.Thread(target=second)
        thread.start()
        asked.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "one" / "source").mkdir(parents=True)
    (tmp_path / "one" / "dangling").symlink_to("nowhere")
    with isolated.scratch("one") as folder:
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_not_a_folder_of_this_user_is_named_and_left(tmp_path: Path, kind: str) -> None:
    (tmp_path / "theirs").mkdir()
    if kind == "file":
        (tmp_path / "one").write_text("theirs")
    else:
        (tmp_path / "one").symlink_to("theirs")
    with pytest.raises(BuildError, match="not a folder of this user"), isolated.scratch("one"):
        raise AssertionError("it was given out")
    assert (tmp_path / "one").exists()
