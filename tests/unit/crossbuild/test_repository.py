from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.crossbuild import repository

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "text", "source", "variable"),
    [
        (
            "pyproject.toml",
            'requires = ["setuptools_scm[toml]>=8"]',
            "setuptools-scm",
            "FOR_MY_PKG",
        ),
        ("pyproject.toml", 'requires = ["hatchling", "Hatch-VCS"]', "hatch-vcs", "FOR_MY_PKG"),
        ("pyproject.toml", 'requires = ["pbr>=6"]', "pbr", "PBR_VERSION"),
        (
            "pyproject.toml",
            'requires = ["pdm-backend"]\n[tool.pdm.version]\nsource = "scm"',
            "pdm-backend",
            "PDM_BUILD_SCM_VERSION",
        ),
        ("setup.py", "setup(use_scm_version=True)", "setuptools-scm", "FOR_MY_PKG"),
        ("setup.cfg", "[versioneer]", "versioneer", ""),
    ],
)
def test_which_tool_takes_the_version_from_git(
    tmp_path: Path, name: str, text: str, source: str, variable: str
) -> None:
    (tmp_path / "pyproject.toml").write_text("[build-system]\n")
    with (tmp_path / name).open("a") as stream:
        stream.write(text)
    assert repository.source_of_version(tmp_path) == source
    advice = repository.advice(tmp_path, "my.pkg")
    assert advice is not None
    assert variable in advice
    assert ("environment" in advice) == bool(variable)


@pytest.mark.parametrize(
    "text",
    [
        '[build-system]\nrequires = ["pdm-backend"]',
        '[build-system]\nrequires = ["setuptools"]\n[project]\ndynamic = ["version"]',
        "not toml",
    ],
)
def test_git_has_no_say_elsewhere(tmp_path: Path, text: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "pyproject.toml").write_text(text)
    assert repository.source_of_version(tmp_path) is None
    assert repository.state(tmp_path) is None
    assert repository.advice(tmp_path, "my.pkg") is None
