"""Stage files and the settings over them."""

from __future__ import annotations

from pathlib import Path

import pytest
from layersmith.errors import ConfigError
from layersmith.stacks import stage as stages
from layersmith.stacks import templates

FOLDER = Path(__file__).parents[3] / "infra-templates"


def write(folder: Path, text: str) -> Path:
    (folder / "dev.yaml").write_text(text, "utf-8")
    return folder


def test_settings_go_over_the_file(tmp_path: Path) -> None:
    folder = write(tmp_path, "region: eu-west-1\nstacks: {chroma: {Cpu: '256'}}")
    stage = stages.load(folder, "dev", ["chroma.Cpu=512", "chroma.ImageUri=a=b@c"])
    assert stage.parameters("chroma") == {"Cpu": "512", "ImageUri": "a=b@c"}
    assert stage.stack_name("chroma") == "layersmith-dev-chroma"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("region: [", "not YAML"),
        ("region: eu-west-1", "stacks"),
        ("region: nowhere\nstacks: {chroma: {}}", "region"),
        ("region: eu-west-1\nstacks: {chroma: {}}\nextra: 1", "extra"),
        ("region: eu-west-1\nproject: Upper\nstacks: {chroma: {}}", "project"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        stages.load(write(tmp_path, text), "dev")


@pytest.mark.parametrize("setting", ["chroma", "chroma.Cpu", "other.Cpu=1", "chroma=1"])
def test_a_wrong_setting_is_refused(tmp_path: Path, setting: str) -> None:
    folder = write(tmp_path, "region: eu-west-1\nstacks: {chroma: {}}")
    with pytest.raises(ConfigError):
        stages.load(folder, "dev", [setting])


def test_an_unknown_stage_lists_the_known_ones(tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(ConfigError, match=r"known: dev"):
        stages.load(tmp_path, "prod")
    with pytest.raises(ConfigError, match="cannot name a stage"):
        stages.load(tmp_path, "../prod")


def test_unknown_stacks_and_parameters_come_in_one_message(tmp_path: Path) -> None:
    text = "region: eu-west-1\nstacks: {nothing: {}, chroma: {Cqu: '1', Stage: x}}"
    stage = stages.load(write(tmp_path, text), "dev")
    with pytest.raises(ConfigError) as caught:
        stages.select(stage, templates.load(FOLDER))
    for word in ("'nothing'", "'Cqu'", "'Stage'"):
        assert word in str(caught.value)
