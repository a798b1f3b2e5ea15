"""What is pasted into templates is read as what it is: YAML, Python, HCL, a variable, JSON."""

from __future__ import annotations

import ast
import json
import re
import shlex
from typing import Any

import pytest
import yaml
from layersmith.ship import arns

from tests.unit.ship.makers import arn

PLACES = [
    ("chromadb-vector", "python3.13", "arm64"),
    ("lambda", "python3.12", "x86_64"),
    ("a-1b", "python3.14", "arm64"),
]
SOURCES: tuple[arns.Source, ...] = ("parameter", "arn")


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's !Ref."""


Loader.add_constructor("!Ref", lambda _, node: {"Ref": node.value})


def read(text: str) -> Any:
    return yaml.load(text, Loader)


def template(text: str, uses: str) -> None:
    """Judge a template of CloudFormation or SAM by what it adds to a function."""
    found = read(text)
    assert "{{resolve" not in json.dumps(found)
    ((name, parameter),) = found.get("Parameters", {None: None}).items()
    (layers,) = found["Resources"]["MyFunction"]["Properties"]["Layers"]
    if name is None:
        assert layers == uses
    else:
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]*", name)
        assert parameter == {"Type": "AWS::SSM::Parameter::Value<String>", "Default": uses}
        assert layers == {"Ref": name}


def python(text: str, uses: str) -> None:
    """Judge code of the CDK: it names a layer by what it was given."""
    *_, assigned = ast.parse(text).body
    assert isinstance(assigned, ast.Assign)
    values = [one.value for one in ast.walk(assigned) if isinstance(one, ast.Constant)]
    calls = [one.attr for one in ast.walk(assigned) if isinstance(one, ast.Attribute)]
    assert uses in values
    assert ("value_for_string_parameter" in calls) is uses.startswith("/")


def hcl(text: str, uses: str) -> None:
    """Judge a file of Terraform: comments, a data source with its name, or one attribute."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#")).strip()
    if uses.startswith("/"):
        found = re.fullmatch(
            r'data "aws_ssm_parameter" "([a-z]\w*)" \{\n  name = "(\S+)"\n\}', code
        )
        assert found
        assert f"nonsensitive(data.aws_ssm_parameter.{found[1]}.value)" in text
        assert found[2] == uses
    else:
        assert code == f'layers = ["{uses}"]'


def serverless(text: str, uses: str) -> None:
    """Judge a function of serverless.yml."""
    (layer,) = read(text)["functions"]["my-function"]["layers"]
    assert layer == (f"${{ssm:{uses}}}" if uses.startswith("/") else uses)


def environment(text: str, uses: str) -> None:
    """Judge a line of an .env file."""
    (word,) = shlex.split(text)
    name, _, value = word.partition("=")
    assert re.fullmatch(r"[A-Z][A-Z0-9_]*", name)
    assert value == uses


def record(text: str, uses: str) -> None:
    assert uses in json.loads(text).values()


JUDGES = {
    "sam": template,
    "cdk": python,
    "terraform": hcl,
    "serverless": serverless,
    "cloudformation": template,
    "env": environment,
    "json": record,
}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[0])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", arns.snippets())
def test_every_snippet_is_read_as_what_it_is(
    kind: str, source: arns.Source, place: tuple[str, str, str]
) -> None:
    values = arns.snippet_words(place, "latest", "eu-west-1", arn(3))
    text = arns.fill_snippet(kind, source, values)
    assert "@{" not in text
    assert text == text.lstrip()
    layer, runtime, architecture = place
    uses = f"/layers/{layer}/{runtime}/{architecture}/latest" if source == "parameter" else arn(3)
    JUDGES[kind](text, uses)
