from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import lock
from layersmith.crossbuild import host, wheels
from layersmith.crossbuild.finished import BuiltWheel
from layersmith.errors import BuildError, LockError
from layersmith.lock import build_pins, document, resolver, wheelstore
from layersmith.lock.document import Lock, LockEntry
from layersmith.lock.resolver import File

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.plan import Target

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
    build_pins.same_compiler(ENTRY, {"build_requirements": []})  # built in a container
    build_pins.same_compiler(replace(ENTRY, build=()), made("0.18.0").record)
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
    (line,) = [line for line in text.splitlines() if "# source" in line]
    for damaged in (text.replace("sha256:a", "sha256:x"), text.replace(line, f"{line}\n{line}")):
        with pytest.raises(LockError, match="one source with its SHA-256 is expected"):
            document.parse(damaged, Path("demo.txt"))


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


def test_pins_of_the_lock_before_stay_and_only_sdists_are_looked_up(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path
) -> None:
    looked_up: list[Lock] = []

    def urls(held: Lock, *_: Any, **__: Any) -> dict[str, tuple[str, str, int | None]]:
        looked_up.append(held)
        return {ENTRY.sha256: ("https://example.org/x", ENTRY.filename, 1)}

    monkeypatch.setattr(lock, "urls", urls)
    monkeypatch.setattr(build_pins, "_compiler", lambda: "zig==0.17.1")
    monkeypatch.setattr(build_pins, "_hashed", lambda pins, *_: tuple(pins))
    monkeypatch.setattr(wheelstore, "verified", lambda *_: tmp_path / "x.tar.gz")
    monkeypatch.setattr(host, "compiles", lambda _: True)
    record = {"build_requirements": ["setuptools==99"], "compiler": {"version": "0.17.1"}}
    built = BuiltWheel(Path("x.whl"), "0" * 64, record)
    monkeypatch.setattr(build_pins, "compile_sdist", lambda *_: built)
    bare, target = Lock([replace(ENTRY, build=())], "", {}), make_target()

    def pins(old: Lock | None, **options: Any) -> tuple[str, ...]:
        (entry,) = build_pins.add(bare, old, target, tmp_path, **options).entries
        return entry.build

    before, renewed = Lock([ENTRY], "", {}), ("zig==0.17.1", "setuptools==99")
    assert pins(before) == ENTRY.build
    assert pins(before, upgrade=["setuptools"]) == renewed
    assert pins(None) == renewed
    assert looked_up == [bare] * 3
    wheel = Lock([LockEntry("six", "1.0", "b" * 64, "six-1.0-py3-none-any.whl")], "", {})
    assert build_pins.add(wheel, None, target, tmp_path) == wheel
    assert looked_up == [bare] * 3


