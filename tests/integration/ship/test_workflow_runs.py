"""Every job of the workflows, step by step in clean clones, with AWS and GitHub served here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support import cli, workflows
from tests.support.repositories import git
from tests.support.workflows import Forge

if TYPE_CHECKING:
    from tests.integration.ship.conftest import AwsServer
    from tests.integration.ship.hub import Hub

ROOT = Path(__file__).parents[3]
WORKFLOWS = ROOT / ".github" / "workflows"
LAYER = "chromadb-vector"
"""The name of a layer here, because sessions name it; its content is one module."""
TWO = ["eu-west-1", "us-east-1"]
LEFT_OUT = ("tests/", "locks/chromadb-", "locks/imaging-", "locks/vector-")


class Checkout:
    """A developer's clone of a repository on GitHub, and that repository."""

    def __init__(self, folder: Path, url: str, hub: str) -> None:
        self.root = folder / "clone"
        self.forge = Forge(
            origin=folder / "origin.git",
            folder=folder,
            variables={"AWS_PUBLISH_ROLE": "arn:aws:iam::123456789012:role/PublishRole"},
            environ={
                "AWS_ENDPOINT_URL": url,
                "AWS_EC2_METADATA_DISABLED": "true",
                "GITHUB_API_URL": hub,
            },
        )
        listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
        for name in filter(None, listed.split("\0")):
            if not name.startswith(LEFT_OUT) and (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.root / name)
        shared = {"runtimes": ["python3.13"], "regions": TWO, "license": "Apache-2.0"}
        document = {
            "defaults": {**shared, "architectures": ["arm64"]},
            "layers": {
                LAYER: {
                    "description": "One module",
                    "version": "1.0.0",
                    "architectures": ["arm64", "x86_64"],
                    "files": {"python/alpha.py": "alpha.py"},
                },
                "vector-common": {
                    "description": "Another",
                    "version": "1.0.0",
                    "files": {"python/beta.py": "alpha.py"},
                },
            },
        }
        (self.root / "alpha.py").write_text("VALUE = 1\n", encoding="utf-8")
        (self.root / "layers.yaml").write_text(
            yaml.safe_dump(document, sort_keys=False), encoding="utf-8"
        )
        self.layers("lock")
        git(self.root, "init", "--quiet", "--initial-branch", "main")
        git(self.root, "add", ".")
        git(self.root, "commit", "--quiet", "--message", "Start")
        git(folder, "clone", "--quiet", "--bare", str(self.root), str(self.forge.origin))
        git(self.root, "remote", "add", "origin", str(self.forge.origin))
        git(self.forge.origin, "config", "uploadpack.allowAnySHA1InWant", "true")

    def layers(self, *words: str) -> str:
        script = self.root / "build" / "layers.py"
        name = {"GIT_AUTHOR_NAME": "T", "GIT_AUTHOR_EMAIL": "t@example.org"}
        name |= {"GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@example.org"}
        done = cli.layers(*words, cwd=self.root, script=script, env=name)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def released(self, hub: Hub, version: str, *, value: int, reviewed: bool = True) -> str:
        """Change the module, tag it as a version, release it as release.yml does; return the tag.

        Without a review it does not get to AWS.
        """
        (self.root / "alpha.py").write_text(f"VALUE = {value}\n", encoding="utf-8")
        config = self.root / "layers.yaml"
        document = yaml.safe_load(config.read_text("utf-8"))
        document["layers"][LAYER]["version"] = version
        config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        tag = f"{LAYER}-v{version}"
        git(self.root, "commit", "--quiet", "--all", "--allow-empty", "--message", tag)
        git(self.root, "tag", tag)
        git(self.root, "push", "--quiet", "origin", "HEAD", tag)
        self.layers("build", LAYER)
        made = (self.root / "dist").glob(f"{LAYER}-{version}-*")
        hub.release(tag, {path.name: path.read_bytes() for path in made})
        if reviewed:
            self.layers("publish", "apply", "--yes", "--pilot", "--no-canary", "--layer", LAYER)
        return tag

    def run(self, workflow: str, ref: str = "refs/heads/main", **inputs: object) -> None:
        """Run a workflow, of which no job may fail."""
        event = inputs.pop("event", "push")
        jobs = self.forge.run(WORKFLOWS / workflow, str(event), ref, **inputs)
        assert {name: job.failed for name, job in jobs.items() if job.failed} == {}


@pytest.fixture
def checkout(aws: AwsServer, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path / "cache"))
    return Checkout(tmp_path, aws.url, hub.url)


def published(aws: AwsServer, region: str, architecture: str = "arm64") -> dict[str, int]:
    """Return semver -> number of a layer in a region."""
    pages = aws.client("lambda", region).get_paginator("list_layer_versions")
    name = f"{LAYER}-python3-13-{architecture}"
    found = [one for page in pages.paginate(LayerName=name) for one in page["LayerVersions"]]
    return {one["Description"].split("[layersmith ")[1].split()[0]: one["Version"] for one in found}


