"""Stage files and the settings over them."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest
from layersmith.errors import ConfigError
from layersmith.stacks import stage as stages
from layersmith.stacks import templates
from vector_common.names import index_name

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


def test_the_databases_of_a_stage_become_parameters(tmp_path: Path) -> None:
    text = (
        "region: cn-north-1\nstacks: {vectors: {}}\n"
        "databases: {receipts: file, My_Shops: s3vectors, old: session, b: s3vectors}"
    )
    given = stages.load(write(tmp_path, text), "dev").shared_parameters("123456789012")
    assert given["VectorStores"] == "My_Shops=s3vectors,b=s3vectors,receipts=file"
    shops, other = given["VectorIndexes"].split(",")
    bucket = (
        "arn:aws-cn:s3vectors:cn-north-1:123456789012:bucket/layersmith-dev-vectors-123456789012"
    )
    assert shops.startswith(f"{bucket}/index/my-shops-")
    name = index_name("My_Shops", "Items.2026", 384, "cosine")
    assert fnmatch.fnmatchcase(f"{bucket}/index/{name}", shops)
    assert not fnmatch.fnmatchcase(f"{bucket}/index/{name}", other)
    assert not fnmatch.fnmatchcase(
        f"{bucket}/index/{index_name('my-shops', 'items', 1, 'l2')}", shops
    )
    pattern = templates.load(FOLDER)["vectors"].parameters["VectorIndexes"]["AllowedPattern"]
    assert re.fullmatch(pattern, given["VectorIndexes"])
    none = stages.load(write(tmp_path, "region: eu-west-1\nstacks: {vectors: {}}"), "dev")
    assert none.shared_parameters("1") == {"VectorStores": "", "VectorIndexes": ""}


def test_where_databases_lie_is_said_once(tmp_path: Path) -> None:
    text = "region: eu-west-1\nstacks: {chroma: {Storage: efs}, functions: {}, network: {}}"
    stage = stages.load(write(tmp_path, text), "dev", ["network.Egress=nat"])
    given = stage.shared_parameters("1")
    assert (given["Storage"], given["Egress"]) == ("efs", "nat")
    assert "TokenStore" not in given
    stages.select(stage, templates.load(FOLDER))


def test_what_several_templates_take_has_one_form_and_default() -> None:
    found = templates.load(FOLDER)
    for name, owner in stages.OWNERS.items():
        declared = [one.parameters[name] for one in found.values() if name in one.parameters]
        assert len(declared) > 1, name
        forms = [{k: v for k, v in one.items() if k != "Description"} for one in declared]
        assert all(one == forms[0] for one in forms), name
        assert name in found[owner].parameters


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("stacks: {chroma: {Storage: efs}, functions: {Storage: s3}}", "functions.Storage is s3"),
        ("stacks: {chroma: {}, functions: {Storage: efs}}", "chroma.Storage s3"),
        ("stacks: {network: {Egress: nat}, workflows: {Egress: endpoints}}", "network.Egress nat"),
        ("stacks: {network: {}, workflows: {ExistingVpcId: vpc-0a}}", "workflows.ExistingVpcId"),
        ("stacks: {chroma: {Storage: efs}}\ndatabases: {a: session, b: file}", "b is asked"),
    ],
)
def test_what_two_stacks_would_say_differently_is_refused(
    tmp_path: Path, more: str, problem: str
) -> None:
    stage = stages.load(write(tmp_path, f"region: eu-west-1\n{more}"), "dev")
    with pytest.raises(ConfigError, match=problem):
        stages.select(stage, templates.load(FOLDER))


@pytest.mark.parametrize("databases", ["{receipts: disk}", "{../x: file}", "[receipts]"])
def test_wrong_databases_are_refused(tmp_path: Path, databases: str) -> None:
    text = f"region: eu-west-1\nstacks: {{vectors: {{}}}}\ndatabases: {databases}"
    with pytest.raises(ConfigError, match="database"):
        stages.load(write(tmp_path, text), "dev")
