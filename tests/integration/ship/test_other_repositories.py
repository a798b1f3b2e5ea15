"""Repositories of others that use the action and the reusable workflows, as docs/examples show."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support import cli, clocks
from tests.support.repositories import git
from tests.support.workflows import PROGRAMS, Forge, JobRun

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer
    from tests.integration.ship.hub import Hub

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples" / "github"
PULL = {"number": 7, "head": {"repo": {"full_name": "owner/name"}}}


class OtherRepository:
    """A repository that has a layers.yaml and workflows, and nothing of the tool."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.root = folder / "clone"
        variables = {"AWS_PUBLISH_ROLE": "arn:aws:iam::123456789012:role/PublishRole"}
        self.forge = Forge(folder / "origin.git", folder, variables, environ)
        self.workflows = self.root / ".github" / "workflows"
        self.workflows.mkdir(parents=True)
        for path in EXAMPLES.glob("*.yml"):
            text = path.read_text("utf-8").replace("OWNER/", "owner/")
            (self.workflows / path.name).write_text(text, encoding="utf-8")
        layer = {
            "description": "Shared code",
            "version": "1.0.0",
            "runtimes": ["python3.13"],
            "architectures": ["arm64"],
            "regions": ["eu-west-1", "us-east-1"],
            "budgets": {"zipped": "10kB"},
            "license": "Apache-2.0",
            "files": {"python/alpha.py": "alpha.py"},
        }
        other = {**layer, "description": "More of it", "files": {"python/beta.py": "alpha.py"}}
        self.layers = {"shared": layer, "second": other}
        self.commit("VALUE = 1\n")
        git(folder, "clone", "--quiet", "--bare", str(self.root), str(self.forge.origin))
        git(self.root, "remote", "add", "origin", str(self.forge.origin))

    def commit(self, code: str) -> None:
        """Commit a module, with layers.yaml and its locks."""
        (self.root / "alpha.py").write_text(code, encoding="utf-8")
        text = yaml.safe_dump({"layers": self.layers}, sort_keys=False)
        (self.root / "layers.yaml").write_text(text, encoding="utf-8")
        done = cli.layers("lock", cwd=self.root)
        assert done.returncode == 0, done.stderr
        git(self.root, "init", "--quiet", "--initial-branch", "main")
        git(self.root, "add", ".")
        git(self.root, "commit", "--quiet", "--message", "Change", "--allow-empty")

    def run(self, name: str, event: str, ref: str, **payload: object) -> dict[str, JobRun]:
        """Push HEAD as a ref and run a workflow for it, of which no job may fail."""
        git(self.root, "push", "--quiet", "--force", "origin", f"HEAD:{ref}")
        self.forge.event = payload
        jobs = self.forge.run(self.workflows / name, event, ref)
        assert {name: job.failed for name, job in jobs.items() if job.failed} == {}
        return jobs


@pytest.fixture
def other(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OtherRepository:
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path / "cache"))
    return OtherRepository(tmp_path, {"GITHUB_API_URL": hub.url})


@pytest.mark.slow
def test_a_pull_request_gets_one_comment_that_says_what_changed(
    hub: Hub, other: OtherRepository
) -> None:
    quoted = {"id": 1, "issue": "7", "body": "<!-- layersmith -->", "user": {"login": "ann"}}
    hub.comments.append({**quoted})
    other.run("layers.yml", "push", "refs/heads/main")
    assert hub.comments == [quoted]

    other.commit("VALUE = 2\n" * 1000)
    other.run("layers.yml", "pull_request", "refs/pull/7/merge", pull_request=PULL)

    (_, comment) = hub.comments
    assert comment["body"].startswith("<!-- layersmith -->\n### Lambda layers")
    first, second = [line for line in comment["body"].splitlines() if "| not started |" in line]
    assert first.startswith("| `shared-python3.13-arm64` |")
    assert " % of 10.0 kB |" in first
    assert re.search(r"\+\d[\d.]* kB zipped \|$", first)
    assert second.startswith("| `second-python3.13-arm64` |")
    assert "https://github.example/owner/name/actions/runs/1" in comment["body"]

    del other.layers["second"]
    other.commit("VALUE = 1\n")
    jobs = other.run("layers.yml", "pull_request", "refs/pull/7/merge", pull_request=PULL)

    assert len(hub.comments) == 2
    assert "the same bytes" in hub.comments[1]["body"]
    assert "not in this run: second-python3.13-arm64." in hub.comments[1]["body"]
    assert "the same bytes" in jobs["layers/summary-0"].summary

    fork = {"number": 8, "head": {"repo": {"full_name": "someone/name"}}}
    jobs = other.run("layers.yml", "pull_request", "refs/pull/8/merge", pull_request=fork)

    assert set(jobs) == {"layers/plan-0", "layers/target-0", "layers/summary-0"}

    (other.root / "layers.yaml").write_text("layers: none\n", encoding="utf-8")
    git(other.root, "commit", "--quiet", "--all", "--message", "Break it")
    git(other.root, "push", "--quiet", "origin", "HEAD:refs/pull/9/merge")
    other.forge.event = {"pull_request": PULL}
    path = other.workflows / "layers.yml"
    jobs = other.forge.run(path, "pull_request", "refs/pull/9/merge")

    assert {name for name, job in jobs.items() if job.failed} == {"layers/plan-0"}
    assert "No layer was built; the run has the reason" in hub.comments[1]["body"]
    assert len(hub.comments) == 2


