"""The workflows run what people run: nox sessions and verbs, nothing of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from layersmith.cli import VERBS

from tests.support import expressions

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = [ROOT / "action.yml", *sorted((ROOT / ".github" / "actions").glob("*/action.yml"))]
FILES = [*WORKFLOWS, *ACTIONS]
REUSABLE = [path for path in WORKFLOWS if path.name.startswith("layers-")]
INSTALL = "$/.github/actions/install"
"""The action that installs the tool by its lock."""
NOX = re.compile(
    r"^(?P<locked>\.venv/bin/|uvx )nox -s (?P<sessions>\w[\w-]*(?: \w[\w-]*)*)(?: -- .*)?$"
)
LOCKED = "uv venv --quiet && uv pip install --quiet --require-hashes -r locks/jobs.txt"
"""Installs nox for jobs whose token or role could do harm."""
VERB = re.compile(r"^(?:python3? build/layers\.py|layersmith) (?P<verb>[a-z]+)(?: .*)?$")
PLAIN = re.compile(
    r"^(?:gh|set -f|shopt -s nullglob$|(?:rm -rf|mkdir|cp) \"\$(?:RUNNER_TEMP|DIST|BUNDLE))"
)
"""What the shell may do beside: ask GitHub, and carry manifests from one folder to another."""
SESSIONS = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE))


def load(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    """Return the jobs of a workflow; the steps of an action are those of one job."""
    document = load(path)
    return dict(document.get("jobs") or {path.parent.name: document["runs"]})


def steps(path: Path) -> list[tuple[str, dict[str, Any]]]:
    return [(name, step) for name, job in jobs(path).items() for step in job.get("steps", [])]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*WORKFLOWS, ACTIONS[0]], ids=named)
def test_every_run_step_is_a_session_or_a_verb(path: Path) -> None:
    for job, step in steps(path):
        if "run" not in step:
            continue
        for line in step["run"].replace("\\\n", " ").strip().splitlines():
            command = " ".join(line.split())
            if command == LOCKED or PLAIN.match(command):
                continue
            nox, verb = NOX.match(command), VERB.match(command)
            assert nox or verb, f"{path.name}, job {job}: {command}"
            if nox:
                asked = {name.replace("-", "_") for name in nox["sessions"].split()}
                assert asked <= SESSIONS, f"{path.name}: no session {asked - SESSIONS}"
            if verb:
                assert verb["verb"] in VERBS


@pytest.mark.parametrize("path", FILES, ids=named)
def test_actions_are_pinned_by_commit_with_their_version(path: Path) -> None:
    for line in path.read_text("utf-8").splitlines():
        if (found := re.match(r"\s*(?:- )?uses: (?P<action>\S+)(?P<rest>.*)$", line)) is None:
            continue
        if found["action"].startswith("$/"):
            continue
        assert re.search(r"@[0-9a-f]{40}$", found["action"]), line
        assert re.search(r"# v\d", found["rest"]), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_nothing_is_permitted_at_the_top_and_every_job_has_a_limit(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        if "uses" not in job:
            assert "timeout-minutes" in job, name


def test_one_action_has_one_version() -> None:
    pins: dict[str, set[str]] = {}
    for path in FILES:
        for _, step in steps(path):
            if "uses" in step:
                action, _, commit = step["uses"].partition("@")
                owner_and_name = "/".join(action.split("/")[:2])
                pins.setdefault(owner_and_name, set()).add(commit)
    assert {action: commits for action, commits in pins.items() if len(commits) > 1} == {}


def has_power(job: dict[str, Any]) -> bool:
    """Whether a job could publish something: a role of AWS, or a token that writes."""
    return "write" in job.get("permissions", {}).values()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_jobs_with_power_install_locked_versions_only(path: Path) -> None:
    uv = re.search(r"^uv==(\S+)", (ROOT / "locks" / "jobs.txt").read_text(), re.MULTILINE)
    assert uv
    for name, job in jobs(path).items():
        runs = [step["run"] for step in job.get("steps", []) if "run" in step]
        uses = [step["uses"] for step in job.get("steps", []) if "uses" in step]
        assert not [run for run in runs if run.startswith("layersmith")] or INSTALL in uses, name
        if not has_power(job) and path.name != "release.yml":
            continue
        assert not [run for run in runs if "uvx" in run], name
        assert not [run for run in runs if ".venv/" in run] or LOCKED in runs, name
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("astral-sh/setup-uv@"):
                assert step["with"]["version"] == uv[1], name


def test_the_action_installs_locked_versions_only() -> None:
    (_, setup), (_, install) = steps(ROOT / ".github" / "actions" / "install" / "action.yml")
    uv = re.search(r"^uv==(\S+)", (ROOT / "locks" / "jobs.txt").read_text(), re.MULTILINE)
    assert uv
    assert setup["with"] == {"version": uv[1], "enable-cache": False}
    (line,) = [line for line in install["run"].splitlines() if "pip install" in line]
    assert " --require-hashes --only-binary :all: " in line
    assert line.endswith('-r "$tool/locks/jobs.txt"')


@pytest.mark.parametrize("path", FILES, ids=named)
def test_no_expression_gets_into_a_script(path: Path) -> None:
    for name, step in steps(path):
        assert "${{" not in step.get("run", ""), f"{path.name}, {name}"


@pytest.mark.parametrize("path", [*REUSABLE, ACTIONS[0]], ids=named)
def test_every_input_and_output_is_described_and_used(path: Path) -> None:
    document = load(path)
    call = document[True]["workflow_call"] if path in REUSABLE else document
    body = path.read_text("utf-8").partition("\njobs:" if path in REUSABLE else "\nruns:")[2]
    for name, one in call["inputs"].items():
        assert one["description"].endswith("."), name
        assert re.search(rf"\binputs\.{name}\b(?!-)", body), name
    for name, one in call.get("outputs", {}).items():
        assert one["description"].endswith("."), name


@pytest.mark.parametrize("path", REUSABLE, ids=named)
def test_reusable_workflows_ask_for_no_secret_and_no_more_than_they_say(path: Path) -> None:
    assert set(load(path)[True]["workflow_call"]) <= {"inputs", "outputs"}
    more = {
        "layers-publish.yml": {"id-token: write"},
        "layers-release.yml": {"id-token: write", "attestations: write"},
    }
    allowed = {"contents: read"} | more.get(path.name, set())
    for name, job in jobs(path).items():
        asked = {f"{scope}: {level}" for scope, level in job["permissions"].items()}
        assert asked <= allowed, name
    assert "secrets" not in path.read_text("utf-8")


def test_what_signs_runs_nothing_else() -> None:
    """SLSA's third level: no step of a job that can sign is the caller's, or code of a layer."""
    signing = [
        (f"{path.name}, {name}", job)
        for path in WORKFLOWS
        for name, job in jobs(path).items()
        if "attestations" in job.get("permissions", {}) and "steps" in job
    ]
    assert {name for name, _ in signing} == {"layers-release.yml, attest", "nightly.yml, attest"}
    for name, job in signing:
        assert set(job["permissions"]) == {"id-token", "attestations"}, name
        for step in job["steps"]:
            assert step.get("run", "").startswith("cp ") or "actions/" in step.get("uses", ""), name
            assert "checkout" not in step.get("uses", ""), name


def test_what_jobs_with_power_install_is_hashed_and_fits_the_tools() -> None:
    jobs, tools = ((ROOT / "locks" / f"{name}.txt").read_text() for name in ("jobs", "tools"))
    pins = re.compile(r"^([\w.-]+==[^\s;]+)[^\n]*\\\n +--hash=sha256:", re.MULTILINE)
    assert set(pins.findall(tools)) <= set(pins.findall(jobs))
    named = re.findall(r"^([\w.-]+)==", jobs, re.MULTILINE)
    assert len(pins.findall(jobs)) == len(named)
    assert {"nox", "boto3", "pygithub", "docker", "pytest"} <= set(named)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_sessions_of_jobs_with_power_install_from_the_lock(path: Path) -> None:
    source = (ROOT / "noxfile.py").read_text()
    for job in jobs(path).values():
        for step in job.get("steps", []):
            found = NOX.match(" ".join(step.get("run", "").split()))
            if not found or not (has_power(job) or path.name == "release.yml"):
                continue
            body = source.partition(f"def {found['sessions']}(")[2].partition("@nox.session")[0]
            assert "locked(session)" in body, found["sessions"]
            assert not re.search(r"(extras|tool)\(|session\.install\(", body), found["sessions"]


def test_roles_of_aws_are_assumed_in_an_environment_and_a_region() -> None:
    for path in WORKFLOWS:
        for name, job in jobs(path).items():
            for step in job.get("steps", []):
                if "configure-aws-credentials" in step.get("uses", ""):
                    assert job.get("environment"), f"{path.name}, {name}"
                    region = step["with"]["aws-region"]
                    assert re.search(r"\|\||matrix\.|inputs\.region", region), (
                        f"{path.name}, {name}"
                    )


def test_credentials_last_as_long_as_the_job_that_has_them() -> None:
    # One hour where nothing is said (README of aws-actions/configure-aws-credentials).
    called = load(ROOT / ".github/workflows/layers-publish.yml")["jobs"]["publish"]
    wanted = {}
    for path in WORKFLOWS:
        for name, job in jobs(path).items():
            if job.get("uses", "").endswith("/layers-publish.yml"):
                wanted[path.name, name] = (job["with"], called["timeout-minutes"])
            for step in job.get("steps", []):
                if "configure-aws-credentials" in step.get("uses", "") and path not in REUSABLE:
                    wanted[path.name, name] = (step["with"], job["timeout-minutes"])
    assert len(wanted) == 4
    for where, (given, minutes) in wanted.items():
        assert given.get("role-duration-seconds", 3600) >= 60 * minutes, where


def test_calls_of_one_run_for_one_partition_name_their_artifacts_apart() -> None:
    # A name that a run has already is refused, and the job fails after it has published.
    job = load(ROOT / ".github/workflows/layers-publish.yml")["jobs"]["publish"]
    [step] = [one for one in job["steps"] if "upload-artifact" in one.get("uses", "")]
    for chosen, name in (("", "index-aws"), ("index-of-services", "index-of-services")):
        inputs = {"partition": "aws", "index-name": chosen}
        known = {"inputs": inputs, "runner": {"temp": "/tmp"}}
        assert expressions.fill(step["with"], known, {})["name"] == name


@pytest.mark.parametrize("region", ["", "eu-west-1", "cn-north-1"])
def test_a_deployment_asks_for_the_audience_that_the_roles_of_its_partition_trust(
    region: str,
) -> None:
    # github-oidc.yaml: sts. and AWS::URLSuffix, which is amazonaws.com.cn in aws-cn.
    audience = "sts.amazonaws.com.cn" if region == "cn-north-1" else "sts.amazonaws.com"
    job = load(ROOT / ".github/workflows/deploy.yml")["jobs"]["stage"]
    [step] = [one for one in job["steps"] if "configure-aws" in one.get("uses", "")]
    known = {"vars": {"AWS_REGION": region} if region else {}, "github": {"run_id": "1"}}
    assert expressions.fill(step["with"], known, {}).get("audience") == audience


@pytest.mark.parametrize("path", FILES, ids=named)
def test_keys_of_caches_fit_however_many_layers_there_are(path: Path) -> None:
    # actions/toolkit, packages/cache: a key has 512 characters at most, and no comma.
    inputs = {"layers": " ".join(f"layer-number-{n}" for n in range(100)), "upload-name": "layers"}
    known = {"inputs": {"artifact-prefix": "layers-", **inputs}, "github": {"sha": "0" * 40}}
    runner = {"os": "Linux", "arch": "ARM64"}
    for _, step in steps(path):
        if "actions/cache" in step.get("uses", ""):
            given = expressions.fill(
                {name: step["with"].get(name, "") for name in ("key", "restore-keys")},
                {**known, "runner": runner},
                {"hashFiles": lambda *_: "0" * 64},
            )
            for key in (given["key"], *given["restore-keys"].splitlines()):
                assert len(key) <= 512, step["name"]
                assert "," not in key


def table(path: Path) -> list[str]:
    """Return the rows of docs/github-actions.md about the inputs and outputs of a file."""
    document = load(path)
    call = document[True]["workflow_call"] if path in REUSABLE else document
    rows = []
    for name, one in call["inputs"].items():
        default = one.get("default", "")
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        cell = "required" if one.get("required") else f"`{shown}`" if shown else ""
        rows.append(f"| `{name}` | {cell} | {' '.join(one['description'].split())} |")
    outputs = call.get("outputs", {}).items()
    return [*rows, *(f"| `{name}` | {one['description']} |" for name, one in outputs)]


@pytest.mark.parametrize("path", [*REUSABLE, ACTIONS[0]], ids=named)
def test_the_docs_describe_every_input_and_output(path: Path) -> None:
    page = (ROOT / "docs" / "github-actions.md").read_text("utf-8").splitlines()
    assert [row for row in table(path) if row not in page] == []


EXAMPLES = ROOT / "docs" / "examples"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("    requirements: [pillow==11.0.0, 'numpy==2.1.3']", ["pillow 11.0.0", "numpy 2.1.3"]),
        ('    - "uvicorn[standard]==0.30.6"', ["uvicorn 0.30.6"]),
        ("    - httpx == 0.28.1  # client", ["httpx 0.28.1"]),
        ("    - \"tomli==2.0.1; python_version=='3.12'\"", ["tomli 2.0.1"]),
        ("    version: 1.0.0", []),
        ("    requirements: [pillow>=11, requests]", []),
    ],
)
def test_renovate_finds_what_layers_yaml_pins(text: str, found: list[str]) -> None:
    (manager,) = json.loads((EXAMPLES / "renovate.json").read_text("utf-8"))["customManagers"]
    (pattern,) = [re.sub(r"\(\?<(?=\w)", "(?P<", one) for one in manager["matchStrings"]]
    made = [f"{one['depName']} {one['currentValue']}" for one in re.finditer(pattern, text)]
    assert made == found
    (where,) = manager["managerFilePatterns"]
    assert re.search(where.strip("/"), "functions/layers.yaml")


def test_hooks_run_for_the_files_that_they_are_about() -> None:
    hooks = {one["id"]: one for one in load(ROOT / ".pre-commit-hooks.yaml")}
    asked = {"layers.yaml", "a/layers.yaml", "locks/x-python3.13-arm64.txt", "uv.lock", "app.py"}
    files = {name: {f for f in asked if re.search(one["files"], f)} for name, one in hooks.items()}
    assert files["layersmith-lock"] == asked - {"app.py"}
    assert files["layersmith-schema"] == {"layers.yaml", "a/layers.yaml"}
    known = load(EXAMPLES / "pre-commit-config.yaml")["repos"][0]["hooks"]
    assert {one["id"] for one in known} == set(hooks)


def test_examples_call_what_is_there_with_least_permissions() -> None:
    for path in sorted((EXAMPLES / "github").glob("*.yml")):
        document = load(path)
        assert document["permissions"] == {}
        for job in document["jobs"].values():
            for uses in [job.get("uses", ""), *(s.get("uses", "") for s in job.get("steps", []))]:
                if uses.startswith("OWNER/layersmith"):
                    place = ROOT / uses.removeprefix("OWNER/layersmith").partition("@")[0].strip(
                        "/"
                    )
                    assert place.is_file() or (place / "action.yml").is_file(), uses
