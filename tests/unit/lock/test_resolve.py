"""From a resolution to a lock, and from a lock to its files; uv's answers are made up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import lock
from layersmith.config.models import Function
from layersmith.errors import LockError
from layersmith.lock import document, resolver, yanked
from layersmith.lock import inputs as lockinputs
from layersmith.lock.document import CONFIG, Lock, LockEntry
from layersmith.lock.resolver import Edges, File, Offer
from layersmith.lock.rounds import Resolution
from layersmith.plan import Brought

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layersmith.plan import Target

    from .conftest import MakeTarget

URL = "https://index.test/x"


def entry(name: str = "x", version: str = "1.0", *via: str, commit: str = "") -> LockEntry:
    filename = f"{name}-{version}-py3-none-any.whl"
    return LockEntry(name, version, "a" * 64, filename, via or (CONFIG,), commit=commit)


def written(target: Target, root: Path, *entries: LockEntry, **more: Any) -> Lock:
    """Write a lock that fits the target, or one with other ``parts``."""
    inputs = lockinputs.collect(target, root)
    held = Lock([*entries], inputs.digest, **{"parts": inputs.parts, **more})
    document.write(held, lock.lock_path(target, root), target.identifier)
    return held


class Uv:
    """Takes the versions to keep, and the newest of all others; says who asks for what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, sha256: str | None = "b" * 64) -> None:
        self.sha256 = sha256
        self.kept: list[dict[str, str]] = []
        self.hashes: list[Sequence[str]] = []
        self.without_another: set[str] = set()
        monkeypatch.setattr(lock, "resolution_of", self.resolution_of)
        monkeypatch.setattr(resolver, "graph", self.graph)

    def resolution_of(self, *asked: Any) -> Resolution:
        _, inputs, _, kept = asked
        self.kept.append({name: version for name, version in kept if name in inputs.names})
        if not self.without_another <= self.kept[-1].keys():
            raise LockError("no other version fits")
        chosen = []
        for name in sorted(inputs.names):
            version = self.kept[-1].get(name, "9.0")
            file = File(f"{name}-{version}-py3-none-any.whl", URL, self.sha256, 1)
            chosen.append((Offer(name, version, None, (file,)), file))
        return Resolution(chosen, {})

    def graph(self, *_: Any, hashes: Sequence[str]) -> Edges:
        self.hashes.append(hashes)
        return Edges({"x": (CONFIG,), "y": (CONFIG,)}, {"x": "https://index.test/simple"})


def versions(held: Lock) -> dict[str, str]:
    return {one.name: one.version for one in held.entries}


