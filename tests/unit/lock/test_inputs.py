"""What a lock is resolved from: requirements files, local packages, and the digest over all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from layersmith import lock
from layersmith.errors import LockError
from layersmith.lock import document, requirements
from layersmith.lock import inputs as lockinputs

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import MakeTarget

PROJECT = """\
[project]
name = "Vector.Common"
version = "1.0.0"
dependencies = ["boto3>=1.35"]
[project.optional-dependencies]
images = ["pillow"]
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "common"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"requirements": ["pillow>=11"]},
        {"requirements": ["pillow", "numpy"]},
        {"requirements": ["pillow; python_version < '3.13'"]},
        {"constraints": ["numpy<2"]},
        {"extras": {"pillow": ["xmp"]}},
        {"build": {"pillow": {}}},
        {"build": {"pillow": {"version": "11.0"}}},
        {"packages": ["common"]},
        {"runtime": "python3.12"},
        {"runtime": "python3.11"},
        {"architecture": "x86_64"},
    ],
)
def test_the_digest_follows_every_input(
    make_target: MakeTarget, package: Path, change: dict[str, Any]
) -> None:
    before = lock.inputs_digest(make_target(), package.parent)
    assert lock.inputs_digest(make_target(**change), package.parent) != before


@pytest.mark.parametrize(
    "change",
    [
        {"version": "2.0.0"},
        {"description": "other"},
        {"excludes": {"numpy": "not needed"}},
        {"budgets": {"zipped": 5}},
        {"build": {}},
        {"prune": {"defaults": False}},
    ],
)
def test_the_digest_follows_nothing_else(
    make_target: MakeTarget, tmp_path: Path, change: dict[str, Any]
) -> None:
    before = lock.inputs_digest(make_target(), tmp_path)
    assert lock.inputs_digest(make_target(**change), tmp_path) == before


def test_the_order_of_requirements_does_not_matter(make_target: MakeTarget, tmp_path: Path) -> None:
    one = make_target(requirements=["numpy", "pillow"])
    two = make_target(requirements=["pillow", "numpy", "pillow"])
    assert lock.inputs_digest(one, tmp_path) == lock.inputs_digest(two, tmp_path)


def test_the_same_requirements_from_a_file_are_the_same(
    make_target: MakeTarget, tmp_path: Path
) -> None:
    (tmp_path / "requirements.txt").write_text("# comment\npillow\n")
    inline, file = make_target(), make_target(requirements={"file": "requirements.txt"})
    assert lock.inputs_digest(inline, tmp_path) == lock.inputs_digest(file, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ('"boto3>=1.35"', '"boto3>=1.36"', True),
        ('"pillow"', '"pillow>=11"', True),
        ('"Vector.Common"', '"other"', True),
        ("[project.opt", 'requires-python = ">=3.12"\n[project.opt', True),
        ('"1.0.0"', '"1.0.1"', False),
        ("[project]", "# comment\n[project]", False),
    ],
)
def test_the_digest_follows_what_a_local_package_depends_on(
    make_target: MakeTarget, package: Path, old: str, new: str, changes: bool
) -> None:
    target = make_target(packages=["common"])
    before = lock.inputs_digest(target, package.parent)
    (package / "pyproject.toml").write_text(PROJECT.replace(old, new, 1))
    assert (lock.inputs_digest(target, package.parent) != before) == changes


def test_with_dynamic_dependencies_the_sources_decide(
    make_target: MakeTarget, package: Path
) -> None:
    text = '[project]\nname = "common"\ndynamic = ["version", "dependencies"]\n'
    (package / "pyproject.toml").write_text(text)
    target = make_target(packages=["common"])
    before = lock.inputs_digest(target, package.parent)
    (package / "setup.cfg").write_text("[options]\ninstall_requires = boto3\n")
    assert lock.inputs_digest(target, package.parent) != before


