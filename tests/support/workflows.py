"""Runs the workflows of .github/workflows as GitHub does: every step, in order, in a clean clone.

Each job gets a home, a cache and a clone of its own, and knows of other jobs only what GitHub
passes on: outputs and artifacts. `run` steps go through bash, with three programs in front of the
real ones: `uv` and `uvx` give a nox that runs sessions without installing anything, and `gh` talks
to the test's server. Actions are replaced by what they do to a job.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from layersmith.stacks import templates

from tests.support import clocks, expressions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).with_name("programs")
PASSED = ("LANG", "PYENV_ROOT", "SSL_CERT_FILE", "DOCKER_HOST", "UV_CACHE_DIR")
"""What a job gets of the environment of the tests, beside PATH."""


@dataclass
class JobRun:
    """A job that ran.

    Attributes:
        name: Its id, with the index of its matrix.
        permissions: What its token may do.
        environment: Name of its environment.
        failed: The step that failed, and what was said.
        outputs: Outputs of the job.
        summary: Its step summaries.
        said: What its steps printed.
        folder: Its clone.
    """

    name: str
    permissions: Mapping[str, str]
    environment: str | None
    folder: Path
    failed: str = ""
    outputs: dict[str, Any] = field(default_factory=dict)
    summary: str = ""
    said: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    steps: dict[str, Any] = field(default_factory=dict)


@dataclass
class Forge:
    """A repository on GitHub, its variables, and where its runs leave their artifacts.

    Attributes:
        origin: The bare repository.
        folder: Folder of the runs.
        variables: The repository's variables.
        environ: What a runner has beside its own variables: the address of AWS, of GitHub's API.
    """

    origin: Path
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, JobRun] = field(default_factory=dict)

    def run(self, workflow: Path, event: str, ref: str, **inputs: Any) -> dict[str, JobRun]:
        """Run all jobs of a workflow, each after those that it needs; a failed one ends the run.

        Args:
            workflow: The workflow's file.
            event: ``push``, ``schedule`` and so on.
            ref: ``refs/heads/main`` or a tag's.
            inputs: Inputs of workflow_dispatch.
        """
        self.jobs = {}
        document = yaml.safe_load(workflow.read_text("utf-8"))
        shutil.rmtree(self.folder / "artifacts", ignore_errors=True)
        (self.folder / "artifacts").mkdir(parents=True)
        github = {
            "repository": "owner/name",
            "ref": ref,
            "ref_name": ref.split("/", 2)[2],
            "ref_type": "tag" if ref.startswith("refs/tags/") else "branch",
            "event_name": event,
            "run_id": "1",
            "token": "secret",
        }
        outputs: dict[str, Any] = {}
        for name, job in document["jobs"].items():
            needed = job.get("needs", [])
            needs = [needed] if isinstance(needed, str) else needed
            assert set(needs) <= set(outputs), "jobs stand in the order of their needs"
            contexts = {
                "github": github,
                "vars": self.variables,
                "inputs": inputs,
                "needs": {one: {"outputs": outputs[one]} for one in needs},
            }
            outputs[name] = {}
            if "if" in job and not Condition(job["if"], contexts, failed=False).holds():
                continue
            for number, matrix in enumerate(_matrix(job, contexts)):
                run = self._job(f"{name}-{number}", document, job, {**contexts, "matrix": matrix})
                outputs[name] = run.outputs
                if run.failed:
                    return self.jobs
        return self.jobs

    def _job(
        self, name: str, document: Any, job: Mapping[str, Any], contexts: Mapping[str, Any]
    ) -> JobRun:
        folder = self.folder / "runners" / name
        shutil.rmtree(folder, ignore_errors=True)
        for part in ("home", "temp", "work"):
            (folder / part).mkdir(parents=True)
        permissions = job.get("permissions", document["permissions"])
        environment = expressions.fill(job.get("environment"), contexts, {})
        run = JobRun(name, permissions, environment, folder / "work")
        self.jobs[name] = run
        known = {**contexts, "steps": run.steps, "env": {}}
        for source in (document, job):
            filled = expressions.fill(source.get("env", {}), known, {})
            known["env"] = {**known["env"], **filled}
        for step in job["steps"]:
            if not Condition(step.get("if", "success()"), known, failed=bool(run.failed)).holds():
                continue
            try:
                Step(self, run, step, known).run()
            except StepFailed as problem:
                run.failed = run.failed or f"{step.get('name') or step['uses']}: {problem}"
        run.outputs = expressions.fill(job.get("outputs", {}), known, {})
        return run


class StepFailed(Exception):
    """A step ended with an error."""


class Condition:
    """The `if` of a job or a step; without a function of status it also asks for success."""

    def __init__(self, text: str, contexts: Mapping[str, Any], *, failed: bool) -> None:
        bare = text.strip().removeprefix("${{").removesuffix("}}")
        self.functions: dict[str, Callable[[], bool]] = {
            "success": lambda: not failed,
            "failure": lambda: failed,
            "always": lambda: True,
            "cancelled": lambda: False,
        }
        named = any(f"{name}(" in bare for name in self.functions)
        self.bare, self.contexts = bare if named else f"success() && ({bare})", contexts

    def holds(self) -> bool:
        return bool(expressions.Expression(self.bare, self.contexts, self.functions).value())


@dataclass
class Step:
    """One step of a job."""

    forge: Forge
    job: JobRun
    step: Mapping[str, Any]
    known: dict[str, Any]

    def run(self) -> None:
        step = {key: value for key, value in self.step.items() if key != "if"}
        filled = expressions.fill(step, self.known, {})
        if "run" in filled:
            self._shell(filled)
            return
        action = filled["uses"].partition("@")[0]
        ACTIONS[action](
            self, {k: expressions.text_of(v) for k, v in filled.get("with", {}).items()}
        )

    def _shell(self, filled: Mapping[str, Any]) -> None:
        temp = self.job.folder.parent / "temp"
        files = {name: temp / name for name in ("OUTPUT", "ENV", "STEP_SUMMARY")}
        for path in files.values():
            path.write_text("", encoding="utf-8")
        (temp / "script.sh").write_text(filled["run"], encoding="utf-8")
        environment = self._environment(filled.get("env", {}), files)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(temp / "script.sh")],
            cwd=self.job.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=clocks.seconds(300),
        )
        self.job.said += done.stdout + done.stderr
        self.job.summary += files["STEP_SUMMARY"].read_text("utf-8")
        self.job.variables |= _assigned(files["ENV"])
        if "id" in filled:
            self.job.steps[filled["id"]] = {"outputs": _assigned(files["OUTPUT"])}
        if done.returncode:
            raise StepFailed(f"exit code {done.returncode}\n{done.stdout}{done.stderr}")

    def _environment(self, own: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, str]:
        home = self.job.folder.parent / "home"
        github = self.known["github"]
        said = {
            "GITHUB_ACTIONS": "true",
            "CI": "true",
            "RUNNER_TEMP": str(home.parent / "temp"),
            "GITHUB_WORKSPACE": str(self.job.folder),
            **{f"GITHUB_{name}": str(path) for name, path in files.items()},
            **{
                f"GITHUB_{name.upper()}": github[name]
                for name in ("repository", "ref", "ref_name", "ref_type", "event_name", "run_id")
            },
        }
        given = {name: os.environ[name] for name in PASSED if name in os.environ}
        path = [str(PROGRAMS), os.environ["PATH"]]
        mine = {k: expressions.text_of(v) for k, v in {**self.known["env"], **own}.items()}
        return {
            **given,
            "PATH": os.pathsep.join(path),
            "HOME": str(home),
            "LAYERSMITH_CACHE": str(home / "cache"),
            "TESTS_PYTHON": sys.executable,
            "TESTS_ROOT": str(ROOT),
            **self.forge.environ,
            **said,
            **self.job.variables,
            **mine,
        }

    def checkout(self, settings: Mapping[str, str]) -> None:
        """Clone as actions/checkout does: one commit, without tags, unless all is asked for."""
        words = ["git", "clone", "--quiet", "--no-local"]
        if settings.get("fetch-depth") != "0":
            words += ["--depth", "1", "--no-tags"]
        words += ["--branch", self.known["github"]["ref_name"]]
        words += ["-c", "advice.detachedHead=false", self.forge.origin.as_uri(), "."]
        subprocess.run(words, cwd=self.job.folder, check=True, capture_output=True)

    def upload(self, settings: Mapping[str, str]) -> None:
        """Keep files from the lowest folder that they share."""
        found = [
            path
            for pattern in settings["path"].split()
            for path in ([*self.job.folder.glob(pattern.rstrip("/"))])
        ]
        if not found and settings.get("if-no-files-found") == "error":
            raise StepFailed(f"no files were found with the path {settings['path']}")
        target = self.forge.folder / "artifacts" / settings["name"]
        target.mkdir()
        for path in found:
            if path.is_dir():
                shutil.copytree(path, target, dirs_exist_ok=True)
            else:
                shutil.copy2(path, target)

    def download(self, settings: Mapping[str, str]) -> None:
        pattern = settings.get("name") or settings["pattern"]
        found = sorted((self.forge.folder / "artifacts").glob(pattern))
        if not found and "name" in settings:
            raise StepFailed(f"no artifact {pattern}")
        for artifact in found:
            assert "name" in settings or settings["merge-multiple"] == "true"
            target = self.job.folder / settings["path"]
            shutil.copytree(artifact, target, dirs_exist_ok=True)

    def assume_role(self, settings: Mapping[str, str]) -> None:
        """Give credentials if the template's trust policy would."""
        for name in ("role-to-assume", "aws-region"):
            if not settings.get(name):
                raise StepFailed(f"Input required and not supplied: {name}")
        if self.job.permissions.get("id-token") != "write":
            raise StepFailed("the job has no id-token")
        role = settings["role-to-assume"].rpartition("/")[2]
        partition = settings["role-to-assume"].split(":")[1]
        audience = settings.get("audience") or "sts.amazonaws.com"
        if not trusts(role, self.subject, audience, partition):
            raise StepFailed(f"not authorized: {role} for {self.subject}, audience {audience}")
        self.job.variables |= {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": settings["aws-region"],
            "AWS_DEFAULT_REGION": settings["aws-region"],
        }

    @property
    def subject(self) -> str:
        """The subject of the job's token."""
        github = self.known["github"]
        ends = (
            f"environment:{self.job.environment}"
            if self.job.environment
            else f"ref:{github['ref']}"
        )
        return f"repo:{github['repository']}:{ends}"

    def attest(self, settings: Mapping[str, str]) -> None:
        assert self.job.permissions["attestations"] == "write"
        if not list(self.job.folder.glob(settings["subject-path"])):
            raise StepFailed(f"no subject {settings['subject-path']}")

    def nothing(self, settings: Mapping[str, str]) -> None:
        """What the action does is done on the test's machine already."""


