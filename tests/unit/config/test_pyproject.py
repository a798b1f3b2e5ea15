"""Requirements from a pyproject.toml: what they are, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.config import pyproject
from layersmith.errors import LockError

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Problems

PROJECT = """\
[project]
name = "Orders"
requires-python = ">=3.12"
dependencies = ["pillow>=11; sys_platform == 'linux'"]

[project.optional-dependencies]
all = ["orders[xml_files]", "numpy"]
xml-files = ["lxml"]

[dependency-groups]
base = ["attrs"]
lambda = [{ include-group = "base" }, "boto3[crt]"]
round = [{ include-group = "about" }]
about = [{ include-group = "round" }]
odd = ["attrs",
  "no thing"]
"""


def read(
    tmp_path: Path, text: str, groups: tuple[str, ...] = (), extras: tuple[str, ...] = ()
) -> list[str]:
    path = tmp_path / "orders" / "pyproject.toml"
    path.parent.mkdir()
    path.write_text(text)
    return pyproject.read(path, tmp_path, groups, extras, "3.13.0")


def test_groups_and_extras_are_added_to_the_dependencies(tmp_path: Path) -> None:
    found = read(tmp_path, PROJECT, ("lambda",), ("all",))
    first = "pillow>=11; sys_platform == 'linux'"
    assert found == [first, "lxml", "numpy", "attrs", "boto3[crt]"]


def test_without_a_project_groups_alone_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, "[dependency-groups]\na = ['attrs']\n", ("a",)) == ["attrs"]


@pytest.mark.parametrize(
    ("text", "groups", "message"),
    [
        ("[project\n", (), "orders/pyproject.toml: it cannot be read: .*line 1"),
        ("[tool.uv]\n", (), r"orders/pyproject.toml: it has no \[project\] table"),
        (PROJECT, ("round",), "pyproject.toml:13: Cyclic dependency group include .* round"),
        (PROJECT, ("odd",), "pyproject.toml:16: 'no thing' is not"),
        (PROJECT.replace("pillow>=11", "pillow=>11"), (), "pyproject.toml:4: .*not a requirement"),
        (PROJECT.replace("3.12", "3.14"), (), "toml:3: requires-python >=3.14 excludes Python"),
        (
            "[project]\nname = 'a'\nversion = '1'\ndynamic = ['dependencies']\n",
            (),
            "pyproject.toml:4: the dependencies of the project are dynamic",
        ),
        (
            "[project]\nname = 'a'\n[tool.poetry.dependencies]\nattrs = '*'\n",
            (),
            r"pyproject.toml:3: \[project\] has no dependencies",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(
    tmp_path: Path, text: str, groups: tuple[str, ...], message: str
) -> None:
    with pytest.raises(LockError, match=message) as caught:
        read(tmp_path, text, groups)
    assert caught.value.place[0] == "orders/pyproject.toml"


def test_names_that_it_lacks_have_their_line_in_layers_yaml(
    tmp_path: Path, problems: Problems
) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "more.txt").write_text("attrs\n")
    found = problems(
        "defaults: {runtimes: [python3.13]}\nlayers:\n  a:\n    description: d\n"
        "    version: 1.0.0\n    requirements:\n      file: pyproject.toml\n"
        "      groups: [lamda]\n      extras: [none]\n    constraints: pyproject.toml\n"
        "  b:\n    description: d\n    version: 1.0.0\n"
        "    requirements: {file: more.txt, groups: [x]}\n"
    )
    assert [one.partition(": ")[0] for one in found] == [
        *("layers.yaml:8:16", "layers.yaml:9:16", "layers.yaml:10:18", "layers.yaml:14:36")
    ]
    assert "no dependency group lamda; did you mean lambda?" in found[0]
    assert "no extra none; known: all, xml-files" in found[1]
    assert "name it under `requirements`, its lock here" in found[2]
    assert "only a pyproject.toml has groups" in found[3]
