"""A new user with an AWS SAM application, by the commands of README.md and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from layersmith.base import uv

from tests.support import clocks, pages

README = pages.ROOT / "README.md"
RUNTIME = "python3.13"
ORIGIN = "https://github.com/OWNER/layersmith"
TEMPLATE = """\
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.13, Architectures: [arm64], Timeout: 20}
Resources:
  Orders:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src/orders/
      Handler: app.lambda_handler
"""
FUNCTION = """\
from PIL import Image


def lambda_handler(event, context):
    return {"size": Image.new("RGB", (event["width"], 3)).size}
"""
MOST_COMMANDS = 6
NETWORK = re.compile(r"(SSL_CERT_|UV_.*INDEX|PIP_|(https?|no|all)_proxy$)", re.IGNORECASE)
"""Variables by which a machine says how the index is reached."""

PROGRAMS = ("bash", "basename", "dirname", "env", "git", "realpath", "rm", "sed", "uname")
"""What git needs of a machine; Python is there, too, because not every machine may download it."""


def python() -> Path:
    """Return the interpreter of the function's runtime, which uv would download elsewhere."""
    found = uv.interpreter(13)
    if found is None:
        pytest.skip(f"the machine has no {RUNTIME}, and uv found none to download")
    return found


class User:
    """An empty home, a PATH with uv and little else, and a repository."""

    def __init__(self, home: Path) -> None:
        self.home, self.repository = home, home / "shop"
        self.typed: list[str] = []
        programs = home / "bin"
        programs.mkdir(parents=True)
        for name in PROGRAMS:
            (programs / name).symlink_to(shutil.which(name) or "/bin/false")
        (programs / "uv").symlink_to(uv.program())
        (programs / "uvx").symlink_to(Path(uv.program()).with_name("uvx"))
        (programs / "python3").symlink_to(sys._base_executable)  # type: ignore[attr-defined]
        (programs / RUNTIME).symlink_to(python())
        kept = {name: value for name, value in os.environ.items() if NETWORK.match(name)}
        self.variables = kept | {
            "HOME": str(home),
            "PATH": f"{programs}:{home}/.local/bin",
            "UV_PYTHON_DOWNLOADS": "never",
            "SAM_CLI_TELEMETRY": "0",
            # The repository's own address leads to this checkout.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{pages.ROOT.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": ORIGIN,
        }
        self.run(f"git init -q {self.repository}", home)
        orders = self.repository / "src" / "orders"
        orders.mkdir(parents=True)
        (self.repository / "template.yaml").write_text(TEMPLATE)
        (orders / "app.py").write_text(FUNCTION)
        (orders / "requirements.txt").write_text("pillow\n")

    def run(self, line: str, folder: Path) -> str:
        done = subprocess.run(
            ["bash", "-euc", line],
            cwd=folder,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=clocks.seconds(600),
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def type(self, line: str) -> str:
        self.typed.append(line)
        return self.run(line, self.repository)

    def edit_template(self, said: str) -> None:
        """Do by hand what README.md says about template.yaml."""
        path = self.repository / "template.yaml"
        layer, metadata = re.findall(r"`((?:Layers|Metadata): [^`]*)`", said)
        (resource,) = re.findall(r"^```yaml\n(.*?)^```$", said, re.DOTALL | re.MULTILINE)
        text = path.read_text().replace("    Properties:\n", f"    {metadata}\n    Properties:\n")
        path.write_text(f"{text}      {layer}\n{resource}")


@pytest.mark.slow
def test_from_git_init_to_a_proven_layer_in_sam_build(tmp_path: Path) -> None:
    user = User(tmp_path / "home")
    install, commands = (
        pages.commands(README, section) for section in ("Install", "In your own repository")
    )
    for line in (*install, *commands[:-1]):
        said = user.type(line)
    assert "orders-python3.13-arm64: proven by its host twin" in said
    user.edit_template(
        README.read_text("utf-8").partition("## In your own repository")[2].partition("\n## ")[0]
    )
    user.type(commands[-1])

    assert len(user.typed) <= MOST_COMMANDS
    built = user.repository / ".aws-sam" / "build"
    packed = yaml.load((built / "template.yaml").read_text(), Loader=yaml.BaseLoader)
    used = packed["Resources"]["OrdersLayer"]["Properties"]["ContentUri"]
    with zipfile.ZipFile(built / used) as layer:
        assert any(name.startswith("python/PIL/_imaging.cpython-313") for name in layer.namelist())
    assert not list(built.rglob("PIL"))
