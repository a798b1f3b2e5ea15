"""What the session nightly runs, step by step, from a GitHub release to the issue about drift."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.ship.releases import LayerSpec

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer, Project
    from tests.integration.ship.hub import Hub

ROOT = Path(__file__).parents[3]
TWO = ("eu-west-1", "us-east-1")


class Session:
    """Stands for nox: runs the verbs here, and keeps their exit codes."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.posargs = ["--partition", "aws"]
        self.codes: dict[str, int] = {}

    def install(self, *_: str) -> None:
        return

    def log(self, text: str) -> None:
        raise AssertionError(text)

    def run(self, *words: str) -> None:
        result = self.project.run(*words[2:])
        self.codes[" ".join(words[2:4]) if words[2] == "publish" else words[2]] = result.code
        if result.code:
            raise CommandFailed(result.err)

    def error(self, text: str) -> None:
        raise AssertionError(text)


class CommandFailed(Exception):
    """Stands for nox.command.CommandFailed."""


def nightly(session: Session) -> None:
    """Run the function of that name in noxfile.py."""
    source = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    parts = re.findall(
        r"^def (?:extras|layers|nightly)\(.*?(?=^\S)", source, re.DOTALL | re.MULTILINE
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    names: dict[str, Any] = {"Path": Path, "PROJECT": project, "EXTRAS": extras}
    exec("from __future__ import annotations\nimport os\n" + "".join(parts), names)
    names["nox"] = type(
        "Nox", (), {"command": type("Command", (), {"CommandFailed": CommandFailed})}
    )
    names["nightly"](session)


@pytest.mark.slow
def test_a_night(
    aws: AwsServer, project: Project, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(LayerSpec(regions=(*TWO, "cn-north-1")))
    monkeypatch.chdir(project.root)
    hub.assets = {path.name: path.read_bytes() for path in Path("dist").iterdir()}
    shutil.rmtree("dist")

    first = Session(project)
    nightly(first)

    assert first.codes == {"publish fetch": 0, "publish apply": 0, "verify": 0, "arn": 0, "cost": 0}
    assert hub.issues == []
    left = {path.name for path in Path("dist").iterdir()} - set(hub.assets)
    assert left == {"layers-index.json", "drift.md", "arns.html", "arns.csv", "cost-history.jsonl"}

    aws.client("lambda", TWO[1]).delete_layer_version(
        LayerName="alpha-python3-13-arm64", VersionNumber=1
    )
    aws.faults({"kind": "error", "region": TWO[1], "action": "Publish.*", "status": 400})
    second = Session(project)
    with pytest.raises(AssertionError, match="not in order: publish, verify"):
        nightly(second)
    assert [(issue["state"], issue["labels"]) for issue in hub.issues] == [
        ("open", ["layer-drift-aws"])
    ]
    assert "us-east-1" in hub.issues[0]["body"]

    aws.faults()
    nightly(Session(project))
    assert hub.issues[0]["state"] == "closed"