def latest(aws: AwsServer, region: str) -> str | None:
    ssm = aws.client("ssm", region)
    name = f"/layers/{LAYER}/python3.13/arm64/latest"
    found = ssm.get_parameters(Names=[name])["Parameters"]
    return found[0]["Value"].rpartition(":")[2] if found else None


@pytest.mark.slow
def test_a_release_from_the_shell_to_one_github_release(
    aws: AwsServer, hub: Hub, checkout: Checkout
) -> None:
    checkout.layers("build", LAYER)
    checkout.layers("release", LAYER)
    tag = f"{LAYER}-v1.0.0"
    git(checkout.root, "push", "--quiet", "origin", "HEAD", tag)

    checkout.forge.variables["AWS_CN_PUBLISH_ROLE"] = (
        "arn:aws-cn:iam::123456789012:role/PublishRole"
    )

    checkout.run("release.yml", f"refs/tags/{tag}")

    stems = [f"{LAYER}-1.0.0-python3.13-{machine}" for machine in ("arm64", "x86_64")]
    wanted = {f"{stem}{end}" for stem in stems for end in (".zip", ".json", ".cdx.json")}
    wanted |= {"layers-index.json", "attestations.sigstore.json"}
    assert set(hub.assets[tag]) == wanted
    index = json.loads(hub.assets[tag]["layers-index.json"])
    assert {one["region"] for one in index["layers"]} == {TWO[0]}
    assert hub.releases[tag]["prerelease"] is False
    assert published(aws, TWO[0], "x86_64") == {"1.0.0": 1}
    assert "by its tag, not pinned" in checkout.forge.jobs["layers/layers/target-0"].summary
    assert set(checkout.forge.jobs) == {
        *("layers/layers/plan-0", "layers/layers/target-0", "layers/layers/target-1"),
        *("layers/layers/again-0", "layers/layers/again-1", "layers/layers/compare-0"),
        *("layers/layers/summary-0", "layers/attest-0"),
        *("publish/publish-0", "publish-1/publish-0", "release-0"),
    }
    assert "no target has a region in aws-cn" in checkout.forge.jobs["publish-1/publish-0"].said
    assert "Layers published to" in checkout.forge.jobs["publish/publish-0"].summary


@pytest.mark.slow
def test_the_nightly_run_brings_a_hotfix_of_an_older_version_everywhere(
    aws: AwsServer, hub: Hub, checkout: Checkout
) -> None:
    old = checkout.released(hub, "1.0.0", value=1)
    checkout.released(hub, "1.1.0", value=2)
    git(checkout.root, "switch", "--quiet", "--create", "hotfix", old)
    checkout.released(hub, "1.0.1", value=3)
    checkout.released(hub, "1.0.2-rc.1", value=4)
    checkout.released(hub, "1.0.3", value=5, reviewed=False)
    hub.releases[old]["published_at"] = "2026-01-01T00:00:00Z"
    hub.release("v1.0.0", {})
    hub.release(f"{LAYER}-v9.0.0", {}, draft=True)

    checkout.run("nightly.yml", event="schedule")

    assert set(published(aws, TWO[0])) == {"1.0.0", "1.0.1", "1.1.0", "1.0.2-rc.1"}
    assert set(published(aws, TWO[1])) == {"1.0.1", "1.1.0", "1.0.2-rc.1"}
    for region in TWO:
        assert latest(aws, region) == str(published(aws, region)["1.1.0"])
    work = checkout.forge.jobs["publish/publish-0"].folder
    assert git(work, "status", "--porcelain") == ""
    assert len(git(work, "worktree", "list").splitlines()) == 1
    assert set(checkout.forge.jobs) == {
        *("publish/publish-0", "advisories-0", "verify-0", "verify-1", "verify-2"),
        *("reproduce-0", "attest-0"),
    }
    assert "reproduced, same SHA-256" in checkout.forge.jobs["reproduce-0"].said


@pytest.mark.slow
def test_a_night_opens_and_closes_the_issue_about_drift(
    aws: AwsServer, hub: Hub, checkout: Checkout
) -> None:
    checkout.released(hub, "1.0.0", value=1)
    aws.faults({"kind": "error", "region": TWO[1], "action": "Publish.*", "status": 400})

    jobs = checkout.forge.run(WORKFLOWS / "nightly.yml", "schedule", "refs/heads/main")

    assert "Publish, prove by a canary, promote" in jobs["publish/publish-0"].failed
    assert "an issue where they do not" in jobs["verify-0"].failed
    assert TWO[1] in jobs["publish/publish-0"].summary
    assert [(one["state"], one["labels"]) for one in hub.issues] == [("open", ["layer-drift-aws"])]
    assert TWO[1] in hub.issues[0]["body"]
    kept = checkout.forge.folder / "artifacts" / "nightly-aws"
    assert {path.name for path in kept.iterdir()} == {
        *("drift.md", "arns.html", "arns.csv", "cost-history.jsonl")
    }

    aws.faults()
    checkout.run("nightly.yml", event="schedule")

    assert hub.issues[0]["state"] == "closed"


