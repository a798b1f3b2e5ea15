"""The pages for SAM, CDK, Terraform, Serverless Framework and CloudFormation: their own commands,
in their order, on the files that they show, and what the frameworks make of the layer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from layersmith.base import uv

from tests.support import cli, clocks, pages

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.integration.ship.conftest import AwsServer

HOW_TO = pages.DOCS / "how-to"
EXAMPLES = pages.DOCS / "examples"
ZIP = "imaging-python3.13-arm64.zip"
POINTER = "/layers/imaging/python3.13/arm64/latest"
BUCKET = "artifacts-of-thumbnails"
REGION = "eu-west-1"
DISK, PUBLISHED = "Zips from disk", "Published versions"
"""The headings of each page."""

NEEDS_AWS = ("sam deploy", "cdk deploy", "osls deploy", "terraform")
"""How the commands begin that are not run: moto knows too little of them, or, of Terraform, which
has tests of its own, the providers come from a registry that a machine may not reach."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository as the pages have it, with its layer built."""
    root = tmp_path_factory.mktemp("repository")
    for name in ("src", "tests"):
        shutil.copytree(EXAMPLES / name, root / name)
    shutil.copy(EXAMPLES / "layers.yaml", root)
    for verb in ("lock", "build"):
        done = cli.layers(verb, cwd=root)
        assert done.returncode == 0, done.stderr
    return root


