"""`weigh` with real uv and real HTTP: what is transferred, and what goes wrong."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from layersmith.cli import main
from layersmith.errors import BuildError, LockError
from layersmith.weigh import verdict

from tests.support import wheels
from tests.support.cli import called, layers
from tests.support.envelopes import data_of

if TYPE_CHECKING:
    import subprocess

    from .conftest import RangeIndex

ROOT = Path(__file__).parents[3]


def cli(index: RangeIndex, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Weigh, in a process of its own where it has other variables."""
    folder = index.folder.parent
    if environment:
        return layers("weigh", *words, cwd=folder, env=environment)
    return called("weigh", *words, cwd=folder)


def big_wheel(index: RangeIndex, members: int, requires: tuple[str, ...] = ()) -> Path:
    """Add a wheel of more than 2 MB, its METADATA in the middle, as some tools lay it."""
    noise = random.Random(7)
    files = {f"big/data{n:05}.bin": noise.randbytes(40) for n in range(members)}
    files = {"big/__init__.py": b"", "big/blob.so": noise.randbytes(2_000_000), **files}
    path = wheels.make(index.folder, "big", files, requires=requires)
    with zipfile.ZipFile(path) as old:
        content = {info.filename: old.read(info) for info in old.infolist()}
    order = sorted(content, key=lambda name: (not name.endswith("METADATA"), name))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in order:
            new.writestr(name, content[name])
    return path


def test_two_ranges_tell_what_a_large_wheel_holds(index: RangeIndex) -> None:
    path = big_wheel(index, members=100)
    weighed = index.weigh("big")
    (one,) = weighed.distributions
    with zipfile.ZipFile(path) as wheel:
        assert one.unzipped == sum(info.file_size for info in wheel.infolist())
        assert one.zipped == sum(info.compress_size for info in wheel.infolist())
    assert one.native == 2_000_000
    assert len(index.asked) == 2
    assert index.asked[0] == (path.name, "bytes=-65536")
    assert weighed.traffic.received < 80_000 < path.stat().st_size == weighed.traffic.artifacts
    assert not weighed.traffic.whole


def test_a_directory_longer_than_the_first_range(index: RangeIndex) -> None:
    path = big_wheel(index, members=3000)
    weighed = index.weigh("big")
    assert weighed.distributions[0].files == 3005
    assert len(index.asked) <= 3
    assert weighed.traffic.received < path.stat().st_size / 2


def test_what_was_read_is_never_read_again(index: RangeIndex) -> None:
    big_wheel(index, members=10, requires=("small",))
    index.wheel("small", "1.0")
    first = index.weigh("big")
    assert first.traffic.requests == 3
    index.behave("gone")
    again = index.weigh("big")
    assert again.traffic.requests == 0
    assert again.distributions == first.distributions


def test_an_index_without_ranges_is_told(index: RangeIndex) -> None:
    path = big_wheel(index, members=10)
    index.behave("no ranges")
    weighed = index.weigh("big")
    assert weighed.traffic.whole == [path.name]
    assert weighed.traffic.received == path.stat().st_size
    stored = list((index.folder.parent / "cache" / "wheels").rglob(path.name))
    assert len(stored) == 1, "a build need not download it again"


def test_an_index_that_goes_away_in_mid_read(index: RangeIndex) -> None:
    path = big_wheel(index, members=10)
    index.behave("cut off")
    with pytest.raises(BuildError) as caught:
        index.weigh("big")
    assert path.name in str(caught.value)
    assert "RemoteProtocolError" in str(caught.value)
    assert not list((index.folder.parent / "cache").rglob("*.part"))
    index.behave("ranges")
    assert index.weigh("big").distributions[0].name == "big", "nothing broken was kept"


def test_an_index_that_answers_with_errors(index: RangeIndex) -> None:
    index.wheel("small", "1.0")
    index.behave("gone")
    with pytest.raises(BuildError, match="the index answered 503"):
        index.weigh("small")


def test_an_index_that_sends_another_range(index: RangeIndex) -> None:
    big_wheel(index, members=10)
    index.behave("wrong range")
    with pytest.raises(BuildError, match="another range than it was asked for"):
        index.weigh("big")


@pytest.mark.parametrize("damage", ["no end", "directory", "no metadata", "no zip"])
def test_a_wheel_with_a_broken_directory(index: RangeIndex, damage: str) -> None:
    path = big_wheel(index, members=100)
    whole = path.read_bytes()
    broken = {
        "no end": whole[:-22],
        "directory": whole[:-3000] + b"\0" * 2000 + whole[-1000:],
        "no metadata": whole.replace(b"big-1.0.dist-info/METADATA", b"big-1.0.dist-info/METADAT_"),
        "no zip": b"<html>not found</html>" * 99,
    }[damage]
    index.damage(path.name, broken)
    with pytest.raises(BuildError, match=r"readable wheel|damaged|another hash") as caught:
        index.weigh("big")
    assert path.name in str(caught.value)


