"""What uv is asked and what becomes of its answers; tests/integration/lock asks uv itself."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from layersmith import process
from layersmith.base import toml, uv
from layersmith.errors import LockError
from layersmith.lock import explain, resolver, wheelstore
from layersmith.lock.inputs import LocalPackage, LockInputs
from layersmith.lock.resolver import Edges, File, Offer, Unresolvable
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .conftest import MakeTarget

WHEEL = {"url": "https://index.test/x-1-py3-none-any.whl", "hashes": {"sha256": "a" * 64}}
SDIST = {"url": "https://index.test/x-1.tar.gz", "hashes": {"sha256": "b" * 64}}


def listed(name: str, version: str = "1", **more: Any) -> dict[str, Any]:
    return {"name": name, "version": version, "wheels": [WHEEL], **more}


class Uv:
    """uv's command line: keeps the files and options of each call, and answers as scripted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.packages: list[dict[str, Any]] = []
        self.calls: list[list[str]] = []
        self.projects: list[dict[str, Any]] = []
        self.texts: list[dict[str, str]] = []
        self.described: list[dict[str, Any]] = []
        monkeypatch.setattr(uv, "compile_pins", self.compile_pins)

    def compile_pins(self, *words: Any, cwd: Path, **_: Any) -> None:
        self.calls.append([str(word) for word in words])
        self.projects.append(tomllib.loads((cwd / "pyproject.toml").read_text("utf-8")))
        self.texts.append({path.name: path.read_text("utf-8") for path in cwd.glob("*.t*")})
        for line in self.projects[-1]["project"]["dependencies"]:
            place = Requirement(line).url
            if place and place.startswith("file:"):
                path = Path(unquote(urlsplit(place).path)) / "pyproject.toml"
                self.described.append(tomllib.loads(path.read_text("utf-8")))
        answer = {"lock-version": "1.0", "created-by": "uv", "packages": self.packages}
        (cwd / "pylock.toml").write_text(toml.dumps(answer), "utf-8")

    @property
    def lines(self) -> list[str]:
        return [*self.projects[-1]["project"]["dependencies"]]

    @property
    def sources(self) -> dict[str, Any]:
        return dict(self.projects[-1]["tool"]["uv"]["sources"])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Uv:
    return Uv(monkeypatch)


def inputs(*requirements: str, **more: Any) -> LockInputs:
    said: dict[str, Any] = {"constraints": [], "packages": {}, "extras": {}, "parts": {}} | more
    return LockInputs([*requirements], **said)


def package(folder: Path, **metadata: Any) -> LocalPackage:
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[project]\nname = 'common'\nversion = '9'\n", "utf-8")
    return LocalPackage("common", folder, metadata)


@pytest.mark.parametrize(
    ("extras", "line"),
    [({}, "common @ "), ({"common": ["images", "net"]}, "common[images,net] @ ")],
)
def test_a_local_package_is_described_so_that_its_build_does_not_run(
    asked: Uv, make_target: MakeTarget, tmp_path: Path, extras: dict[str, Any], line: str
) -> None:
    asked.packages = [listed("common")]
    one = package(tmp_path / "common", dependencies=["six"])
    resolver.resolve(make_target(), inputs(packages={"common": one}, extras=extras), tmp_path)
    assert asked.lines[0].startswith(line)
    (described,) = asked.described
    assert described == {"project": {"name": "common", "version": "0", "dependencies": ["six"]}}


def test_a_local_package_with_dynamic_dependencies_is_built_by_uv(
    asked: Uv, make_target: MakeTarget, tmp_path: Path
) -> None:
    asked.packages = [listed("common")]
    one = package(tmp_path / "common", files={"setup.py": "a"})
    resolver.resolve(make_target(), inputs(packages={"common": one}), tmp_path)
    assert asked.described[0]["project"]["version"] == "9"


def test_what_was_locked_is_preferred_and_a_first_lock_prefers_nothing(
    asked: Uv, make_target: MakeTarget, tmp_path: Path
) -> None:
    asked.packages = [listed("x")]
    resolver.resolve(make_target(), inputs("x"), tmp_path)
    assert "pylock.toml" not in asked.texts[-1]
    resolver.resolve(make_target(), inputs("x"), tmp_path, preferences=[("x", "1")])
    known = tomllib.loads(asked.texts[-1]["pylock.toml"])["packages"]
    assert known == [{"name": "x", "version": "1"}]


