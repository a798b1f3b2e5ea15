"""How somebody gets an extra that is missing: from where the tool came, by what installed it."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import extras

if TYPE_CHECKING:
    from pathlib import Path

GIT = {"url": "https://example.org/layersmith", "vcs_info": {"vcs": "git", "commit_id": "a1"}}
TAG = {**GIT, "vcs_info": {"vcs": "git", "requested_revision": "v1", "commit_id": "a1"}}


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that is no checkout."""
    monkeypatch.setattr(extras, "CHECKOUT", tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return tmp_path


def came_from(said: dict[str, Any] | None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = folder / "layersmith-1.dist-info"
    info.mkdir()
    if said:
        (info / "direct_url.json").write_text(json.dumps(said))
    monkeypatch.setattr(metadata, "distribution", lambda _: metadata.PathDistribution(info))


@pytest.mark.parametrize(
    ("said", "origin"),
    [
        (None, ""),
        (GIT, " @ git+https://example.org/layersmith"),
        (TAG, " @ git+https://example.org/layersmith@v1"),
        ({"url": "file:///layersmith", "dir_info": {}}, " @ file:///layersmith"),
    ],
)
def test_it_is_installed_again_from_where_it_came(
    environment: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any] | None, origin: str
) -> None:
    came_from(said, environment, monkeypatch)
    assert extras.install_command("ship") == f'pip install "layersmith[ship]{origin}"'
    assert extras.install_command("") == f'pip install "layersmith{origin}"'


def test_a_tool_of_uv_keeps_the_extras_that_it_has(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    came_from(GIT, environment, monkeypatch)
    receipt = '[tool]\nrequirements = [{ name = "layersmith", extras = ["prove", "report"] }]\n'
    (environment / "uv-receipt.toml").write_text(receipt)
    origin = "git+https://example.org/layersmith"
    command = f'uv tool install "layersmith[prove,report,ship] @ {origin}"'
    assert extras.install_command("ship") == command


def test_files_without_metadata_come_from_an_index(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "distribution", absent)
    assert extras.install_command("prove") == 'pip install "layersmith[prove]"'
