"""`init` in repositories as people have them: what it writes loads, locks and builds."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import console
from layersmith.base import runtimes
from layersmith.cli import main
from layersmith.config import loader

from tests.integration.lock.index import Handler, Index, serving
from tests.support.envelopes import data_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAM = {
    "template.yaml": """\
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev}
Globals:
  Function: {Runtime: python3.13, Architectures: [arm64], MemorySize: 256, Timeout: 20}
Resources:
  Orders:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub "orders-${Stage}"
      CodeUri: src/orders/
      Handler: app.lambda_handler
      Environment: {Variables: {TABLE: !Ref Table, ARN: !GetAtt Table.Arn}}
  Billing:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: src/billing, Handler: app.lambda_handler}
  Table: {Type: AWS::DynamoDB::Table}
""",
    "src/orders/app.py": "from shared import money\n\n\ndef lambda_handler(event, context): ...\n",
    "src/orders/requirements.txt": "alpha>=1\nboto3\n",
    "src/billing/app.py": "def lambda_handler(event, context): ...\n",
    "src/billing/requirements.txt": "boto3\n",
    "tests/requirements.txt": "pytest\n",
    "pyproject.toml": """\
[project]
name = "shop"
version = "0"
[tool.uv.workspace]
members = ["packages/*"]
""",
    "uv.lock": """\
version = 1
[[package]]
name = "alpha"
version = "1.0"
source = { registry = "https://index.invalid/simple" }
""",
    "packages/shared/pyproject.toml": """\
[project]
name = "shared"
version = "1.0"
dependencies = ["beta"]
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
""",
    "packages/shared/src/shared/money.py": "def cents(amount): return round(amount * 100)\n",
    "packages/shared/src/shared/__init__.py": "",
    "packages/shared/backend.py": """\
import zipfile

def build_wheel(to, config_settings=None, metadata_directory=None):
    about = "Metadata-Version: 2.1\\nName: shared\\nVersion: 1.0\\nRequires-Dist: beta\\n"
    kind = "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files = {"METADATA": about, "WHEEL": kind, "RECORD": ""}
    with zipfile.ZipFile(f"{to}/shared-1.0-py3-none-any.whl", "w") as wheel:
        for name in ("__init__.py", "money.py"):
            wheel.write(f"src/shared/{name}", f"shared/{name}")
        for name, text in files.items():
            wheel.writestr(f"shared-1.0.dist-info/{name}", text)
    return "shared-1.0-py3-none-any.whl"
""",
}

SERVERLESS = {
    "serverless.yml": """\
service: things
provider:
  name: aws
  runtime: ${self:custom.python}
  architecture: arm64
  stage: ${opt:stage, 'dev'}
custom: {python: python3.12}
functions:
  hello: {handler: src/hello.handler, timeout: 10}
  front: {handler: index.js, runtime: nodejs22.x}
""",
    "src/hello.py": "def handler(event, context): ...\n",
    "requirements.txt": "alpha==2.0\n-e ./packages/gone\n--index-url https://index.invalid/simple\n",
}

POETRY = {
    "pyproject.toml": """\