ACTIONS: dict[str, Callable[[Step, Mapping[str, str]], None]] = {
    "actions/checkout": Step.checkout,
    "actions/upload-artifact": Step.upload,
    "actions/download-artifact": Step.download,
    "actions/attest-build-provenance": Step.attest,
    "astral-sh/setup-uv": Step.nothing,
    "aws-actions/configure-aws-credentials": Step.assume_role,
    "docker/setup-qemu-action": Step.nothing,
}


def trusts(
    role: str,
    subject: str,
    audience: str,
    partition: str = "aws",
    repository: str = "owner/name",
) -> bool:
    """Whether a role of the template github-oidc may be assumed with a token.

    Args:
        role: Its logical id.
        subject: Subject of the token.
        audience: Audience of the token.
        partition: Partition of the account.
        repository: The stack's parameter of that name.
    """
    template = templates.load(ROOT / "infra-templates")["github-oidc"].document
    known = {name: one.get("Default", "") for name, one in template["Parameters"].items()}
    assert re.fullmatch(template["Parameters"]["Repository"]["AllowedPattern"], repository)
    known |= {"Repository": repository, "DeployEnvironment": "dev"}
    known["AWS::URLSuffix"] = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    policy = template["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]
    (statement,) = policy["Statement"]
    asked = {"sub": subject, "aud": audience}
    return all(
        _matches(test, _texts(allowed, known), asked[key.rpartition(":")[2]])
        for test, conditions in statement["Condition"].items()
        for key, allowed in conditions.items()
    )


def _matches(test: str, allowed: list[str], value: str) -> bool:
    assert test == "StringEquals", "a pattern in a trust policy lets in what nobody thought of"
    return value in allowed


def _texts(allowed: Any, known: Mapping[str, str]) -> list[str]:
    found = []
    for one in allowed if isinstance(allowed, list) else [allowed]:
        text = one if isinstance(one, str) else one["Fn::Sub"]
        for name, value in known.items():
            text = text.replace(f"${{{name}}}", value)
        found.append(text)
    return found


def _matrix(job: Mapping[str, Any], contexts: Mapping[str, Any]) -> list[dict[str, Any]]:
    matrix = expressions.fill(job.get("strategy", {}).get("matrix", {}), contexts, {})
    if "include" in matrix:
        return list(matrix["include"])
    rows: list[dict[str, Any]] = [{}]
    for key, values in matrix.items():
        rows = [{**row, key: value} for row in rows for value in values]
    return rows


def _assigned(path: Path) -> dict[str, str]:
    lines = path.read_text("utf-8").splitlines()
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def calls(job: JobRun) -> list[list[str]]:
    """Return what the sessions of a job would have installed or run and did not."""
    path = job.folder.parent / "home" / "passed-over.jsonl"
    return (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    )