def test_extras_are_followed_and_markers_judged_for_the_target(index: RangeIndex) -> None:
    index.wheel("app", "1.0", requires=["server[fast]", 'never; sys_platform == "win32"'])
    index.wheel("server", "1.0", requires=['loop; extra == "fast"', "h11"])
    for name in ("loop", "h11"):
        index.wheel(name, "1.0")
    weighed = index.weigh("app")
    chains = {one.name: one.chain for one in weighed.distributions}
    assert chains["loop"] == ["app", "server", "loop"]
    assert set(chains) == {"app", "server", "loop", "h11"}


def test_only_the_targets_own_wheel_is_read(index: RangeIndex) -> None:
    tags = ("cp313-cp313-manylinux_2_28_aarch64", "cp313-cp313-manylinux_2_28_x86_64")
    index.wheel("native", "1.0", *tags)
    index.weigh("native")
    assert {name for name, _ in index.asked} == {f"native-1.0-{tags[0]}.whl"}


def test_a_source_archive_is_estimated_and_said(index: RangeIndex) -> None:
    index.sdist("legacy", "1.0")
    report = verdict.report(index.weigh("legacy"))
    assert report.distributions[0].origin == "sdist"
    assert report.notes == ["estimated from sources, because there is no wheel: legacy"]


def test_a_name_that_does_not_exist(index: RangeIndex) -> None:
    done = cli(index, "no-such-thing", "--runtime", "python3.13")
    assert done.returncode == 4
    assert done.stdout == ""
    assert "no-such-thing was not found in the package registry" in done.stderr
    assert "a name is misspelt" in done.stderr


def test_no_version_for_the_target(index: RangeIndex) -> None:
    index.wheel("mac", "1.0", "cp313-cp313-macosx_11_0_arm64")
    with pytest.raises(LockError) as caught:
        index.weigh("mac")
    assert "no wheel for python3.13 on aarch64-manylinux_2_34" in str(caught.value)
    assert "macosx_11_0_arm64" in str(caught.value)


def test_a_conflict_is_explained_as_a_whole(index: RangeIndex) -> None:
    index.wheel("left", "1.0", requires=["base<2"])
    index.wheel("right", "1.0", requires=["base>=2"])
    index.wheel("base", "1.0")
    index.wheel("base", "2.0")
    with pytest.raises(LockError) as caught:
        index.weigh("left", "right")
    said = str(caught.value)
    for part in ("left", "base<2", "right", "base>=2", "unsatisfiable"):
        assert part in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["==1.0"], "is not a requirement, a file or a layer"),
        (["small", "--runtime", "python3.131"], "did you mean python3.13"),
        (["small", "--arch", "aarch64"], "known: arm64, x86_64"),
    ],
)
def test_words_that_cannot_be(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["weigh", *words]) == 2
    assert told in capsys.readouterr().err


def test_the_verb_in_a_narrow_terminal_without_colour(index: RangeIndex) -> None:
    big_wheel(index, members=10, requires=("small",))
    index.wheel("small", "1.0")
    done = cli(index, "big", COLUMNS="60", NO_COLOR="1")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 60
    assert "fits: " in done.stdout
    assert "└── small 1.0" in done.stdout
    assert "3 requests" in done.stdout