[tool.poetry]
name = "Old.Thing"
version = "0.1.0"
[tool.poetry.dependencies]
python = "^3.12"
alpha = "^1.0"
beta = {version = "*", markers = "sys_platform == 'linux'"}
[tool.poetry.group.dev.dependencies]
pytest = "*"
""",
    "poetry.lock": '[[package]]\nname = "alpha"\nversion = "1.0"\npython-versions = "*"\n',
}

EXPECTED: dict[str, tuple[dict[str, str], dict[str, Any], dict[str, Any]]] = {
    "sam": (
        SAM,
        {"orders": "alpha==1.0", "shared": "beta==1.0 shared"},
        {
            "orders-dev": {
                "layers": ["orders", "shared"],
                "code": "src/orders",
                "handler": "app.lambda_handler",
                "memory": 256,
                "timeout": 20,
            }
        },
    ),
    "serverless": (
        SERVERLESS,
        {"things": "alpha==2.0"},
        {"hello": {"layers": ["things"], "code": "src", "handler": "hello.handler", "timeout": 10}},
    ),
    "poetry": (POETRY, {"old-thing": "alpha==1.0 beta==1.0"}, {}),
    "empty": ({}, {"example": "requests==2.0"}, {}),
}
"""Files of a repository, then its layers with what they are locked to, then its functions."""


REST = (("requests", "2.0"), ("boto3", runtimes.get("python3.13").left_out([])["boto3"].version))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, and an index."""
    (tmp_path / "index").mkdir()
    index = Index(tmp_path / "index")
    for name, version in (("alpha", "1.0"), ("alpha", "2.0"), ("beta", "1.0"), *REST):
        index.wheel(name, version)
    folder = tmp_path / "things"
    folder.mkdir()
    monkeypatch.chdir(folder)
    handler = type("OneIndex", (Handler,), {})
    with serving(index, handler, tmp_path, monkeypatch):
        yield folder


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def locked(folder: Path, layer: str) -> str:
    """Return what a layer is locked to, without what it leaves to the runtime."""
    (path,) = (folder / "locks").glob(f"{layer}-python3.1?-arm64.txt")
    lines = path.read_text().splitlines()
    pins = [
        line.split()[0].removesuffix(" \\")
        for line in lines
        if line[:1].isalpha() and "boto3" not in line
    ]
    members = [line.split()[2] for line in lines if line.startswith("# package ")]
    return " ".join([*pins, *members])


@pytest.mark.parametrize("name", EXPECTED)
def test_what_it_writes_loads_and_locks(name: str, repository: Path) -> None:
    files, layers, functions = EXPECTED[name]
    fill(repository, files)
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    assert main(["init", "--yes"]) == 0
    config = loader.load(repository).config
    assert set(config.layers) == set(layers)
    assert {
        key: one.model_dump(by_alias=True, exclude_unset=True)
        for key, one in config.functions.items()
    } == functions
    assert all((repository / str(one.smoke)).is_file() for one in config.layers.values())
    assert main(["lock"]) == 0
    assert {layer: locked(repository, layer) for layer in layers} == layers
    assert {path: path.read_bytes() for path in before} == before


def test_what_it_writes_builds(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(repository, SAM)
    assert main(["init", "--yes"]) == 0
    said = capsys.readouterr().err
    ends = ["next:", "  layersmith lock", "  layersmith build", "  layersmith smoke"]
    assert said.splitlines()[-4:] == ends
    assert main(["lock"]) == 0
    assert main(["build"]) == 0
    with zipfile.ZipFile(repository / "dist/orders-0.1.0-python3.13-arm64.zip") as layer:
        assert b"'1.0'" in layer.read("python/alpha.py"), "the version of uv.lock, not the newest"
    with zipfile.ZipFile(repository / "dist/shared-0.1.0-python3.13-arm64.zip") as layer:
        assert {"python/shared/money.py", "python/beta.py"} <= set(layer.namelist())


def test_nothing_is_written_without_a_yes(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(repository, SERVERLESS)
    before = sorted(repository.rglob("*"))
    assert main(["init"]) == 0
    said = capsys.readouterr()
    assert "+   things:" in said.out
    assert "nothing was written; `layersmith init --yes` writes 3 files" in said.err
    assert main(["init", "--yes", "--dry-run"]) == 0
    monkeypatch.setattr(console, "can_ask", lambda: True)
    monkeypatch.setattr("builtins.input", lambda *_: "no")
    assert main(["init"]) == 0
    assert sorted(repository.rglob("*")) == before


def test_a_file_that_exists_is_named_and_left(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(repository, {"layers.yaml": "mine", **SERVERLESS})
    assert main(["init", "--yes"]) == 0
    assert "layers.yaml exists: left unchanged" in capsys.readouterr().out
    assert (repository / "layers.yaml").read_text() == "mine"
    assert not (repository / "tests").exists(), "smoke files of layers that are not in it"
    assert main(["init", "--yes", "--json"]) == 0
    data = data_of(capsys.readouterr().out)
    assert {one["path"]: one["state"] for one in data["files"]} == {
        "layers.yaml": "exists",
        ".github/workflows/layers.yml": "exists",
    }
    assert [one["name"] for one in data["functions"]] == ["hello"]
    assert {one["file"] for one in data["notices"]} == {"serverless.yml", "requirements.txt"}
