"""What is decided between two rounds with uv; uv itself answers in tests/integration/lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from layersmith import lock
from layersmith.errors import BuildError, LockError
from layersmith.lock import build_pins, document, resolver, rounds, targets, wheelstore
from layersmith.lock.document import Lock, LockEntry
from layersmith.lock.inputs import LockInputs
from layersmith.lock.resolver import File, Offer, Unresolvable

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.plan import Target

    from .conftest import MakeTarget

INPUTS = LockInputs(["x"], [], {}, {}, {})
URL = "https://example.org/x"


def wheel(version: str, tag: str = "py3-none-any") -> File:
    return File(f"x-{version}-{tag}.whl", URL, version[0] * 64, 1)


def sdist(version: str) -> File:
    return File(f"x-{version}.tar.gz", URL, "f" * 64, 1)


class Script:
    """Answers of uv, one a round, and what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, files: dict[str, list[File]]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.files = files
        self.answers: list[str] = []
        monkeypatch.setattr(resolver, "resolve", self.resolve)
        monkeypatch.setattr(resolver, "every_offer", self.every_offer)
        edges = resolver.Edges({"x": ("app",)}, {})
        monkeypatch.setattr(resolver, "graph", lambda *_: edges)

    def resolve(self, *_: Any, **options: Any) -> list[Offer]:
        self.asked.append({**options, "from_source": set(options["from_source"])})
        if self.answers:
            raise Unresolvable(self.answers.pop(0))
        out = {word.partition("!=")[2] for word in options["without"]}
        newest = max(version for version in self.files if version not in out)
        return [Offer("x", newest, None, tuple(self.files[newest]))]

    def every_offer(self, *_: Any) -> list[Offer]:
        return [Offer("x", version, None, tuple(files)) for version, files in self.files.items()]


def resolution(target: Target, root: Path) -> list[tuple[str, str]]:
    found = rounds.resolution_of(target, INPUTS, root, [])
    return [(offer.version, file.filename) for offer, file in found.chosen]


def test_a_version_whose_wheels_do_not_fit_is_ruled_out(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path
) -> None:
    misfit = wheel("2.0", "cp313-cp313-manylinux_2_39_aarch64")
    script = Script(monkeypatch, {"1.0": [wheel("1.0")], "2.0": [misfit]})
    assert resolution(make_target(), tmp_path) == [("1.0", "x-1.0-py3-none-any.whl")]
    assert [asked["without"] for asked in script.asked] == [[], ["x!=2.0"]]


def test_what_exists_only_as_an_sdist_is_taken_from_it(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path
) -> None:
    script = Script(monkeypatch, {"1.0": [sdist("1.0")]})
    script.answers = ["hint: Wheels are required for `x` because building is disabled"]
    assert resolution(make_target(), tmp_path) == [("1.0", "x-1.0.tar.gz")]
    assert [asked["from_source"] for asked in script.asked] == [set(), {"x"}]


@pytest.mark.parametrize("left_out", [False, True])
def test_an_sdist_beside_wheels_for_others_is_refused_unless_it_stays_out(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path, left_out: bool
) -> None:
    files = [wheel("1.0", "cp313-cp313-win32"), sdist("1.0")]
    script = Script(monkeypatch, {"1.0": files})
    script.answers = ["hint: Wheels are required for `x` because building is disabled"]
    target = make_target(excludes={"x": "not needed"}) if left_out else make_target()
    if left_out:
        assert resolution(target, tmp_path) == [("1.0", "x-1.0.tar.gz")]
    else:
        with pytest.raises(LockError, match="win32") as caught:
            resolution(target, tmp_path)
        assert "app asks for it" in caught.value.message


def test_it_ends_when_uv_repeats_itself(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path
) -> None:
    script = Script(monkeypatch, {"1.0": [sdist("1.0")]})
    script.answers = ["hint: Wheels are required for `x` because"] * 2
    with pytest.raises(LockError):
        resolution(make_target(), tmp_path)
    assert len(script.asked) == 2


def test_rounds_are_bounded(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path
) -> None:
    files = {f"{number:03}": [wheel(f"{number:03}", "cp313-cp313-win32")] for number in range(99)}
    script = Script(monkeypatch, files)
    with pytest.raises(
        LockError, match=f"no solution within {rounds.MAX_ROUNDS} rounds"
    ) as refused:
        resolution(make_target(), tmp_path)
    assert len(script.asked) == rounds.MAX_ROUNDS
    # The five that were ruled out last: 99 versions, from the newest down.
    assert refused.value.cause
    assert [
        f"x {98 - rounds.MAX_ROUNDS + 1 + back:03}" in refused.value.cause for back in (4, 5)
    ] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("last", "first", "both"),
    [
        ("error: Failed to build x\ndetails", "no wheel", True),
        ("error: Failed to build x\ndetails", "error: Failed to build x\ndetails", False),
        ("error: Failed to download", "no wheel", False),
        ("error: the build of x", "no wheel", False),
    ],
)
def test_the_first_answer_stands_where_the_last_is_of_an_ancient_sdist(
    last: str, first: str, both: bool
) -> None:
    said = rounds._said(last, first, [])
    assert said.startswith(first if both else last)
    assert ("its sdist does not build" in said) is both