@pytest.mark.parametrize(("age", "told"), [(None, False), ("14d", True)])
def test_a_cool_down_is_told_to_uv(
    asked: Uv, make_target: MakeTarget, tmp_path: Path, age: str | None, told: bool
) -> None:
    asked.packages = [listed("x")]
    settings = {"cool-down": age, "cool-down-exceptions": {"Other": "ours"}} if age else {}
    resolver.resolve(make_target(**settings), inputs("x"), tmp_path)
    assert ("--exclude-newer" in asked.calls[-1]) is told
    assert ("other=false" in asked.calls[-1]) is told


@pytest.mark.parametrize(
    ("requirement", "missing"),
    [
        ("y", True),
        ("y; sys_platform == 'linux'", True),
        ("y; sys_platform == 'win32'", False),
    ],
)
def test_an_answer_without_what_was_asked_for_is_refused(
    asked: Uv, make_target: MakeTarget, tmp_path: Path, requirement: str, missing: bool
) -> None:
    asked.packages = [listed("x")]
    if missing:
        with pytest.raises(LockError, match="does not hold y, which was asked for"):
            resolver.resolve(make_target(), inputs("x", requirement), tmp_path)
    else:
        assert resolver.resolve(make_target(), inputs("x", requirement), tmp_path)


ARCHIVE = {"archive": {"url": "https://x.test/x-1.zip#a", "hashes": {"sha256": "c" * 64}}}


def test_what_comes_from_a_url_that_nobody_named_is_refused(
    asked: Uv, make_target: MakeTarget, tmp_path: Path
) -> None:
    asked.packages = [{"name": "x", "version": "1", **ARCHIVE}]
    named = inputs("x @ https://x.test/x-1.zip")
    (found,) = resolver.resolve(make_target(), named, tmp_path)
    assert found.direct
    with pytest.raises(LockError, match="x comes from a URL or git repository"):
        resolver.resolve(make_target(), inputs("x"), tmp_path)


def test_sources_of_layers_and_of_local_packages_are_asked_together(
    asked: Uv, make_target: MakeTarget, tmp_path: Path
) -> None:
    folder = tmp_path / "common"
    folder.mkdir()
    text = "[tool.uv.sources]\nx = {index = 'own'}\nother = {index = 'own'}\n"
    (folder / "pyproject.toml").write_text(text, "utf-8")
    layer = {"y": [{"index": "team"}]}
    resolver.offers(make_target(), ["x"], tmp_path, asked={folder: ["x"]}, sources=layer)
    assert asked.sources == {"x": [{"index": "own"}], **layer}
    resolver.offers(make_target(), ["x"], tmp_path)
    assert asked.sources == {}


def test_sources_of_the_project_hold_where_no_others_are_given(asked: Uv, tmp_path: Path) -> None:
    text = "[tool.uv.sources]\nx = {index = 'own'}\nother = {index = 'own'}\n"
    (tmp_path / "pyproject.toml").write_text(text, "utf-8")
    asked.packages = [{**listed("x"), "sdist": SDIST}]
    found = resolver.sdist("x", "1", "3.13", tmp_path)
    assert found == File("x-1.tar.gz", str(SDIST["url"]), "b" * 64, None)
    assert asked.sources == {"x": [{"index": "own"}]}


def test_nothing_asked_is_nothing_answered(
    asked: Uv, make_target: MakeTarget, tmp_path: Path
) -> None:
    assert resolver.offers(make_target(), [], tmp_path) == []
    assert asked.calls == []


def test_the_newest_of_each_is_asked_for_once(
    asked: Uv, make_target: MakeTarget, tmp_path: Path
) -> None:
    asked.packages = [listed("x"), listed("y", "2")]
    wanted = [Requirement("x"), Requirement("y>=2")]
    with resolver.shared():
        for chosen in (wanted, wanted[1:], wanted[:1]):
            found = resolver.every_offer(make_target(), chosen, tmp_path)
            assert [one.name for one in found] == [one.name for one in chosen]
    assert len(asked.calls) == 1


COMMITTED = f"my_x-1{wheelstore.COMMIT_SUFFIX}"
GIT = {"type": "git", "url": "https://x.test/repo", "commit-id": "f" * 40}


@pytest.mark.parametrize(
    ("entry", "file", "commit"),
    [
        (ARCHIVE, File("x-1.zip", "https://x.test/x-1.zip", "c" * 64, None), ""),
        (
            {"vcs": GIT},
            File(COMMITTED, f"git+https://x.test/repo@{'f' * 40}", None, None),
            "f" * 40,
        ),
        (
            {"vcs": {**GIT, "subdirectory": "sub"}},
            File(COMMITTED, f"git+https://x.test/repo@{'f' * 40}#subdirectory=sub", None, None),
            "f" * 40,
        ),
    ],
)
def test_what_comes_from_a_url(
    entry: Mapping[str, Any], file: File, commit: str, tmp_path: Path
) -> None:
    content = {"lock-version": "1.0", "packages": [{"name": "my-x", "version": "1", **entry}]}
    (found,) = resolver.read_offers(content, tmp_path)
    assert found == Offer("my-x", "1", None, (file,), commit=commit, direct=True)