def test_the_verb_where_only_ascii_is_known(index: RangeIndex) -> None:
    index.wheel("small", "1.0")
    done = cli(index, "small", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "................" in done.stdout


def test_json_and_check(index: RangeIndex) -> None:
    path = wheels.make(index.folder, "huge", {"huge/zeros.bin": bytes(1_000_003)})
    # Only the directory is read: what it says of the size is what counts.
    said, larger = (1_000_003).to_bytes(4, "little"), (263_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(said, larger))
    done = cli(index, "huge", "--json", "--check")
    assert done.returncode == 7
    (report,) = data_of(done.stdout)["reports"]
    assert report["verdict"]["word"] == "does not fit"
    assert report["installed"]["unzipped"] > 263_000_000
    assert report["traffic"]["received"] <= 2 * 65536


def test_a_requirements_file(index: RangeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    index.wheel("small", "1.0")
    path = index.folder.parent / "wanted.txt"
    path.write_text("# what we need\nsmall==1.0\n")
    assert main(["weigh", "-r", str(path), "--json"]) == 0
    (report,) = data_of(capsys.readouterr().out)["reports"]
    assert report["identifier"] == "wanted-python3.13-arm64"
    assert report["requirements"] == ["small==1.0"]


@pytest.mark.parametrize("inside", ["", "svc/a"])
def test_files_above_that_a_requirements_file_names(
    index: RangeIndex,
    inside: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A monorepo has its common requirements above those of a function; weigh runs anywhere."""
    index.wheel("small", "1.0")
    index.wheel("small", "2.0")
    root = index.folder.parent / "repository"
    (root / "svc/a").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "base.txt").write_text("small\n")
    (root / "limits.txt").write_text("small<2\n")
    path = root / "svc/a/requirements.txt"
    path.write_text("-r ../../base.txt\n-c ../../limits.txt\n")
    monkeypatch.chdir(root / inside)
    assert main(["weigh", "-r", str(path), "--json"]) == 0
    (report,) = data_of(capsys.readouterr().out)["reports"]
    assert [one["version"] for one in report["distributions"]] == ["1.0"]


UV_LOCK = """\
[[package]]
name = "small"
version = "1.0"
source = { registry = "https://index.invalid/simple" }
"""
PROJECT = '[project]\nname = "shop"\nversion = "1"\ndependencies = ["small"]\n'
POETRY = '[tool.poetry]\nname = "a"\n[tool.poetry.dependencies]\nsmall = "^1.0"\n'
PYLOCK = """\
[[packages]]
name = "small"
version = "1.0"
marker = "python_version >= '3.9'"
[[packages]]
name = "gone"
version = "1.0"
marker = "'x' in extras"
"""


@pytest.mark.parametrize(
    ("name", "files", "version"),
    [
        ("pyproject.toml", {"pyproject.toml": PROJECT}, "2.0"),
        ("pyproject.toml", {"pyproject.toml": PROJECT, "uv.lock": UV_LOCK}, "1.0"),
        ("uv.lock", {"pyproject.toml": PROJECT, "uv.lock": UV_LOCK}, "1.0"),
        ("part/pyproject.toml", {"part/pyproject.toml": PROJECT, "uv.lock": UV_LOCK}, "1.0"),
        ("pyproject.toml", {"pyproject.toml": POETRY}, "1.0"),
        ("Pipfile", {"Pipfile": '[packages]\nsmall = "==1.0"\n'}, "1.0"),
        ("pylock.toml", {"pylock.toml": PYLOCK}, "1.0"),
    ],
)
def test_a_project_in_the_versions_of_its_lock(
    index: RangeIndex,
    name: str,
    files: dict[str, str],
    version: str,
) -> None:
    index.wheel("small", "1.0")
    index.wheel("small", "2.0")
    folder = index.folder.parent / "shop"
    folder.mkdir()
    for file, text in files.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(text)
    done = cli(index, "-r", str(folder / name), "--json")
    assert done.returncode == 0, done.stderr
    (report,) = data_of(done.stdout)["reports"]
    assert [(one["name"], one["version"]) for one in report["distributions"]] == [
        ("small", version)
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-r", "gone.txt"], "there is no file gone.txt"),
        (["gone.txt"], "gone.txt is the name of a file that does not exist, and not a requirement"),
        (["-r", "uv.lock"], "there is no pyproject.toml beside uv.lock"),
        (["-r", "Pipfile"], "nothing is required in Pipfile"),
        (["-r", "Pipfile", "small"], "Pipfile cannot be weighed together with anything else"),
    ],
)
def test_files_that_cannot_be_weighed(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "uv.lock").write_text(UV_LOCK)
    (tmp_path / "Pipfile").write_text("[dev-packages]\nsmall = '*'\n")
    monkeypatch.chdir(tmp_path)
    assert main(["weigh", *words]) == 2
    assert told in capsys.readouterr().err


def test_the_older_name_of_the_verb(index: RangeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    index.wheel("small", "1.0")
    assert main(["analyze", "small", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verb"] == "weigh"


def test_a_layer_by_name_is_weighed_by_its_lock(index: RangeIndex) -> None:
    root = index.folder.parent
    index.wheel("small", "1.0", requires=["heavy"])
    index.wheel("heavy", "1.0")
    (root / "layers.yaml").write_text(
        "defaults: {runtimes: [python3.13]}\n"
        "layers:\n"
        "  demo: {description: d, version: 1.0.0, requirements: [small],"
        " excludes: {heavy: not needed}}\n"
    )
    assert layers("lock", cwd=root).returncode == 0
    index.wheel("small", "2.0")
    done = cli(index, "demo", "--json", "--save")
    assert done.returncode == 0, done.stderr
    (report,) = data_of(done.stdout)["reports"]
    found = {one["name"]: one for one in report["distributions"]}
    assert found["small"]["version"] == "1.0", "the lock holds it"
    assert found["heavy"]["left_out"] == "not needed"
    saved = json.loads((root / "dist" / "demo-1.0.0-python3.13-arm64.analysis.json").read_text())
    assert saved["identifier"] == report["identifier"]
