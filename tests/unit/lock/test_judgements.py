"""What a lock is judged by: yanked files, what is provided, what is too young, what was asked."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import lock
from layersmith.base import runtimes
from layersmith.config.models import Function
from layersmith.errors import BuildError, LockError
from layersmith.lock import (
    build_pins,
    document,
    explain,
    provided,
    resolver,
    targets,
    wheelstore,
    yanked,
)
from layersmith.lock.document import CONFIG, Lock, LockedFile, LockEntry
from layersmith.lock.inputs import LockInputs
from layersmith.lock.resolver import File, Offer, Unresolvable

from tests.support import zips

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.plan import Target

    from .conftest import MakeTarget

URL = "https://example.org/x"
FITS, OTHER = "x-1.0-py3-none-any.whl", "x-1.0-cp313-cp313-manylinux_2_17_aarch64.whl"
SDIST, WINDOWS = "x-1.0.tar.gz", "x-1.0-cp313-cp313-win_amd64.whl"


def offer(*names: str) -> Offer:
    return Offer("x", "1.0", None, tuple(File(name, URL, "1" * 64, 1) for name in names))


def entry(name: str = "x", version: str = "1.0", *via: str, **more: Any) -> LockEntry:
    return LockEntry(name, version, "a" * 64, f"{name}-{version}-py3-none-any.whl", via, **more)


def inputs(*requirements: str, **more: Any) -> LockInputs:
    return LockInputs([*requirements], [], {}, {}, {}, **more)


@pytest.mark.parametrize(
    ("names", "bad", "or_sdist", "kept"),
    [
        ([FITS, OTHER, WINDOWS], {FITS}, False, [OTHER, WINDOWS]),
        ([FITS, OTHER], set(), False, [FITS, OTHER]),
        ([FITS, OTHER], {FITS, OTHER}, False, [FITS, OTHER]),
        ([FITS, OTHER, SDIST], {FITS, OTHER}, True, [SDIST]),
        ([FITS, SDIST], {FITS}, True, [SDIST]),
        ([FITS, SDIST], None, False, [FITS, SDIST]),
        ([FITS, WINDOWS], None, False, [FITS, WINDOWS]),
        ([SDIST], None, True, [SDIST]),
    ],
)
def test_yanked_wheels_give_way_to_other_files(
    *,
    names: list[str],
    bad: set[str] | None,
    or_sdist: bool,
    kept: list[str],
    make_target: MakeTarget,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(*_: Any) -> set[str]:
        if bad is None:
            pytest.fail("the index was asked")
        return bad

    monkeypatch.setattr(yanked, "_yanked", asked)
    found = yanked.without(make_target(), offer(*names), tmp_path, or_sdist=or_sdist)
    assert [file.filename for file in found] == kept


def test_yanked_versions_are_found_by_halves_and_named(
    make_target: MakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def offers(_: Any, lines: list[str], *__: Any, **___: Any) -> None:
        asked.append([line.partition(">")[0] for line in lines])
        if "b" in asked[-1]:
            raise Unresolvable("yanked")

    monkeypatch.setattr(resolver, "offers", offers)
    held = Lock([*(entry(name, "1.0", "app") for name in "abcd"), entry("e", "1.0+cpu")], "", {})
    (said,) = yanked.notes(make_target(), held, tmp_path)
    assert said.startswith("b 1.0 was yanked from the index; app leaves no other version")
    assert asked == [["a", "b", "c", "d"], ["a", "b"], ["a"], ["b"], ["c", "d"]]


def test_a_local_version_is_not_asked_for(make_target: MakeTarget, tmp_path: Path) -> None:
    """No range has a local version as its bound, however the file spells it."""
    # Every question to the index would start uv, which no unit test may.
    files = [("x", "1.0+cpu", "x-1.0_cpu-py3-none-any.whl"), ("x", "1.0+cpu", "x-1.0+cpu.tar.gz")]
    assert yanked.among(make_target(), files, tmp_path) == set()


def test_a_question_is_asked_once_where_answers_are_shared() -> None:
    asked: list[int] = []

    def ask() -> int:
        asked.append(1)
        return len(asked)

    assert [resolver.once("q", ask), resolver.once("q", ask)] == [1, 2]
    assert not resolver.answered("q")
    with resolver.shared():
        assert not resolver.answered("q")
        assert [resolver.once("q", ask), resolver.once("q", ask)] == [3, 3]
        assert resolver.answered("q")
        with resolver.shared():
            assert resolver.once("q", ask) == 3
    assert not resolver.answered("q")


@pytest.mark.parametrize(("kind", "times"), [(Unresolvable, 1), (BuildError, 2)])
def test_that_there_is_no_solution_is_an_answer_and_a_failure_is_none(
    kind: type[Exception], times: int
) -> None:
    asked: list[int] = []

    def fail() -> None:
        asked.append(1)
        raise kind("no")

    with resolver.shared():
        for _ in range(2):
            with pytest.raises(kind):
                resolver.once("q", fail)
    assert len(asked) == times


def test_who_asks_for_what_has_no_wheel_is_said(
    make_target: MakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain, "_offers_of", lambda *_: [offer(WINDOWS)])

    def message(**more: Any) -> str:
        return explain.no_wheel(make_target(), "x", "1.0", tmp_path, **more).message

    assert message().endswith("for python3.13 on aarch64-manylinux_2_34")
    assert message(via=[CONFIG, "app", "lib"]).endswith(", and app, lib asks for it")
    assert message(via=["app"], said="a\nb").endswith("and app asks for it. uv says:\n    a\n    b")
    assert message(via=[CONFIG], said="a") == message()


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["x-1.0-cp39-cp39-win32.whl", WINDOWS], "marker `; sys_platform == 'win32'`"),
        (["x-1.0-py3-none-macosx_11_0_arm64.whl"], "marker `; sys_platform == 'darwin'`"),
        ([WINDOWS, SDIST], "list x under `build:`"),
        ([WINDOWS, "x-1.0-cp39-cp39-manylinux_2_17_aarch64.whl"], "list x under `build:`"),
    ],
)
def test_what_is_made_for_another_system_only_needs_a_marker(
    names: list[str],
    hint: str,
    make_target: MakeTarget,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """pip freeze on Windows writes pywin32, which no option compiles for Linux."""
    monkeypatch.setattr(explain, "_offers_of", lambda *_: [offer(*names)])
    assert hint in str(explain.no_wheel(make_target(), "x", "1.0", tmp_path).hint)


def test_the_glibc_of_wheels_is_named_where_it_is_too_new(make_target: MakeTarget) -> None:
    def said(minor: int) -> str:
        name = f"x-1.0-cp313-cp313-manylinux_2_{minor}_aarch64.whl"
        return explain._wheels_exist(make_target(), [*offer(name, SDIST).files])

    assert "needs glibc 2.39, and Amazon Linux 2023" in said(39)
    assert "needs glibc" in said(35)
    assert "needs" not in said(34)


def test_of_many_wheels_for_others_those_for_the_machine_are_named(make_target: MakeTarget) -> None:
    platforms = (
        "manylinux_2_17_aarch64",
        "manylinux_2_17_x86_64",
        "musllinux_1_1_aarch64",
        "win32",
    )
    names = [f"x-1.0-cp3{n}-cp3{n}-{one}.whl" for n in (9, 10, 11, 12) for one in platforms]
    text = explain.wheels_text(make_target(), offer(*names).files)
    assert text == "cp39, cp310, cp311, cp312: manylinux_2_17_aarch64"
    twelve = explain.wheels_text(make_target(), offer(*names[:12]).files)
    assert "win32" in twelve
    others = [f"x-1.0-cp39-cp39-{one}_{n}.whl" for one in ("mac", "win") for n in range(7)]
    assert "win_6" in explain.wheels_text(make_target(), offer(*others).files)


@pytest.fixture
def commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_out(folder: Path, address: str, commit: str) -> None:
        assert (address, commit) == ("https://git.test/x", "c0ffee")
        for name in ("setup.py", ".git/config", "lib/pyproject.toml", "lib/PKG-INFO", "lib/run"):
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(name)
        (folder / "lib/run").chmod(0o755)
        (folder / "lib/link").symlink_to("run")

    monkeypatch.setattr(wheelstore, "_check_out", check_out)


@pytest.mark.usefixtures("commit")
def test_a_commit_becomes_an_archive_with_a_name_and_a_version() -> None:
    def members(fragment: str) -> dict[str, tarfile.TarInfo]:
        content = wheelstore.pack_commit(f"git+https://git.test/x@c0ffee{fragment}", "x-1.0")
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            return {one.name: one for one in archive.getmembers()}

    names = ("lib/PKG-INFO", "lib/link", "lib/pyproject.toml", "lib/run", "setup.py", "PKG-INFO")
    assert [*members("")] == [f"x-1.0/{name}" for name in names]
    below = members("#subdirectory=lib")
    assert [*below] == [f"x-1.0/{n}" for n in ("PKG-INFO", "link", "pyproject.toml", "run")]
    assert [one.mode & 0o111 > 0 for one in below.values() if one.isfile()] == [False, False, True]
    assert below["x-1.0/link"].linkname == "run"


@pytest.mark.usefixtures("commit")
@pytest.mark.parametrize("folder", ["missing", "setup.py", "../../..", "../other"])
def test_a_folder_that_is_not_in_the_commit_is_refused(folder: str) -> None:
    with pytest.raises(BuildError, match=f"x-1.0 has no folder {folder} at commit c0ffee"):
        wheelstore.pack_commit(f"git+https://git.test/x@c0ffee#subdirectory={folder}", "x-1.0")


def test_only_a_whole_wheel_of_its_hash_is_admitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path))
    wheel = zips.content({"a.py": "1"})
    broken = wheel.replace(b"a.py1", b"a.py2", 1)
    assert broken != wheel

    def admit(name: str, content: bytes, sha256: str | None = None) -> Path:
        return wheelstore.admit(sha256 or hashlib.sha256(content).hexdigest(), name, content)

    assert admit(FITS, wheel).read_bytes() == wheel
    with pytest.raises(BuildError, match="has another hash than its lock"):
        admit(FITS, wheel, "0" * 64)
    assert admit(SDIST, broken).read_bytes() == broken
    with pytest.raises(BuildError):
        admit(FITS, broken)


@pytest.mark.parametrize(
    ("age", "settings", "kept", "new", "refused"),
    [
        (1, {"cool-down": "7d"}, {"x"}, "b", True),
        (9, {"cool-down": "7d"}, {"x"}, "b", False),
        (1, {"cool-down": "7d"}, {"x"}, "a", False),
        (1, {"cool-down": "7d"}, {"x"}, None, False),
        (1, {"cool-down": "7d"}, {"y"}, "b", False),
        (1, {"cool-down": "7d"}, set(), "b", False),
        (1, {}, {"x"}, "b", False),
        (None, {"cool-down": "7d"}, {"x"}, "b", False),
        (1, {"cool-down": "7d", "cool-down-exceptions": {"X": "ours"}}, {"x"}, "b", False),
    ],
)
def test_what_is_locked_within_the_cool_down_is_not_exchanged_silently(
    *,
    age: int | None,
    settings: dict[str, Any],
    kept: set[str],
    new: str | None,
    refused: bool,
    make_target: MakeTarget,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = make_target(**settings)
    document.write(Lock([entry()], "1" * 64, {}), lock.lock_path(target, tmp_path), "demo")
    uploaded = datetime.now(UTC) - timedelta(days=age) if age is not None else None
    others = File("x-1.0.zip", URL, "c" * 64, 1, datetime(2020, 1, 1, tzinfo=UTC))
    files = [others, File(FITS, URL, "a" * 64, 1, uploaded)]
    monkeypatch.setattr(explain, "exact_files", lambda *_: files)
    chosen = [(offer(FITS), File(FITS, URL, new * 64, 1))] if new else []
    if refused:
        with pytest.raises(LockError, match="within the cool-down"):
            lock._refuse_young(target, tmp_path, kept, chosen)
    else:
        lock._refuse_young(target, tmp_path, kept, chosen)


@pytest.mark.parametrize(("seconds", "refused"), [(-1, False), (0, True), (1, True)])
def test_the_cool_down_ends_where_uv_ends_it(
    *,
    seconds: int,
    refused: bool,
    make_target: MakeTarget,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """uv takes what was uploaded before the time of --exclude-newer, not at that time."""
    target = make_target(**{"cool-down": "7d"})
    document.write(Lock([entry()], "1" * 64, {}), lock.lock_path(target, tmp_path), "demo")
    latest = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    uploaded = latest + timedelta(seconds=seconds)
    monkeypatch.setattr(resolver, "cutoff", lambda _: latest)
    monkeypatch.setattr(explain, "exact_files", lambda *_: [File(FITS, URL, "a" * 64, 1, uploaded)])
    chosen = [(offer(FITS), File(FITS, URL, "b" * 64, 1))]
    with pytest.raises(LockError) if refused else contextlib.nullcontext():
        lock._refuse_young(target, tmp_path, {"x"}, chosen)


def test_a_layer_takes_nothing_from_other_layers(make_target: MakeTarget, tmp_path: Path) -> None:
    target = make_target()
    assert lock.with_layers(target, tmp_path) is target


def test_the_source_of_a_lite_blas_is_looked_up_where_it_may_have_changed(
    make_target: MakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_pins, "_compiler", lambda: "zig==1")
    looked: list[str] = []

    def sdist(name: str, version: str, *_: Any) -> File:
        looked.append(version)
        return File(f"numpy-{version}.tar.gz", URL, "5" * 64, 1)

    monkeypatch.setattr(resolver, "sdist", sdist)
    target = make_target(**{"lite-blas": True})
    bare = entry("numpy", "2.0")
    full = replace(bare, build=("zig==1",), source=LockedFile("5" * 64, "numpy-2.0.tar.gz"))

    def sourced(one: LockEntry, before: LockEntry | None, at: Any = target) -> LockEntry:
        return build_pins._with_source(
            one, Lock([before], "", {}) if before else None, at, tmp_path
        )

    assert sourced(bare, full) == full
    assert looked == []
    for before in (
        None,
        replace(full, sha256="b" * 64),
        replace(full, build=("zig==0",)),
        replace(full, source=None),
    ):
        assert sourced(bare, before) == full
    assert looked == ["2.0"] * 4
    for other in (entry("scipy"), replace(bare, filename="numpy-2.0.tar.gz")):
        assert sourced(other, None) == other
    assert sourced(bare, None, make_target()) == bare
    assert looked == ["2.0"] * 4


def test_targets_of_equal_settings_and_locks_are_resolved_once(
    make_target: MakeTarget, tmp_path: Path
) -> None:
    one = make_target()
    other = replace(one, layer="other")
    more = replace(make_target(requirements=["boto3"]), layer="more")
    assert targets._equal([one, other, more], tmp_path) == [[one, other], [more]]
    document.write(Lock([entry()], "1" * 64, {}), lock.lock_path(other, tmp_path), "other")
    assert targets._equal([one, other, more], tmp_path) == [[one], [other], [more]]


def test_what_is_provided_is_noted(make_target: MakeTarget) -> None:
    target = make_target(requirements=["boto3", "pillow"])
    (said,) = provided.notes(target, inputs("boto3", "pillow"), Lock([], "", {}))
    assert said.startswith("boto3 stays out of the layer: python3.13 provides")
    kept = make_target(**{"keep-provided": ["boto3"]})
    assert provided.notes(kept, inputs("boto3"), Lock([], "", {})) == []


def test_managed_layers_are_noted_with_what_they_bring(make_target: MakeTarget) -> None:
    unknown = make_target(**{"managed-layers": ["Nobodys"]})
    (said,) = provided.notes(unknown, inputs(), Lock([], "", {}))
    assert said.startswith("the managed layer Nobodys is not known")
    own = {"name": "Nobodys", "distributions": {"pandas": "2.3.3"}}
    named = make_target(**{"managed-layers": [own]})
    (said,) = provided.notes(named, inputs(), Lock([entry("pandas"), entry("six")], "", {}))
    assert said == "left out, because Nobodys brings it: pandas 2.3.3"
    assert provided.notes(named, inputs(), Lock([entry("six")], "", {})) == []


def test_the_date_of_what_a_managed_layer_brings_is_said_where_we_know_it(
    make_target: MakeTarget,
) -> None:
    name = "AWSSDKPandas"
    known = runtimes.managed_layer(name)
    assert known is not None

    def said(given: Any) -> list[str]:
        target = make_target(**{"managed-layers": [given]})
        return provided.notes(target, inputs(), Lock([entry("pandas")], "", {}))

    version = known.on("python3.13")["pandas"]
    ours = f"left out, because {name} brings it, as of {known.date}: pandas {version}"
    assert said(name) == [ours]
    # What layers.yaml itself lists has no date of ours.
    own = {"name": name, "distributions": {"pandas": "2.0"}}
    assert said(own) == [f"left out, because {name} brings it: pandas 2.0"]


def test_versions_that_are_provided_come_before_those_to_keep(make_target: MakeTarget) -> None:
    target = make_target()
    own = [(one.name, one.version) for one in target.provided.values()]
    kept = [("boto3", "1.0"), ("pillow", "12.0"), ("numpy", "2.0")]
    assert ("boto3", "1.0") not in own
    assert provided.preferred(target, kept) == [*own, *kept[1:]]


def refusal(target: Any, *entries: LockEntry, **more: Any) -> LockError | None:
    try:
        provided.refuse_empty(target, Lock([*entries], "", {}), inputs(**more))
    except LockError as problem:
        return problem
    return None


def test_a_layer_of_which_nothing_is_left_is_refused(make_target: MakeTarget) -> None:
    target = make_target()
    found = refusal(target, entry("boto3", "1.0", CONFIG), entry("botocore", "1.0", "boto3"))
    assert found is not None
    assert found.cause == "python3.13 provides boto3 and botocore"
    assert "keep-provided: [boto3]" in str(found.hint)
    excluded = refusal(make_target(excludes={"six": "ours"}), entry("six", "1.0", CONFIG))
    assert excluded is not None
    assert excluded.cause == "all that was resolved is listed under `excludes`"
    assert excluded.hint == "ask for something else, or drop the layer for this target"
    none = refusal(target)
    assert none is not None
    assert "markers of all requirements exclude python3.13 on arm64" in str(none.cause)
    assert refusal(target, entry("pillow")) is None
    assert refusal(make_target(files={"data": "data"}), entry("boto3")) is None


def checked(
    target: Any, wants: list[str], version: str = "1.0", root: Path | None = None
) -> str | None:
    held = Lock([entry("boto3", version, "app"), entry("app", "3.0", CONFIG)], "", {})
    try:
        provided.check(target, held, inputs(*wants), root)
    except LockError as problem:
        return f"{problem.message} / {problem.hint}"
    return None


def test_a_requirement_that_excludes_what_is_provided_is_refused(
    make_target: MakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make_target()
    version = target.provided["boto3"].version
    assert checked(target, ["boto3"]) is None
    said = str(checked(target, ["boto3<1.1", "boto3<1.2"]))
    assert f"provides boto3 {version}, which" in said
    assert "exclude /" in said
    assert "keep-provided: [boto3]" in said
    assert "excludes /" in str(checked(target, ["boto3<1.1"]))
    assert checked(target, ["boto3<1.1; python_version < '3'", "six<1"]) is None
    assert checked(target, ["boto3<1.1"], version) is None
    resolved: list[list[str]] = []

    def resolve(_: Any, wanted: LockInputs, *__: Any) -> None:
        resolved.append([*wanted.requirements])
        if "app==3.0" in wanted.requirements:
            raise Unresolvable("no")

    monkeypatch.setattr(resolver, "resolve", resolve)
    assert "which app 3.0 excludes" in str(checked(target, ["app"], root=tmp_path))
    assert resolved == [[f"boto3=={version}"], ["app==3.0", f"boto3=={version}"]]
    assert checked(target, ["app"]) is None


def test_all_who_ask_are_named_where_they_exclude_what_is_provided_together(
    make_target: MakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "resolve", lambda *_: None)
    held = [entry("app"), entry("boto3", "1.0", "app", CONFIG, "lib"), entry("lib")]
    with pytest.raises(LockError, match="which app and lib exclude\n"):
        provided.check(make_target(), Lock(held, "", {}), inputs("boto3"), tmp_path)


def test_a_refusal_says_what_to_write_for_whom_it_is(make_target: MakeTarget) -> None:
    function = Function.model_validate({"package": True, "code": "src"})
    own = {"name": "Nobodys", "distributions": {"boto3": "1.2"}}

    def refused(target: Target) -> LockError:
        with pytest.raises(LockError) as problem:
            held = Lock([entry("boto3", "1.0", CONFIG)], "", {})
            provided.check(target, held, inputs("boto3<1.1"))
        return problem.value

    layer = refused(make_target())
    assert layer.cause == "a layer leaves out what is provided, and meets the version of that"
    assert layer.hint == (
        "accept the provided version, or put a version of its own into the layer with"
        " `keep-provided: [boto3]`"
    )
    package = refused(replace(make_target(), function=function))
    assert str(package.cause).startswith("a package leaves out")
    assert "into the package with" in str(package.hint)
    managed = refused(make_target(**{"managed-layers": [own]}))
    assert "the managed layer Nobodys provides boto3 1.2, which" in managed.message
    assert "under `managed-layers` (name, distributions), or put" in str(managed.hint)


def test_a_lock_of_a_lite_blas_without_a_source_no_longer_fits(
    make_target: MakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: Any = inputs("numpy")
    monkeypatch.setattr(lock.lockinputs, "collect", lambda *_: wanted)

    def check(target: Any, *entries: LockEntry) -> None:
        path = lock.lock_path(target, tmp_path)
        document.write(Lock([*entries], "1" * 64, {}), path, target.identifier)
        lock.check(target, tmp_path)

    lite = make_target(**{"lite-blas": True})
    bare = entry("numpy", "2.0", CONFIG)
    source = LockedFile("5" * 64, "numpy-2.0.tar.gz")
    with pytest.raises(LockError, match="lite-blas changed since it was written"):
        check(lite, bare)
    check(lite, replace(bare, build=("zig==1",), source=source))
    check(lite, entry("six", "1.0", CONFIG))
    check(make_target(), bare)
    wanted.packages["mine"] = tmp_path
    with pytest.raises(LockError, match="packages changed"):
        check(make_target(), bare)