@pytest.mark.parametrize(
    "entry",
    [
        {"vcs": {**GIT, "type": "hg"}},
        {"archive": {**ARCHIVE["archive"], "subdirectory": "python"}},
    ],
)
def test_a_repository_of_another_kind_and_a_part_of_an_archive_are_refused(
    entry: Mapping[str, Any], tmp_path: Path
) -> None:
    content = {"lock-version": "1.0", "packages": [{"name": "x", "version": "1", **entry}]}
    with pytest.raises(LockError, match="not understood"):
        resolver.read_offers(content, tmp_path)


def test_a_graph_is_kept_where_hashes_say_what_it_is_of(
    make_target: MakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path / "cache"))
    edges, times = Edges({"x": ("layers.yaml",)}, {}), [0]

    def graph(*_: Any) -> Edges:
        times[0] += 1
        return edges

    monkeypatch.setattr(resolver, "_graph", graph)
    dynamic = package(tmp_path / "common", files={})
    for one, hashes, asked in (
        (inputs("x"), (), 2),
        (inputs("x"), ("a" * 64,), 3),  # the first of two calls; the second is answered
        (inputs("x", packages={"common": dynamic}), ("a" * 64,), 5),
    ):
        for _ in range(2):
            found = resolver.graph(make_target(), one, [("x", "1")], tmp_path, hashes=hashes)
            assert found == edges
        assert times == [asked]


def test_uvs_refusal_is_told_without_logins(
    make_target: MakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise process.CommandFailed(
            process.Completed(("uv",), 1, "", "no answer from https://me:secret@index.test/")
        )

    monkeypatch.setattr(uv, "compile_pins", refuse)
    with pytest.raises(Unresolvable) as raised:
        resolver.resolve(make_target(), inputs("x"), tmp_path)
    assert "secret" not in raised.value.explanation


INTEL = "x-1.0-cp313-cp313-manylinux_2_17_x86_64.whl"
WINDOWS, LINUX = "x-1.0-cp313-cp313-win_amd64.whl", "x-1.0-cp313-cp313-manylinux_2_17_aarch64.whl"


def files(*names: str) -> list[File]:
    return [File(name, "https://index.test/x", "1" * 64, 1) for name in names]


@pytest.mark.parametrize(
    ("names", "blamed"),
    [([INTEL], True), ([INTEL, LINUX], False), (["x-1.0.tar.gz"], False), ([], False)],
)
def test_a_version_is_blamed_where_it_has_wheels_and_none_fits(
    make_target: MakeTarget,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    blamed: bool,
) -> None:
    monkeypatch.setattr(explain, "exact_files", lambda *_: files(*names))
    error = explain.refusal(make_target(), "no solution", tmp_path, [("x", "1.0")])
    assert ("x 1.0 has no wheel for python3.13" in str(error.cause)) is blamed
    assert ("list it under `build:`" in str(error.hint)) is blamed


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["x-1.0-cp312-cp312-manylinux_2_17_aarch64.whl"], "choose a runtime that can use it"),
        ([INTEL], "request another version that has one, or list x under `build:`"),
        ([WINDOWS], "nothing of x is made for Linux: "),
    ],
)
def test_a_runtime_that_could_use_the_wheel_is_named(
    make_target: MakeTarget,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    hint: str,
) -> None:
    monkeypatch.setattr(explain, "exact_files", lambda *_: files(*names))
    error = explain.no_wheel(make_target(), "x", "1.0", tmp_path)
    assert str(error.hint).startswith(hint)


def test_only_names_of_wheels_with_tags_are_listed(make_target: MakeTarget) -> None:
    odd = files(WINDOWS, "x-1.0.tar.gz", "x-1.0-1-2-3-4.tar.gz", "x-1.0-any.whl", "x-any-a-b.whl")
    assert explain.wheels_text(make_target(), odd) == "cp313: win_amd64"


def test_halves_are_asked_until_one_name_is_left(
    make_target: MakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[str]] = []

    def every(_: Any, wanted: list[Requirement], *__: Any) -> list[Offer]:
        found.append([one.name for one in wanted])
        if "b" in found[-1]:
            raise Unresolvable("b")
        return []

    monkeypatch.setattr(resolver, "every_offer", every)
    explain._ask(make_target(), [Requirement(name) for name in "abc"], tmp_path)
    assert found == [["a", "b", "c"], ["a"], ["b", "c"], ["b"], ["c"]]