@pytest.mark.slow
def test_the_jobs_of_pushes_and_deployments(hub: Hub, checkout: Checkout) -> None:
    checkout.forge.variables |= {
        "AWS_DEPLOY_CONFIGURED": "true",
        "AWS_DEPLOY_ROLE": "arn:aws:iam::123456789012:role/DeployRole",
        "CHROMA_IMAGE": "image",
        "AWS_CLOUDFORMATION_ROLE": "role",
    }
    checkout.run("build.yml", event="push", emulate=False)
    assert set(checkout.forge.jobs) == {
        *("layers/plan-0", "layers/target-0", "layers/target-1", "layers/target-2"),
        *("layers/summary-0", "scanning-0"),
    }
    assert [(one["ref"], one["sarif"]["version"]) for one in hub.sarifs] == [
        ("refs/heads/main", "2.1.0")
    ]
    checkout.run("ci.yml")
    assert ["python", "-m", "pytest", "tests/e2e"] in workflows.calls(
        checkout.forge.jobs["rehearsal-0"]
    )
    assert "exhaustive-0" not in checkout.forge.jobs
    checkout.run("ci.yml", event="schedule")
    weekly = workflows.calls(checkout.forge.jobs["exhaustive-0"])
    assert any(words[-2:] == ["-m", "exhaustive"] for words in weekly)
    for action in ("plan", "apply", "drift"):
        checkout.run("deploy.yml", event="workflow_dispatch", action=action, stage="dev")
        ran = [
            words for words in workflows.calls(checkout.forge.jobs["stage-0"]) if "deploy" in words
        ]
        ends = {"plan": "--plan", "apply": "--yes", "drift": "--drift"}[action]
        assert [words[-1] for words in ran] == [ends]


@pytest.mark.slow
def test_the_digests_of_images_come_as_one_pull_request(hub: Hub, checkout: Checkout) -> None:
    path = "build/layersmith/prove/base_images/images.json"
    origin = checkout.forge.origin
    for again in (False, True):
        checkout.run("images.yml", event="schedule")
        assert [(one["head"], one["number"]) for one in hub.pulls] == [("pin-images", 1)], again

    assert git(origin, "diff", "--name-only", "main", "pin-images") == path
    pinned = json.loads(git(origin, "show", f"pin-images:{path}"))["aws"]
    assert {name: set(digests) for name, digests in pinned.items()} == {
        "python3.13": {"arm64", "x86_64"}
    }

    git(origin, "update-ref", "refs/heads/main", "pin-images")
    hub.pulls.clear()
    checkout.run("images.yml", event="schedule")

    assert hub.pulls == []
    assert "the digests are those of today" in checkout.forge.jobs["pin-0"].said


@pytest.mark.parametrize("role", ["BuildRole", "PublishRole", "DeployRole"])
@pytest.mark.parametrize(
    "ends", [f"ref:refs/tags/{LAYER}-v9.9.9", "ref:refs/heads/other", "pull_request"]
)
def test_a_tag_and_a_branch_get_no_role(role: str, ends: str) -> None:
    assert not workflows.trusts(role, f"repo:owner/name:{ends}", "sts.amazonaws.com")


@pytest.mark.parametrize("environment", ["publish", "release"])
def test_environments_get_the_publish_role(environment: str) -> None:
    subject = f"repo:owner/name:environment:{environment}"
    for partition, audience in (("aws", "sts.amazonaws.com"), ("aws-cn", "sts.amazonaws.com.cn")):
        assert workflows.trusts("PublishRole", subject, audience, partition)
    assert not workflows.trusts("PublishRole", subject, "sts.amazonaws.com", "aws-cn")
    assert not workflows.trusts("DeployRole", subject, "sts.amazonaws.com")


def test_a_repository_may_be_named_with_its_ids() -> None:
    name, audience = "owner@123456/name@456789", "sts.amazonaws.com"
    subject = f"repo:{name}:environment:release"
    assert workflows.trusts("PublishRole", subject, audience, repository=name)
    assert not workflows.trusts("PublishRole", subject, audience)


@pytest.mark.slow
def test_a_night_in_china(aws: AwsServer, hub: Hub, checkout: Checkout) -> None:
    role = "arn:aws-cn:iam::123456789012:role/PublishRole"
    checkout.forge.variables = {"AWS_CN_PUBLISH_ROLE": role}
    checkout.released(hub, "1.0.0", value=1)

    checkout.run("nightly.yml", event="schedule")

    china = checkout.forge.jobs["publish-1/publish-0"]
    assert "has no region in aws-cn" in china.said
    assert "0 zips fetched" in china.said
    assert checkout.forge.jobs["verify-0"].said == ""
    assert "publish/publish-0" not in checkout.forge.jobs
