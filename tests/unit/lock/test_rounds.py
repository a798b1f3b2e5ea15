"""What is decided between two rounds with uv; uv itself answers in tests/integration/lock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import lock
from layersmith.errors import BuildError, LockError
from layersmith.lock import (
    build_pins,
    document,
    explain,
    provenance,
    resolver,
    rounds,
    targets,
    wheelstore,
    yanked,
)
from layersmith.lock.document import Lock, LockEntry
from layersmith.lock.inputs import LockInputs
from layersmith.lock.pages import Pages
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


def answer(monkeypatch: pytest.MonkeyPatch, *offers: Offer) -> None:
    """Let every round have one answer."""
    monkeypatch.setattr(resolver, "resolve", lambda *_, **__: list(offers))


def test_local_packages_are_told_from_what_an_index_offers(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path
) -> None:
    here = Offer("here", "", None, (), tmp_path / "here")
    answer(monkeypatch, here, Offer("x", "1.0", None, (wheel("1.0"),)))
    found = rounds.resolution_of(make_target(), INPUTS, tmp_path, [])
    assert [offer.name for offer, _ in found.chosen] == ["x"]
    assert found.folders == {"here": tmp_path / "here"}
    assert found.members(INPUTS, tmp_path) == {"here": "here"}


@pytest.mark.parametrize("allowed", [True, False])
def test_only_files_with_the_hashes_of_a_requirements_file_are_taken(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path, allowed: bool
) -> None:
    other = wheel("1.0", "cp313-cp313-manylinux_2_17_aarch64")
    answer(monkeypatch, Offer("x", "1.0", None, (replace(other, sha256="0" * 64), wheel("1.0"))))
    asked = replace(INPUTS, hashes={"x": ["1" * 64 if allowed else "9" * 64]})
    if allowed:
        found = rounds.resolution_of(make_target(), asked, tmp_path, [])
        assert [file.filename for _, file in found.chosen] == ["x-1.0-py3-none-any.whl"]
    else:
        with pytest.raises(LockError, match="none of the hashes for x in the requirements file"):
            rounds.resolution_of(make_target(), asked, tmp_path, [])


@pytest.mark.parametrize(
    ("file", "fits"),
    [
        (wheel("1.0"), True),
        (wheel("1.0", "cp313-cp313-win32"), False),
        (sdist("1.0"), True),
    ],
)
def test_a_wheel_that_is_named_by_its_url_has_to_fit(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path, file: File, fits: bool
) -> None:
    answer(monkeypatch, Offer("x", "1.0", None, (file,), direct=True))
    monkeypatch.setattr(explain, "exact_files", lambda *_: [file])
    if fits:
        assert resolution(make_target(), tmp_path) == [("1.0", file.filename)]
    else:
        with pytest.raises(LockError, match=r"x 1\.0 has no wheel for python3\.13"):
            resolution(make_target(), tmp_path)


def test_what_may_be_built_for_its_metadata_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
    make_target: MakeTarget,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = Script(monkeypatch, {"1.0": [wheel("1.0")]})
    resolution(make_target(), tmp_path)
    assert "reads the metadata" not in capsys.readouterr().err
    files = {"1.0": [sdist("1.0")], "2.0": [sdist("2.0")]}
    script.files, script.answers = files, ["hint: Wheels are required for `x` because"]
    resolution(make_target(), tmp_path)
    assert capsys.readouterr().err.count("uv reads the metadata of x from sources") == 1


@pytest.mark.parametrize(
    ("with_wheels", "taken"),
    [(set(), {"a", "b"}), ({"b"}, {"a"}), ({"a", "b"}, {"b"}), ({"a", "b", "x"}, {"b"})],
)
def test_what_has_no_wheel_at_all_is_taken_from_its_sdist_first(
    monkeypatch: pytest.MonkeyPatch,
    make_target: MakeTarget,
    tmp_path: Path,
    with_wheels: set[str],
    taken: set[str],
) -> None:
    """Of what has wheels, what nobody asked for comes first: an older version may be meant."""
    monkeypatch.setattr(explain, "has_wheel", lambda _, name, *__: name in with_wheels)
    asked = replace(INPUTS, requirements=["A>=1"])
    assert rounds._to_allow(make_target(), asked, tmp_path, ["a", "b"]) == taken


def test_versions_that_were_ruled_out_are_blamed_where_uv_names_them(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path
) -> None:
    files = {"1.0": [wheel("1.0", "cp313-cp313-win32")], "2.0": [wheel("2.0", "cp313-cp313-win32")]}
    script = Script(monkeypatch, files)
    blamed: list[Any] = []

    def refusal(_: Any, said: str, __: Any, pins: list[tuple[str, str]]) -> LockError:
        blamed.append((said.splitlines()[0], pins))
        return LockError("refused")

    monkeypatch.setattr(explain, "refusal", refusal)
    every = script.resolve

    def resolve(*words: Any, **options: Any) -> list[Offer]:
        if len(script.asked) == 2:
            raise Unresolvable("no version of x is left")
        return every(*words, **options)

    monkeypatch.setattr(resolver, "resolve", resolve)
    with pytest.raises(LockError, match="refused"):
        resolution(make_target(), tmp_path)
    assert blamed == [("no version of x is left", [("x", "2.0"), ("x", "1.0")])]


@pytest.mark.parametrize("present", ["none", "same", "other"])
def test_an_equal_target_gets_a_lock_of_its_own_where_it_has_none(
    make_target: MakeTarget, tmp_path: Path, present: str
) -> None:
    target = replace(make_target(), layer="twin")
    held = Lock([entry()], "1" * 64, {})
    path = lock.lock_path(target, tmp_path)
    if present != "none":
        document.write(
            held if present == "same" else Lock([], "2" * 64, {}), path, target.identifier
        )
    before = path.stat().st_mtime_ns if path.exists() else 0
    first = targets._Resolved(make_target(), None, held, INPUTS, [])
    found = targets._as_well(first, target, tmp_path)
    assert found == replace(first, target=target)
    assert lock.read(path) == held
    assert (path.stat().st_mtime_ns == before) is (present == "same")


def test_versions_that_differ_from_a_teams_lock_are_said(make_target: MakeTarget) -> None:
    target = make_target(constraints={"file": "uv.lock"})
    pinned = replace(INPUTS, pins={"x": "0.9", "y": "1.0"})
    held = Lock([entry("x"), entry("y"), entry("z")], "", {})
    (said,) = targets._elsewhere(target, held, pinned)
    assert said.startswith("x 1.0: uv.lock has 0.9, which does not fit python3.13")
    brought = Lock([entry("boto3")], "", {})
    (said,) = targets._elsewhere(target, brought, replace(INPUTS, pins={"boto3": "9.0"}))
    assert said == "boto3 1.0: uv.lock has 9.0, and python3.13 provides 1.0"


def test_what_only_an_excluded_distribution_needs_is_said(make_target: MakeTarget) -> None:
    held = Lock(
        [
            LockEntry("app", "1", "a", "app-1-py3-none-any.whl", ("layers.yaml",)),
            LockEntry("mid", "1", "b", "mid-1-py3-none-any.whl", ("app",)),
            LockEntry("low", "1", "c", "low-1-py3-none-any.whl", ("mid",)),
        ],
        "",
        {},
    )
    target = make_target(excludes={"mid": "not needed"})
    (said,) = targets._superfluous(target, held, replace(INPUTS, requirements=["app"]))
    assert said.startswith("only mid needs low, and mid stays out of the layer")
    # What an extra of something above it may have brought is wanted.
    assert targets._superfluous(target, held, replace(INPUTS, requirements=["app[more]"])) == []


def test_a_refusal_is_told_with_its_target_and_the_reason_of_the_index(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path
) -> None:
    reasons = {"x": "x is marked as quarantined", "y": ""}

    def refuse(target: Target, *_: Any, **__: Any) -> Any:
        raise LockError(target.layer, target="named" if target.layer == "y" else None, cause="uv")

    monkeypatch.setattr(lock, "resolve", refuse)
    monkeypatch.setattr(provenance, "withheld", lambda explanation, *_: reasons[explanation])
    wanted = targets._Wanted(False, (), Pages(tmp_path))
    told = {}
    for name in reasons:
        found = targets._update(replace(make_target(), layer=name), tmp_path, wanted)
        assert isinstance(found, targets.LockResult)
        assert found.error
        told[name] = (found.error.target, found.error.cause)
    assert told == {"x": ("x-python3.13-arm64", "x is marked as quarantined"), "y": ("named", "uv")}


def test_a_lock_is_written_only_where_it_changes(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path
) -> None:
    target = make_target()
    held = locked(target, tmp_path, entry())
    found = {"lock": held}
    monkeypatch.setattr(lock, "resolve", lambda *_, **__: found["lock"])
    monkeypatch.setattr(provenance, "add", lambda new, *_: (new, []))
    monkeypatch.setattr(build_pins, "add", lambda new, *_, **__: new)
    path, wanted = lock.lock_path(target, tmp_path), targets._Wanted(False, (), Pages(tmp_path))
    before = path.stat().st_mtime_ns
    assert isinstance(targets._update(target, tmp_path, wanted), targets._Resolved)
    assert path.stat().st_mtime_ns == before
    found["lock"] = replace(held, entries=[entry("y")])
    targets._update(target, tmp_path, wanted)
    assert lock.read(path) == found["lock"]


def test_what_cannot_be_judged_fails_its_target_alone(
    monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget, tmp_path: Path
) -> None:
    first = targets._Resolved(make_target(), None, Lock([], "", {}), INPUTS, ["attested"])
    for name in ("passed_over", "notes"):
        module = explain if name == "passed_over" else yanked
        monkeypatch.setattr(module, name, lambda *_: [])
    assert targets._judged(first, tmp_path).notes == ("attested",)

    def refuse(*_: Any) -> list[str]:
        raise LockError("the index does not answer")

    monkeypatch.setattr(explain, "passed_over", refuse)
    result = targets._judged(first, tmp_path)
    assert result.error
    assert result.error.target == "demo-python3.13-arm64"