@pytest.mark.needs("jq")
@pytest.mark.parametrize("row", ["| e |\n", "| é ✓ |\n"], ids=["ascii", "utf-8"])
def test_a_summary_too_long_for_a_comment_is_cut_between_lines_and_says_so(
    hub: Hub, tmp_path: Path, row: str
) -> None:
    # More than the 65,536 characters of a comment, and than a pipe holds.
    forge = Forge(tmp_path / "origin.git", tmp_path, environ={"GITHUB_API_URL": hub.url})
    forge.event = {"pull_request": PULL}
    text = tmp_path / "summary.md"
    text.write_text(row * 40_000, encoding="utf-8")
    summary = {
        "runs-on": "ubuntu-24.04",
        "steps": [
            {"run": f"cp {text} summary.md"},
            {
                "uses": "actions/upload-artifact@v7",
                "with": {"name": "summary-layers-", "path": "summary.md"},
            },
        ],
    }
    comment = {"needs": "summary", "steps": [{"uses": "$/.github/actions/comment"}]}
    workflow = tmp_path / "workflow.yml"
    document = {"permissions": {}, "jobs": {"summary": summary, "comment": comment}}
    workflow.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    jobs = forge.run(workflow, "pull_request", "refs/pull/7/merge")

    assert {name: job.failed for name, job in jobs.items() if job.failed} == {}
    (made,) = hub.comments
    marker, *rows, _, said = made["body"].splitlines()
    assert len(made["body"]) <= 65_536
    assert marker == "<!-- layersmith -->"
    assert len(rows) > 1000 and set(rows) == {row.rstrip()}
    assert said == (
        "Too long for a comment; the rest is in the summary of the run: "
        "https://github.example/owner/name/actions/runs/1"
    )


@pytest.mark.slow
def test_a_tag_of_another_repository_publishes_its_layer(
    aws: AwsServer, other: OtherRepository
) -> None:
    other.forge.environ |= {"AWS_ENDPOINT_URL": aws.url, "AWS_EC2_METADATA_DISABLED": "true"}

    jobs = other.run("release.yml", "push", "refs/tags/shared-v1.0.0")

    assert set(jobs) == {
        *("layers/layers/plan-0", "layers/layers/target-0", "layers/layers/again-0"),
        *("layers/layers/compare-0", "layers/layers/summary-0", "layers/attest-0"),
        "publish/publish-0",
    }
    for region in ("eu-west-1", "us-east-1"):
        (layer,) = aws.client("lambda", region).list_layers()["Layers"]
        assert layer["LayerName"] == "shared-python3-13-arm64"
    assert "| shared-python3.13-arm64 | 1.0.0 | 2 | 2 | 0 |" in jobs["publish/publish-0"].summary

    other.forge.variables.clear()
    jobs = other.run("release.yml", "push", "refs/tags/shared-v1.0.0")
    assert "publish/publish-0" not in jobs


@pytest.mark.slow
def test_the_action_installs_by_the_lock_and_hands_its_zips_on(
    other: OtherRepository, tmp_path: Path
) -> None:
    """With the real uv: nothing stands in for what the action installs."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gh").symlink_to(PROGRAMS / "gh")
    other.forge.programs = (programs,)
    path = other.workflows / "deploy.yml"
    document = yaml.safe_load(path.read_text("utf-8"))
    document["jobs"]["deploy"]["steps"][1]["with"] |= {"smoke": "host", "layers": "shared"}
    document["jobs"]["deploy"]["steps"].append({"run": "layersmith plan shared"})
    path.write_text(yaml.safe_dump(document), encoding="utf-8")

    job = other.run("deploy.yml", "push", "refs/heads/main")["deploy-0"]

    (said,) = [line for line in job.said.splitlines() if line.startswith("[")]
    (zipped,) = json.loads(said)
    assert "python/alpha.py" in zipfile.ZipFile(zipped).namelist()
    assert "✅ proven by its host twin" in job.summary
    assert job.said.splitlines()[-1] == "shared-python3.13-arm64"
    assert (other.forge.folder / "artifacts" / "layers" / Path(zipped).name).is_file()


@pytest.mark.slow
def test_the_hooks_of_pre_commit(tmp_path: Path, other: OtherRepository) -> None:
    tool = tmp_path / "tool"
    listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        if not name.startswith("tests/") and (ROOT / name).is_file():
            (tool / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tool / name)
    git(tool, "init", "--quiet")
    git(tool, "add", ".")
    git(tool, "commit", "--quiet", "--message", "Tool")

    text = (EXAMPLES.parent / "pre-commit-config.yaml").read_text("utf-8")
    text = text.replace("https://github.com/OWNER/layersmith", str(tool))
    text = text.replace("v1.0.0", git(tool, "rev-parse", "HEAD"))
    (other.root / ".pre-commit-config.yaml").write_text(text, encoding="utf-8")

    def run() -> str:
        git(other.root, "add", ".")
        done = subprocess.run(
            ["uv", "tool", "run", "pre-commit", "run", "--all-files"],
            cwd=other.root,
            env={**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "hooks")},
            capture_output=True,
            text=True,
            check=False,
            timeout=clocks.seconds(300),
        )
        return f"{done.returncode} {done.stdout}{done.stderr}"

    assert run().startswith("0 ")
    other.layers["shared"]["requirements"] = ["tomli==2.0.1"]
    text = yaml.safe_dump({"layers": {**other.layers, "third": {"colour": "red"}}})
    (other.root / "layers.yaml").write_text(text, encoding="utf-8")
    said = run()
    assert said.startswith("1 ")
    assert "layers.third.colour: unknown key" in said
    del other.layers["second"]
    text = yaml.safe_dump({"layers": other.layers})
    (other.root / "layers.yaml").write_text(text, encoding="utf-8")
    said = run()
    assert "layers.yaml is valid" in said
    assert "Passed" in said
    assert "shared-python3.13-arm64" in said.partition("Failed")[2]