def test_versions_of_the_lock_stay_unless_they_were_yanked(
    make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = make_target(requirements=["x", "y", "z"])
    uv = Uv(monkeypatch)
    bad: set[str] = set()
    judged: list[list[tuple[str, str, str]]] = []

    def among(_: Target, files: Any, __: Path) -> set[str]:
        judged.append([*files])
        return bad

    monkeypatch.setattr(yanked, "among", among)
    written(target, tmp_path, entry("x", "1.0"), entry("y", "2.0"))
    made = lock.resolve(target, tmp_path)
    assert versions(made) == {"x": "1.0", "y": "2.0", "z": "9.0"}
    assert uv.kept == [{"x": "1.0", "y": "2.0"}]
    held = [("x", "1.0", "x-1.0-py3-none-any.whl"), ("y", "2.0", "y-2.0-py3-none-any.whl")]
    assert judged == [held]  # what is new was taken by uv, which passes over yanked versions
    assert [(one.via, one.index) for one in made.entries] == [
        ((CONFIG,), "https://index.test/simple"), ((CONFIG,), ""), ((), ""),
    ]  # fmt: skip
    bad.add("x")
    assert versions(lock.resolve(target, tmp_path)) == {"x": "9.0", "y": "2.0", "z": "9.0"}
    assert uv.kept[1:] == [{"x": "1.0", "y": "2.0"}, {"y": "2.0"}]
    # Where requirements leave no other version, the yanked one stays; a note says so.
    uv.without_another = {"x"}
    assert versions(lock.resolve(target, tmp_path)) == {"x": "1.0", "y": "2.0", "z": "9.0"}


def test_who_asks_is_found_by_the_hashes_of_all_files(
    make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = make_target(requirements=["x", "y"])
    monkeypatch.setattr(yanked, "among", lambda *_: set())
    uv = Uv(monkeypatch)
    made = lock.resolve(target, tmp_path)
    assert uv.hashes == [["b" * 64] * 2]
    # Where the files are is known from now on: no index is asked.
    assert [*lock.urls(made, target, root=tmp_path)] == ["b" * 64]


def test_a_file_without_a_hash_cannot_be_locked(
    make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = make_target(requirements=["x"])
    monkeypatch.setattr(yanked, "among", lambda *_: set())
    uv = Uv(monkeypatch, sha256=None)
    with pytest.raises(LockError, match=r"gives no SHA-256 for x-9\.0-py3-none-any\.whl") as said:
        lock.resolve(target, tmp_path)
    assert said.value.target == target.identifier
    assert uv.hashes == [()]  # nothing is known by hashes that are not there


@pytest.fixture
def package(make_target: MakeTarget) -> Target:
    """The package of a function that uses the layer ``base``."""
    function = Function.model_validate({"package": True, "code": "src", "layers": ["base"]})
    base = make_target(excludes={"left": "not needed"}).settings
    return replace(make_target(requirements=["x"]), function=function, others={"base": base})


def test_a_package_leaves_out_what_its_layers_bring(package: Target, tmp_path: Path) -> None:
    (layer,) = package.beside
    assert lock.with_layers(package, tmp_path) == package
    with pytest.raises(LockError, match="its layer base has no lock that fits: ") as missing:
        lock.with_layers(package, tmp_path, strict=True)
    assert missing.value.target == package.identifier
    entries = [entry("boto3", layer.provided["boto3"].version), entry("left"), entry("x", "2.0")]
    (tmp_path / "libs" / "deep").mkdir(parents=True)
    (tmp_path / "libs" / "deep" / "pyproject.toml").write_text("[project]\nname = 'deep'\n")
    local = {"packages": {"mine": ()}, "members": {"deep": "libs/deep"}}
    brought = {
        "x": Brought("x", "2.0", "base"),
        "mine": Brought("mine", "", "base"),
        "deep": Brought("deep", "", "base"),
    }
    written(layer, tmp_path, *entries, parts={}, **local)
    assert lock.with_layers(package, tmp_path).brought == brought
    with pytest.raises(LockError, match=r"no lock that fits: .* changed since it was written"):
        lock.with_layers(package, tmp_path, strict=True)
    written(layer, tmp_path, *entries)
    found = lock.with_layers(package, tmp_path, strict=True)
    assert found.brought == {"x": brought["x"]}
    assert "x" in found.provided


def test_a_file_that_is_asked_for_by_its_url_is_there(
    make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    git = "git+https://git.test/y@main#subdirectory=lib"
    target = make_target(requirements=[f"x @ {URL}.whl#sha256={'a' * 64}", f"y @ {git}", "z"])
    direct = [
        entry("x"),
        LockEntry("y", "1.0", "c" * 64, "y-1.0.tar", commit="c0ffee"),
    ]
    asked: list[list[str]] = []

    def offers(_: Any, pins: list[str], *__: Any, **___: Any) -> list[Offer]:
        asked.append(pins)
        return [Offer("z", "1.0", None, (File("z-1.0.zip", f"{URL}/z", "d" * 64, 1),))]

    monkeypatch.setattr(resolver, "offers", offers)
    held = Lock([*direct, LockEntry("z", "1.0", "d" * 64, "z-1.0.zip")], "", {})
    assert lock.urls(held, target, root=tmp_path) == {
        "a" * 64: (f"{URL}.whl", "x-1.0-py3-none-any.whl", None),
        "c" * 64: ("git+https://git.test/y@c0ffee#subdirectory=lib", "y-1.0.tar", None),
        "d" * 64: (f"{URL}/z", "z-1.0.zip", 1),
    }
    assert asked == [["z==1.0"]]


def test_repositories_stay_at_their_commits_while_requirements_do(
    make_target: MakeTarget, tmp_path: Path
) -> None:
    target = make_target(
        requirements=["x @ git+https://git.test/x@main", "y @ git+https://git.test/y", "z"]
    )
    path = lock.lock_path(target, tmp_path)
    inputs = lockinputs.collect(target, tmp_path)

    def resolved(*kept: str) -> list[str]:
        return lock._at_commits(inputs, path, kept).requirements

    assert resolved("x", "y", "z") == inputs.requirements
    written(target, tmp_path, entry("x", commit="f00"), entry("y", commit="ba7"), entry("z"))
    assert resolved("x", "y", "z") == [
        "x @ git+https://git.test/x@f00",
        "y @ git+https://git.test/y@ba7",
        "z",
    ]
    assert resolved("y") == [
        "x @ git+https://git.test/x@main",
        "y @ git+https://git.test/y@ba7",
        "z",
    ]
    # What is now asked of an index was a repository then, or the other way around.
    written(target, tmp_path, entry("x"), entry("y"), entry("z", commit="f00"))
    assert resolved("x", "y", "z") == inputs.requirements
    written(target, tmp_path, entry("x", commit="f00"), parts={"requirements": "0" * 64})
    assert resolved("x", "y", "z") == inputs.requirements