@pytest.fixture
def local_package(make_target: MakeTarget, tmp_path: Path) -> Target:
    """A target with a local package in the folder of layers.yaml."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pyproject.toml").write_text("[project]\nname = 'mine'\n")
    return make_target(packages=["mine"])


class Backend:
    """A build on the host whose backend needs one version of hatchling, or cannot say."""

    needs = "hatchling==2"

    def __init__(self, source: Path, *_: Any) -> None:
        assert source.name == "mine"

    def holds(self, pins: Sequence[str]) -> bool:
        return [*pins] == [f"{self.needs} --hash=sha256:aa"]

    def requirements(self) -> list[str]:
        if not self.needs:
            raise BuildError("it cannot say", cause="a reason", hint="a step")
        return [self.needs]


def test_an_sdist_that_does_not_build_here_is_locked_without_pins_and_named(
    make_target: MakeTarget,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def compile_sdist(*_: Any) -> BuiltWheel:
        raise BuildError("python3.14 has no C headers", hint="a step")

    monkeypatch.setattr(host, "compiles", lambda _: True)
    monkeypatch.setattr(wheelstore, "verified", lambda *_: tmp_path)
    monkeypatch.setattr(build_pins, "compile_sdist", compile_sdist)
    urls = {ENTRY.sha256: ("", "", None)}
    monkeypatch.setattr(lock, "urls", lambda *_, **__: urls)
    target, entry = make_target(), replace(ENTRY, build=())
    assert build_pins.add(Lock([entry], "", {}), None, target, tmp_path).entries == [entry]
    said = capsys.readouterr().err
    assert f"{target.identifier}: what builds markupsafe is not in the lock" in said
    assert "python3.14 has no C headers" in said


def test_what_builds_a_local_package_stays_while_it_fits(
    monkeypatch: pytest.MonkeyPatch, local_package: Target, tmp_path: Path
) -> None:
    monkeypatch.setattr(host, "HostBuild", Backend)
    monkeypatch.setattr(build_pins, "_hashed", lambda pins, *_: (*pins, "asked"))
    new, fits = Lock([], "", {}), ("hatchling==2 --hash=sha256:aa",)

    def pins(old: Lock | None) -> dict[str, tuple[str, ...]]:
        return dict(build_pins.add(new, old, local_package, tmp_path).packages)

    assert pins(Lock([], "", {}, {"mine": fits})) == {"mine": fits}
    asked = {"mine": ("hatchling==2", "asked")}
    for known in ({"mine": ("hatchling==1",)}, {"other": fits}, {}):
        assert pins(Lock([], "", {}, known)) == asked
    assert pins(None) == asked
    monkeypatch.setattr(Backend, "needs", "")
    with pytest.raises(LockError, match="it cannot say") as refused:
        pins(None)
    said = refused.value
    assert (said.target, said.cause, said.hint) == (local_package.identifier, "a reason", "a step")


@pytest.mark.parametrize(
    ("pins", "options", "hold"),
    [
        ([], None, False),
        (["setuptools==2"], None, True),
        (["setuptools==2"], {"container": True}, True),
        (["setuptools==2"], {}, False),
        (["zig==1", "setuptools==2"], None, True),
        (["zig==1", "setuptools==2"], {}, True),
        (["zig==1", "setuptools==2"], {"container": True}, False),
        (["zig==0", "setuptools==2"], None, False),
    ],
)
def test_pins_hold_while_the_same_tools_would_build(
    pins: list[str],
    options: dict[str, Any] | None,
    *,
    hold: bool,
    make_target: MakeTarget,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build_pins, "_compiler", lambda: "zig==1")
    target = make_target(build={"markupsafe": options} if options is not None else {})
    assert build_pins._holds(replace(ENTRY, build=tuple(pins)), target) is hold


@pytest.mark.parametrize("found", [None, File("numpy-2.0.tar.gz", "", None, 1)])
def test_a_lite_blas_without_an_sdist_that_has_a_hash_is_refused(
    found: File | None, make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build_pins, "_compiler", lambda: "zig==1")
    monkeypatch.setattr(resolver, "sdist", lambda *_: found)
    numpy = LockEntry("numpy", "2.0", "b" * 64, "numpy-2.0-cp313-cp313-any.whl")
    with pytest.raises(LockError, match=r"no sdist of numpy 2\.0") as refused:
        build_pins._with_source(numpy, None, make_target(**{"lite-blas": True}), tmp_path)
    assert refused.value.cause == "the index offers none, or offers it without a hash"


def test_an_sdist_is_compiled_with_the_tools_of_its_lock(
    make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Sequence[str] | None] = []

    def build_wheel(_: Path, *, requirements: Sequence[str] | None, **__: Any) -> BuiltWheel:
        asked.append(requirements)
        return made("0.17.1")

    monkeypatch.setattr(wheels, "build_wheel", build_wheel)
    for build in ((), ENTRY.build, ("zig==0.17.1",)):
        build_pins.compile_sdist(replace(ENTRY, build=build), tmp_path, make_target())
    assert asked == [None, ["setuptools==84.2.1"], []]
    with pytest.raises(BuildError, match="locked to zig==0"):
        build_pins.compile_sdist(replace(ENTRY, build=("zig==0",)), tmp_path, make_target())