@pytest.mark.parametrize(
    "text", ["", "[project]\n", "not toml", "project = 5\n", "[project]\nname=1\n"]
)
def test_a_local_package_without_a_name_is_refused(
    make_target: MakeTarget, package: Path, text: str
) -> None:
    (package / "pyproject.toml").write_text(text)
    with pytest.raises(LockError, match="local package common cannot be read") as caught:
        lockinputs.collect(make_target(packages=["common"]), package.parent)
    assert caught.value.target == "demo-python3.13-arm64"


def test_extras_are_added_to_requirements(make_target: MakeTarget, package: Path) -> None:
    target = make_target(
        requirements=["Pillow[fpx]>=11; python_version > '3'", "numpy"],
        packages=["common"],
        extras={"pillow": ["xmp"], "vector-common": ["images"]},
    )
    inputs = lockinputs.collect(target, package.parent)
    assert inputs.requirements == ['Pillow[fpx,xmp]>=11; python_version > "3"', "numpy"]
    assert inputs.extras["vector-common"] == ["images"]
    assert list(inputs.packages) == ["vector-common"]


def test_extras_of_something_else_are_refused(make_target: MakeTarget, tmp_path: Path) -> None:
    with pytest.raises(LockError, match="`extras` names httpx, which is neither a requirement"):
        lockinputs.collect(make_target(extras={"httpx": ["http2"]}), tmp_path)


def written(target_lock: document.Lock, path: Path) -> None:
    document.write(target_lock, path, path.stem)


def test_check_names_what_changed(make_target: MakeTarget, tmp_path: Path) -> None:
    target = make_target()
    inputs = lockinputs.collect(target, tmp_path)
    good = document.Lock([], inputs.digest, inputs.parts)
    written(good, lock.lock_path(target, tmp_path))
    assert lock.check(target, tmp_path) == good
    changed = make_target(requirements=["pillow>=11"], constraints=["numpy<2"])
    with pytest.raises(LockError, match="constraints, requirements changed") as caught:
        lock.check(changed, tmp_path)
    assert caught.value.exit_code == 4
    assert "nox -s lock -- --layer demo" in (caught.value.hint or "")


def test_a_requirements_file_may_nest_and_continue(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "top.txt").write_text(
        "# top\n\npillow>=11  # why\nnumpy \\\n  >=2, \\\n  <3\n-r sub/more.txt\n"
        "url-like; python_version < '3'#not a comment\n"
    )
    (tmp_path / "sub" / "more.txt").write_text("requests\n--requirement=last.txt")
    (tmp_path / "sub" / "last.txt").write_bytes(b"\xef\xbb\xbfsix")
    with pytest.raises(LockError, match=r"top\.txt:8: .* is not a requirement"):
        requirements.read(tmp_path / "top.txt", tmp_path)
    text = (tmp_path / "top.txt").read_text().replace("'#not", "' #")
    (tmp_path / "top.txt").write_text(text)
    found = requirements.read(tmp_path / "top.txt", tmp_path)
    assert [line.split(";")[0].split(">")[0].strip() for line in found] == [
        "pillow", "numpy", "requests", "six", "url-like",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--index-url https://example.org/simple\n", "option --index-url is not used here"),
        ("pillow --hash=sha256:abc\n", "is not a requirement"),
        ("-e ./here\n", "option -e is not used here"),
        ("./here\n", "is not a requirement"),
        ("x @ https://example.org/x-1-py3-none-any.whl\n", "x is a direct reference"),
        ("-c constraints.txt\n", "option -c is not used here"),
        ("-r top.txt\n", r"top\.txt includes itself"),
        ("-r missing.txt\n", r"missing\.txt cannot be read"),
        ("-r mis\0sing.txt\n", "NUL"),
        ("pil\0low\n", "NUL|not a requirement"),
        ("-r ../outside.txt\n", r"outside\.txt lies outside"),
    ],
)
def test_what_a_requirements_file_may_not_hold(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "root").mkdir()
    path = tmp_path / "root" / "top.txt"
    path.write_text(text)
    with pytest.raises(LockError, match=message):
        requirements.read(path, tmp_path / "root")
