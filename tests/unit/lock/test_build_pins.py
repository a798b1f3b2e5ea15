from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from layersmith.crossbuild.finished import BuiltWheel
from layersmith.errors import BuildError, LockError
from layersmith.lock import build_pins, document, wheelstore
from layersmith.lock.document import Lock, LockEntry
from layersmith.lock.resolver import File

if TYPE_CHECKING:
    from .conftest import MakeTarget

ENTRY = LockEntry(
    "markupsafe",
    "3.0.3",
    "7" * 64,
    "markupsafe-3.0.3.tar.gz",
    ("layers.yaml",),
    ("zig==0.17.1", "setuptools==84.2.1"),
)


def test_the_pins_of_a_build_are_written_and_read() -> None:
    lock = Lock([ENTRY], "1" * 64, {})
    text = document.render(lock, "demo")
    assert "    # build zig==0.17.1\n    # build setuptools==84.2.1\n" in text
    assert document.parse(text, Path("demo.txt")) == lock


def test_what_builds_a_local_package_is_written_and_read() -> None:
    build = ("hatchling==1.33.0 --hash=sha256:aa --hash=sha256:bb", "packaging==26.0")
    lock = Lock([ENTRY], "1" * 64, {"packages": "2" * 64}, {"mypkg": build, "other": ()})
    text = document.render(lock, "demo")
    assert text.endswith(
        "# package mypkg\n"
        "    # build hatchling==1.33.0 --hash=sha256:aa --hash=sha256:bb\n"
        "    # build packaging==26.0\n"
        "# package other\n"
    )
    assert document.parse(text, Path("demo.txt")) == lock
    alone = Lock([], "1" * 64, {}, {"mypkg": build})
    assert document.parse(document.render(alone, "demo"), Path("demo.txt")) == alone


def test_an_entry_after_the_local_packages_is_damage() -> None:
    text = document.render(Lock([], "1" * 64, {}, {"mypkg": ()}), "demo")
    with pytest.raises(LockError, match=r"demo\.txt:6: a local package is expected"):
        document.parse(f"{text}six==1.0 \\\n", Path("demo.txt"))


def test_which_pins_are_renewed() -> None:
    pure = replace(ENTRY, name="six", build=("setuptools==84.2.1 --hash=sha256:aa",))
    lock = Lock([ENTRY, pure], "", {}, {"mypkg": ("hatchling==1.33.0",)})

    def left(upgrade: bool | list[str]) -> list[bool]:
        kept = build_pins._without(lock, upgrade)
        return [*(bool(entry.build) for entry in kept.entries), "mypkg" in kept.packages]

    assert left(upgrade=False) == [True, True, True]
    assert left(upgrade=True) == [True, False, False]
    assert left(["hatchling"]) == [True, True, False]
    assert left(["setuptools"]) == [False, False, True]


def made(version: str) -> BuiltWheel:
    return BuiltWheel(Path("x.whl"), "0" * 64, {"compiler": {"name": "zig", "version": version}})


def test_another_compiler_than_the_locked_one_is_refused() -> None:
    build_pins.same_compiler(ENTRY, made("0.17.1").record)
    with pytest.raises(
        BuildError, match=r"locked to zig==0\.17\.1, and this machine has zig==0\.18"
    ):
        build_pins.same_compiler(ENTRY, made("0.18.0").record)


def test_the_source_of_a_lite_blas_is_written_and_read() -> None:
    source = document.LockedFile("a" * 64, "numpy-2.3.5.tar.gz")
    wheel = LockEntry(
        "numpy", "2.3.5", "b" * 64, "numpy-2.3.5-cp313.whl", build=("zig==1",), source=source
    )
    text = document.render(Lock([wheel], "1" * 64, {}), "demo")
    assert f"    # build zig==1\n    # source numpy-2.3.5.tar.gz sha256:{'a' * 64}\n" in text
    (read,) = document.parse(text, Path("demo.txt")).entries
    assert read == wheel
    assert read.files == [document.LockedFile("b" * 64, "numpy-2.3.5-cp313.whl"), source]
    with pytest.raises(LockError, match="one source with its SHA-256 is expected"):
        document.parse(text.replace("sha256:a", "sha256:x"), Path("demo.txt"))


def test_what_changed_of_the_tools_is_said() -> None:
    old = Lock([ENTRY], "", {}, {"mypkg": ("hatchling==1.32.0", "pluggy==1.7")})
    new = Lock(
        [replace(ENTRY, build=("zig==0.18.0", "setuptools==84.2.1 --hash=sha256:aa"))],
        "",
        {},
        {"mypkg": ("hatchling==1.33.0", "packaging==26.0")},
    )
    assert [str(change) for change in document.changes(old, new)] == [
        "~ zig 0.17.1 -> 0.18.0, builds markupsafe",
        "~ hatchling 1.32.0 -> 1.33.0, builds mypkg",
        "+ packaging 26.0, builds mypkg",
        "- pluggy 1.7, builds mypkg",
    ]
    assert document.changes(new, new) == []


def test_what_a_container_builds_is_pinned_without_a_compiler(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path
) -> None:
    in_container = BuiltWheel(Path("x.whl"), "0" * 64, {"build_requirements": ["setuptools==2"]})
    monkeypatch.setattr(wheelstore, "verified", lambda *_: tmp_path / "x.tar.gz")
    monkeypatch.setattr(build_pins, "compile_sdist", lambda *_: in_container)
    monkeypatch.setattr(build_pins, "_hashed", lambda found, *_: (f"{found[0]} --hash=sha256:aa",))
    target = make_target(build={"markupsafe": {"container": True}})
    bare = replace(ENTRY, build=())
    pinned = build_pins._pinned(bare, None, target, "unused", tmp_path)
    assert pinned.build == ("setuptools==2 --hash=sha256:aa",)
    again = build_pins._pinned(bare, Lock([pinned], "", {}), target, "unused", tmp_path)
    assert again == pinned


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["x-1-py3-none-any.whl", "x-1.tar.gz"], "0"),
        (["x-1.tar.gz"], "0"),
        (
            [
                "x-1-py3-none-any.whl",
                "x-1-cp313-cp313-macosx_11_0_arm64.whl",
                "x-1-cp312-cp312-macosx_11_0_arm64.whl",
                "x-1-cp39-abi3-manylinux_2_28_x86_64.whl",
                "x-1.tar.gz",
            ],
            "0134",
        ),
    ],
)
def test_which_files_of_a_build_requirement_are_allowed(names: list[str], kept: str) -> None:
    files = [File(name, "", str(number), None) for number, name in enumerate(names)]
    found = build_pins._hashes(files, "x==1", 13)
    assert found == [f"--hash=sha256:{number}" for number in kept]
    with pytest.raises(BuildError, match="no SHA-256 for the files of x==1"):
        build_pins._hashes([File(names[0], "", None, None)], "x==1", 13)