class Repository:
    """A copy of the repository with a framework's files, and a shell in it."""

    def __init__(self, root: Path, tools: Mapping[str, str]) -> None:
        self.root = root
        self.bin = root.parent / "bin"
        self.bin.mkdir()
        python = " ".join(cli.argv())
        for name, line in {"layersmith": python, **tools}.items():
            script = self.bin / name
            script.write_text(f'#!/bin/sh\nexec {line} "$@"\n')
            script.chmod(0o755)

    def run(self, line: str) -> None:
        home = self.root.parent / "home"
        home.mkdir(exist_ok=True)
        done = subprocess.run(
            ["bash", "-c", line.replace("BUCKET", BUCKET)],
            cwd=self.root,
            env={
                **os.environ,
                "PATH": os.pathsep.join([str(self.bin), os.environ["PATH"]]),
                "HOME": str(home),
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "SAM_CLI_TELEMETRY": "0",
                "CDK_DISABLE_CLI_TELEMETRY": "true",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=clocks.seconds(300),
        )
        assert done.returncode in self.allowed(line), f"{line}\n{done.stdout}\n{done.stderr}"

    @staticmethod
    def allowed(line: str) -> tuple[int, ...]:
        # Of cfn-lint, 4 are warnings: W3002, which the page names.
        return (0, 4) if line.startswith("cfn-lint") else (0,)

    def follow(self, page: str, section: str = "") -> None:
        """Run the commands of a page, or of one of its sections, in their order."""
        lines = pages.commands(HOW_TO / page, section)
        assert lines
        for line in lines:
            if not line.startswith(NEEDS_AWS):
                self.run(line)

    @property
    def zip(self) -> bytes:
        return (self.root / "dist" / "latest" / ZIP).read_bytes()

    def json(self, path: str) -> Any:
        return json.loads((self.root / path).read_text("utf-8"))


def repository(built: Path, tmp_path: Path, framework: str, **tools: str) -> Repository:
    root = tmp_path / "repository"
    shutil.copytree(built, root)
    shutil.copytree(EXAMPLES / framework, root, dirs_exist_ok=True)
    return Repository(root, tools)


def from_pypi(distribution: str, command: str) -> str:
    """Return the command line of a distribution's program, in an environment of its own."""
    cache = subprocess.run(
        [uv.program(), "cache", "dir"], capture_output=True, text=True, check=True
    )
    words = [uv.program(), "tool", "run", "--quiet", "--cache-dir", cache.stdout.strip()]
    return " ".join([*words, "--from", distribution, command])


def from_npm(folder: Path, package: str, command: str) -> str:
    """Return the command of a package of npm; skip the test where there is no npm."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip(f"{command} comes from npm: node and npm are not on PATH")
    subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, package],
        check=True,
        timeout=clocks.seconds(300),
    )
    return str(folder / "node_modules" / ".bin" / command)


def follows_the_pointer(template: Any) -> bool:
    """Whether a template takes an ARN that every deployment reads again."""
    return {"Type": "AWS::SSM::Parameter::Value<String>", "Default": POINTER} in [
        {key: one.get(key) for key in ("Type", "Default")}
        for one in template.get("Parameters", {}).values()
    ]


def of_type(template: Any, kind: str) -> Any:
    """Return the properties of the one resource of a type."""
    (found,) = [one for one in template["Resources"].values() if one["Type"] == kind]
    return found["Properties"]


def test_sam(built: Path, tmp_path: Path) -> None:
    shop = repository(built, tmp_path, "sam", sam=from_pypi("aws-sam-cli", "sam"))
    shop.follow("sam.md", DISK)
    folder = shop.root / ".aws-sam" / "build"
    layer = of_type(
        yaml.safe_load((folder / "template.yaml").read_text()), "AWS::Serverless::LayerVersion"
    )
    assert (folder / layer["ContentUri"]).read_bytes() == shop.zip
    shop.follow("sam.md", PUBLISHED)
    assert follows_the_pointer(yaml.safe_load((folder / "template.yaml").read_text()))


def test_cdk(built: Path, tmp_path: Path) -> None:
    cdk = from_npm(tmp_path / "npm", "aws-cdk", "cdk")
    venv = tmp_path / "venv"
    for words in (("venv", venv), ("pip", "install", "--python", venv, "aws-cdk-lib")):
        subprocess.run([uv.program(), *words, "--quiet"], check=True)
    shop = repository(built, tmp_path, "cdk", cdk=cdk, python3=str(venv / "bin" / "python"))
    shop.follow("cdk.md", DISK)
    layer = of_type(shop.json("cdk.out/Thumbnails.template.json"), "AWS::Lambda::LayerVersion")
    asset = layer["Content"]["S3Key"]
    assert (shop.root / "cdk.out" / f"asset.{asset}").read_bytes() == shop.zip
    shop.follow("cdk.md", PUBLISHED)
    assert follows_the_pointer(shop.json("cdk.out/Thumbnails.template.json"))


def test_serverless(built: Path, tmp_path: Path, aws: AwsServer) -> None:
    arn = point(aws, built)
    osls = from_npm(tmp_path / "npm", "osls", "osls")
    shop = repository(built, tmp_path, "serverless", osls=osls)
    state = ".serverless/cloudformation-template-update-stack.json"
    shop.follow("serverless.md", DISK)
    layer = of_type(shop.json(state), "AWS::Lambda::LayerVersion")
    assert layer["Content"]["S3Key"].endswith(f"/{ZIP}")
    assert of_type(shop.json(state), "AWS::Lambda::Function")["Layers"] == [
        {"Ref": "ImagingLambdaLayer"}
    ]
    shop.follow("serverless.md", PUBLISHED)
    assert of_type(shop.json(state), "AWS::Lambda::Function")["Layers"] == [arn]


def test_cloudformation(built: Path, tmp_path: Path, aws: AwsServer) -> None:
    point(aws, built)
    s3 = aws.client("s3", REGION)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    tools = {
        name: from_pypi(of, name) for name, of in (("aws", "awscli"), ("cfn-lint", "cfn-lint"))
    }
    shop = repository(built, tmp_path, "cloudformation", **tools)
    shop.follow("cloudformation.md", DISK)
    packaged = yaml.safe_load((shop.root / "packaged.yaml").read_text("utf-8"))
    content = of_type(packaged, "AWS::Lambda::LayerVersion")["Content"]
    stored = s3.get_object(Bucket=content["S3Bucket"], Key=content["S3Key"])
    assert stored["Body"].read() == shop.zip
    shop.follow("cloudformation.md", PUBLISHED)
    assert follows_the_pointer(yaml.safe_load((shop.root / "packaged.yaml").read_text("utf-8")))
    stacks = aws.client("cloudformation", REGION).describe_stacks()["Stacks"]
    assert {one["StackName"]: one["StackStatus"] for one in stacks} == {
        "thumbnails": "CREATE_COMPLETE",
        "thumbnails-published": "CREATE_COMPLETE",
    }


def point(aws: AwsServer, built: Path) -> str:
    """Publish a version of the layer and let the pointer lead to it; return its ARN."""
    content = (built / "dist" / "latest" / ZIP).read_bytes()
    made = aws.client("lambda", REGION).publish_layer_version(
        LayerName="imaging-python3-13-arm64", Content={"ZipFile": content}
    )
    arn = str(made["LayerVersionArn"])
    aws.client("ssm", REGION).put_parameter(Name=POINTER, Value=arn, Type="String")
    return arn


FOLDERS = (".", "published")


@pytest.mark.parametrize("folder", FOLDERS)
def test_terraform_syntax(folder: str, tmp_path: Path) -> None:
    """The files are HCL for python-hcl2; whether the provider takes them, `validate` tells."""
    line = from_pypi("python-hcl2", "hcl2tojson")
    path = EXAMPLES / "terraform" / folder / "main.tf"
    done = subprocess.run([*line.split(), path], capture_output=True, text=True, check=True)
    said = done.stdout[done.stdout.index("{") :]
    names = {key.strip('"') for one in json.loads(said)["resource"] for key in one}
    assert ("aws_lambda_layer_version" in names) == (folder == ".")
    assert f"dist/latest/{ZIP}" in said or POINTER in said


@pytest.mark.parametrize("folder", FOLDERS)
def test_terraform(folder: str, built: Path, tmp_path: Path) -> None:
    if shutil.which("terraform") is None:
        pytest.skip("`terraform fmt` and `validate` were not run: terraform is not on PATH")
    shop = repository(built, tmp_path, "terraform")
    shop.run("terraform fmt -check -recursive")
    chdir = "" if folder == "." else f" -chdir={folder}"
    assert f"terraform{chdir} validate" in pages.commands(HOW_TO / "terraform.md")
    try:
        shop.run(f"unset TF_CLI_CONFIG_FILE; terraform{chdir} init -backend=false -no-color")
    except AssertionError as failed:
        if "Failed to query available provider packages" not in str(failed):
            raise
        pytest.skip("`terraform validate` was not run: the registry of providers is out of reach")
    shop.run(f"terraform{chdir} validate")