def test_what_was_ruled_out_is_said() -> None:
    said = rounds._said("last", "last", [("x", "2.0"), ("y", "1")])
    assert said.splitlines()[-1].endswith("x 2.0, y 1")
    assert rounds._said("last", "last", []) == "last"


def entry(name: str = "x", sha256: str = "a" * 64, **more: Any) -> LockEntry:
    return LockEntry(name, "1.0", sha256, f"{name}-1.0-py3-none-any.whl", ("layers.yaml",), **more)


def locked(target: Target, root: Path, *entries: LockEntry) -> Lock:
    written = Lock(list(entries), "1" * 64, {})
    document.write(written, lock.lock_path(target, root), target.identifier)
    return written


def test_versions_are_kept_but_for_those_to_upgrade(
    make_target: MakeTarget, tmp_path: Path
) -> None:
    target = make_target()
    path = lock.lock_path(target, tmp_path)
    assert lock._preferences(path, False) == []
    locked(target, tmp_path, entry("x"), entry("y"))
    assert lock._preferences(path, False) == [("x", "1.0"), ("y", "1.0")]
    assert lock._preferences(path, ["x"]) == [("y", "1.0")]
    assert lock._preferences(path, True) == []


def test_where_files_are_is_remembered_until_asked_again(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path / "cache"))
    target = make_target()
    held = Lock([entry(sha256="1" * 64)], "", {})
    monkeypatch.chdir(tmp_path)
    roots: list[Path] = []

    def offered(_: Any, __: Any, root: Path, **___: Any) -> list[Offer]:
        roots.append(root)
        nameless = File("x-1.0.zip", URL, None, None)
        return [Offer("x", "1.0", None, (wheel("1.0"), nameless))]

    monkeypatch.setattr(resolver, "offers", offered)
    place = (URL, "x-1.0-py3-none-any.whl", 1)
    assert lock.urls(held, target) == {"1" * 64: place}
    assert lock.urls(held, target, root=tmp_path / "elsewhere") == {"1" * 64: place}
    assert roots == [tmp_path]
    assert lock.urls(held, target, root=tmp_path / "elsewhere", refresh=True) == {"1" * 64: place}
    assert roots == [tmp_path, tmp_path / "elsewhere"]


def test_a_withdrawn_file_is_named(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(resolver, "offers", lambda *_, **__: [])
    with pytest.raises(LockError, match=r"does not offer x-1\.0-py3-none-any\.whl"):
        lock.urls(Lock([entry()], "", {}), make_target(), root=tmp_path)


def test_a_name_to_upgrade_that_no_lock_holds_is_refused_with_the_closest(
    make_target: MakeTarget, tmp_path: Path
) -> None:
    target = make_target()
    locked(target, tmp_path, entry("pillow"))
    assert targets._known(["Pillow"], [target], tmp_path) == {"pillow"}
    with pytest.raises(LockError) as close:
        targets._known(["pilow"], [target], tmp_path)
    assert close.value.hint == "did you mean pillow?"
    with pytest.raises(LockError) as strange:
        targets._known(["zzzz"], [target], tmp_path)
    assert strange.value.hint == "run `nox -s lock` without its name"


def test_the_pins_of_an_unchanged_sdist_stay(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path
) -> None:
    monkeypatch.setattr(build_pins, "_compiler", lambda: "zig==1.0")
    pinned = LockEntry("x", "1.0", "f" * 64, "x-1.0.tar.gz", (), ("zig==1.0", "setuptools==2"))
    bare = LockEntry("x", "1.0", "f" * 64, "x-1.0.tar.gz")
    fetched: list[str] = []

    def missing(sha256: str, filename: str) -> None:
        fetched.append(filename)
        raise BuildError("not here")

    monkeypatch.setattr(wheelstore, "verified", missing)
    old = Lock([pinned], "", {})
    assert build_pins._pinned(bare, old, make_target(), URL, tmp_path) == pinned
    assert not fetched
    for before in (None, Lock([], "", {}), Lock([entry()], "", {})):
        assert build_pins._pinned(bare, before, make_target(), URL, tmp_path) == bare
    monkeypatch.setattr(build_pins, "_compiler", lambda: "zig==2.0")
    assert build_pins._pinned(bare, old, make_target(), URL, tmp_path) == bare
    assert len(fetched) == 4
