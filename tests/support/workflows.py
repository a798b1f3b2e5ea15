"""Runs the workflows of .github/workflows as GitHub does: every step, in order, in a clean clone.

Each job gets a home, a cache and a clone of its own, and knows of other jobs only what GitHub
passes on: outputs, artifacts and caches. `run` steps go through bash, with three programs in front
of the real ones: `uv` and `uvx` give a Python and a nox that install nothing, and `gh` talks to the
test's server. Actions of others are replaced by what they do to a job. Those of this repository and
its reusable workflows are read from the repository of the tool, whoever calls them: that is what
`$/` and `OWNER/NAME@REF` mean.
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
from tests.support.repositories import git

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).with_name("programs")
TOOL = "owner/layersmith"
"""The repository of the tool, as others name it."""

PUBLIC = ("repository", "ref", "ref_name", "ref_type", "event_name", "run_id", "server_url", "sha")
"""What of the context ``github`` is in variables, too."""

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


@dataclass
class Forge:
    """A repository on GitHub, its variables, and where its runs leave their artifacts.

    Attributes:
        origin: The bare repository.
        folder: Folder of the runs.
        variables: The repository's variables.
        environ: What a runner has beside its own variables: the address of AWS, of GitHub's API.
        tool: Work tree of the tool's repository, at the commit whose workflows and actions run.
        event: Payload of the event.
        programs: Folders of programs in front of the real ones.
    """

    origin: Path
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    tool: Path = ROOT
    event: dict[str, Any] = field(default_factory=dict)
    programs: tuple[Path, ...] = (PROGRAMS,)
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
        shutil.rmtree(self.folder / "artifacts", ignore_errors=True)
        (self.folder / "artifacts").mkdir(parents=True)
        document = yaml.safe_load(workflow.read_text("utf-8"))
        github = {
            "repository": "owner/name",
            "ref": ref,
            "ref_name": ref.split("/", 2)[2],
            "ref_type": "tag" if ref.startswith("refs/tags/") else "branch",
            "event_name": event,
            "event": {"repository": {"default_branch": "main"}, **self.event},
            "server_url": "https://github.example",
            "run_id": "1",
            "sha": "1" * 40,
            "token": "secret",
        }
        Workflow(self, document, {"github": github, "vars": self.variables, "inputs": inputs}).run()
        return self.jobs

    def of_tool(self, uses: str) -> Path | None:
        """Return the file or folder that ``uses`` names, where it is of the tool's repository."""
        if uses.startswith("$/"):
            return self.tool / uses.removeprefix("$/")
        name, _, reference = uses.partition("@")
        if reference and f"{name}/".startswith(f"{TOOL}/"):
            return self.tool / name.removeprefix(TOOL).strip("/")
        return None


@dataclass
class Workflow:
    """A workflow that runs, or one that another calls.

    Attributes:
        forge: Where.
        document: Its file.
        contexts: ``github``, ``vars`` and ``inputs``.
        prefix: In front of its jobs' names: those of the jobs that called it.
        granted: The most that the jobs' tokens may do; None where nobody calls it.
        results: Job -> its result and outputs, as ``needs`` has them.
    """

    forge: Forge
    document: Mapping[str, Any]
    contexts: Mapping[str, Any]
    prefix: str = ""
    granted: Mapping[str, str] | None = None
    results: dict[str, Any] = field(default_factory=dict)

    def run(self) -> str:
        """Run all jobs, each after those that it needs; return what became of it as a whole."""
        for name, job in self.document["jobs"].items():
            needed = job.get("needs", [])
            needs = [needed] if isinstance(needed, str) else needed
            assert set(needs) <= set(self.results), "jobs stand in the order of their needs"
            known = {**self.contexts, "needs": {one: self.results[one] for one in needs}}
            self.results[name] = self._job(name, job, known)
        found = {one["result"] for one in self.results.values()}
        return next((one for one in ("failure", "success") if one in found), "skipped")

    def _job(self, name: str, job: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
        before = {one["result"] for one in known["needs"].values()}
        allowed = job.get("permissions", self.document["permissions"])
        self._require(name, allowed)
        # What a job needs and was skipped counts as no success; it is no failure either.
        asked = job.get("if", "success()")
        condition = Condition(asked, known, failed="failure" in before, fine=before <= {"success"})
        if not condition.holds():
            return {"result": "skipped", "outputs": {}}
        ran = []
        for number, matrix in enumerate(_matrix(job, known)):
            title, told = f"{self.prefix}{name}-{number}", {**known, "matrix": matrix}
            ran.append(
                self._call(title, job, told) if "uses" in job else self._steps(title, job, told)
            )
        outputs = {key: value for one in ran for key, value in one["outputs"].items()}
        found = {one["result"] for one in ran}
        result = next((one for one in ("failure", "success") if one in found), "skipped")
        return {"result": result, "outputs": outputs}

    def _require(self, name: str, permissions: Mapping[str, str]) -> None:
        """Refuse what GitHub refuses before anything runs: more than the caller grants."""
        for scope, level in permissions.items():
            given = "write" if self.granted is None else self.granted.get(scope, "none")
            order = ("none", "read", "write")
            assert order.index(level) <= order.index(given), f"{name} asks for {scope}: {level}"

    def _call(self, title: str, job: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
        assert "secrets" not in job, "secrets are not inherited"
        path = self.forge.of_tool(job["uses"])
        assert path, job["uses"]
        document = yaml.safe_load(path.read_text("utf-8"))
        call = document[True]["workflow_call"]  # YAML 1.1 reads `on` as true
        given = expressions.fill(job.get("with", {}), known, {})
        contexts = {
            **self.contexts,
            "inputs": _inputs(call.get("inputs", {}), given, document["name"]),
        }
        called = Workflow(
            self.forge,
            document,
            contexts,
            f"{title.removesuffix('-0')}/",
            job.get("permissions", self.document["permissions"]),
        )
        result = called.run()
        wanted = {key: one["value"] for key, one in call.get("outputs", {}).items()}
        outputs = expressions.fill(wanted, {"jobs": called.results}, {})
        return {"result": result, "outputs": outputs}

    def _steps(
        self, title: str, job: Mapping[str, Any], contexts: Mapping[str, Any]
    ) -> dict[str, Any]:
        folder = self.forge.folder / "runners" / title
        shutil.rmtree(folder, ignore_errors=True)
        for part in ("home", "temp", "work"):
            (folder / part).mkdir(parents=True)
        permissions = job.get("permissions", self.document["permissions"])
        environment = expressions.fill(job.get("environment"), contexts, {})
        run = JobRun(title, permissions, environment, folder / "work")
        self.forge.jobs[title] = run
        runner = {"os": "Linux", "arch": "X64", "temp": str(folder / "temp")}
        known = {**contexts, "runner": runner, "env": {}}
        for source in (self.document, job):
            filled = expressions.fill(source.get("env", {}), known, {})
            known["env"] = {**known["env"], **filled}
        steps = Steps(self.forge, run, job["steps"], known)
        run.failed = steps.run()
        run.outputs = expressions.fill(job.get("outputs", {}), steps.known, {})
        return {"result": "failure" if run.failed else "success", "outputs": run.outputs}


@dataclass
class Steps:
    """The steps of a job or of a composite action, which has contexts of its own."""

    forge: Forge
    job: JobRun
    listed: list[Mapping[str, Any]]
    known: dict[str, Any]

    def run(self) -> str:
        """Run the steps in order; return what failed first."""
        failed, done = "", dict[str, Any]()
        self.known["steps"] = done
        for step in self.listed:
            name = step.get("id", f"#{len(done)}")
            done[name] = {"outcome": "skipped", "outputs": {}}
            asked = step.get("if", "success()")
            condition = Condition(asked, self.known, failed=bool(failed))
            condition.functions["hashFiles"] = self._hash
            if not condition.holds():
                continue
            done[name]["outcome"] = "success"
            try:
                done[name]["outputs"] = Step(self.forge, self.job, step, self.known).run()
            except StepFailed as problem:
                done[name] = {"outcome": "failure", "outputs": problem.outputs}
                failed = failed or f"{step.get('name') or step['uses']}: {problem}"
        return failed

    def _hash(self, *patterns: str) -> str:
        """Whether there are files in the clone, as far as a condition asks for."""
        found = any(list(self.job.folder.glob(pattern)) for pattern in patterns)
        return "0" * 64 if found else ""


class StepFailed(Exception):
    """A step ended with an error; what it had set as outputs by then, its job has."""

    def __init__(self, said: str, outputs: dict[str, Any] | None = None) -> None:
        super().__init__(said)
        self.outputs = outputs or {}


class Condition:
    """The `if` of a job or a step; without a function of status it also asks for success."""

    def __init__(
        self, text: str, contexts: Mapping[str, Any], *, failed: bool, fine: bool | None = None
    ) -> None:
        bare = text.strip().removeprefix("${{").removesuffix("}}")
        self.functions: dict[str, Callable[..., Any]] = {
            "success": lambda: not failed if fine is None else fine,
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

    def run(self) -> dict[str, Any]:
        """Run it; return its outputs.

        Raises:
            StepFailed: It ended with an error.
        """
        step = {key: value for key, value in self.step.items() if key != "if"}
        functions = {"hashFiles": lambda *patterns: "0" * 64}
        filled = expressions.fill(step, self.known, functions)
        if "run" in filled:
            return self._shell(filled)
        given = {k: expressions.text_of(v) for k, v in filled.get("with", {}).items()}
        if folder := self.forge.of_tool(filled["uses"]):
            return self._composite(folder, given)
        assert not filled["uses"].startswith("."), "./ is the repository that calls"
        return ACTIONS[filled["uses"].partition("@")[0]](self, given) or {}

    def _composite(self, folder: Path, given: Mapping[str, str]) -> dict[str, Any]:
        """Run an action of the tool: its inputs and steps are all that its steps know of."""
        document = yaml.safe_load((folder / "action.yml").read_text("utf-8"))
        inputs = _inputs(document.get("inputs", {}), given, document["name"])
        github = {**self.known["github"], "action_path": str(folder)}
        kept = {name: self.known[name] for name in ("runner", "env")}
        known = {**kept, "github": github, "inputs": inputs}
        steps = Steps(self.forge, self.job, document["runs"]["steps"], known)
        failed = steps.run()
        wanted = {key: one["value"] for key, one in document.get("outputs", {}).items()}
        found: dict[str, Any] = expressions.fill(wanted, steps.known, {})
        if failed:
            raise StepFailed(failed, found)
        return found

    def _shell(self, filled: Mapping[str, Any]) -> dict[str, Any]:
        temp = self.job.folder.parent / "temp"
        files = {name: temp / name for name in ("OUTPUT", "ENV", "STEP_SUMMARY")}
        for path in files.values():
            path.write_text("", encoding="utf-8")
        (temp / "script.sh").write_text(filled["run"], encoding="utf-8")
        environment = self._environment(filled.get("env", {}), files)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(temp / "script.sh")],
            cwd=self.job.folder / filled.get("working-directory", "."),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=clocks.seconds(300),
        )
        self.job.said += done.stdout + done.stderr
        self.job.summary += files["STEP_SUMMARY"].read_text("utf-8")
        self.job.variables |= _assigned(files["ENV"])
        outputs = _assigned(files["OUTPUT"])
        if done.returncode:
            said = f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
            raise StepFailed(said, outputs)
        return outputs

    def _environment(self, own: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, str]:
        home = self.job.folder.parent / "home"
        github = self.known["github"]
        said = {
            "GITHUB_ACTIONS": "true",
            "CI": "true",
            "RUNNER_TEMP": str(home.parent / "temp"),
            "GITHUB_WORKSPACE": str(self.job.folder),
            **{f"GITHUB_{name}": str(path) for name, path in files.items()},
            **{f"GITHUB_{name.upper()}": github[name] for name in PUBLIC},
        }
        given = {name: os.environ[name] for name in PASSED if name in os.environ}
        path = [*map(str, self.forge.programs), str(home / ".local" / "bin"), os.environ["PATH"]]
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
        """Fetch as actions/checkout does: one commit, without tags, unless all is asked for."""
        assert settings["persist-credentials"] == "false"
        folder = self.job.folder / settings.get("path", ".")
        ref = settings.get("ref") or self.known["github"]["ref"]
        depth = ["--depth", "1", "--no-tags"]
        if settings.get("fetch-depth") == "0":
            depth = ["--tags"]
        branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else ""
        for words in (
            ("init", "--quiet", str(folder)),
            ("-C", str(folder), "remote", "add", "origin", self.forge.origin.as_uri()),
            ("-C", str(folder), "fetch", "--quiet", *depth, "origin", ref),
            (
                "-C",
                str(folder),
                "checkout",
                "--quiet",
                *(["-B", branch] if branch else []),
                "FETCH_HEAD",
            ),
        ):
            git(self.job.folder, *words)

    def upload(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Keep files from the lowest folder that they share."""
        found: list[Path] = []
        for pattern in settings["path"].split():
            place = Path("/") if pattern.startswith("/") else self.job.folder
            found += place.glob(pattern.strip("/"))
        if not found and settings.get("if-no-files-found") == "error":
            raise StepFailed(f"no files were found with the path {settings['path']}")
        target = self.forge.folder / "artifacts" / settings["name"]
        if found:
            target.mkdir()
        for path in found:
            if path.is_dir():
                shutil.copytree(path, target, dirs_exist_ok=True)
            else:
                shutil.copy2(path, target)
        return {"artifact-url": f"https://github.example/artifacts/{settings['name']}"}

    def download(self, settings: Mapping[str, str]) -> None:
        pattern = settings.get("name") or settings["pattern"]
        found = sorted((self.forge.folder / "artifacts").glob(pattern))
        if not found and "name" in settings:
            raise StepFailed(f"no artifact {pattern}")
        for artifact in found:
            target = self.job.folder / settings["path"]
            if "name" not in settings and settings.get("merge-multiple") != "true":
                target /= artifact.name
            shutil.copytree(artifact, target, dirs_exist_ok=True)

    def restore(self, settings: Mapping[str, str]) -> None:
        """Restore the cache of this key, or the newest whose key begins with one of the others."""
        caches = sorted(self._caches.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for key in (settings["key"], *settings.get("restore-keys", "").split()):
            for folder in reversed(caches):
                if folder.name.startswith(key):
                    shutil.copytree(folder, self._cached(settings), dirs_exist_ok=True)
                    return

    def save(self, settings: Mapping[str, str]) -> None:
        shutil.copytree(self._cached(settings), self._caches / settings["key"], dirs_exist_ok=True)

    @property
    def _caches(self) -> Path:
        """The folder of the caches that runs leave to later ones."""
        folder = self.forge.folder / "caches"
        folder.mkdir(exist_ok=True)
        return folder

    def _cached(self, settings: Mapping[str, str]) -> Path:
        home = self.job.folder.parent / "home"
        return Path(settings["path"].replace("~", str(home), 1))

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

    def attest(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Write a bundle that nobody signed, where its job may have one."""
        assert self.job.permissions["attestations"] == "write"
        assert self.job.permissions["id-token"] == "write"
        for pattern in settings["subject-path"].split():
            if not list(self.job.folder.glob(pattern)):
                raise StepFailed(f"no subject {pattern}")
        bundle = self.job.folder.parent / "temp" / "attestation.json"
        bundle.write_text("{}", encoding="utf-8")
        return {"bundle-path": str(bundle)}

    def nothing(self, settings: Mapping[str, str]) -> None:
        """What the action does is done on the test's machine already."""


ACTIONS: dict[str, Callable[[Step, Mapping[str, str]], dict[str, str] | None]] = {
    "actions/cache": Step.restore,
    "actions/cache/restore": Step.restore,
    "actions/cache/save": Step.save,
    "actions/checkout": Step.checkout,
    "actions/upload-artifact": Step.upload,
    "actions/download-artifact": Step.download,
    "actions/attest": Step.attest,
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


def _inputs(declared: Mapping[str, Any], given: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """Return the inputs of a called workflow or an action, with the defaults of those left out."""
    assert given.keys() <= declared.keys(), f"{whose} has no input {given.keys() - declared.keys()}"
    missing = {key for key, one in declared.items() if one.get("required")} - given.keys()
    assert not missing, f"{whose} needs {missing}"
    kinds: dict[str, type | tuple[type, ...]] = {"boolean": bool, "number": (int, float)}
    for key, value in given.items():
        kind = kinds.get(declared[key].get("type", ""), object)
        assert isinstance(value, kind), f"{whose}: {key} is {value!r}"
    return {key: given.get(key, one.get("default", "")) for key, one in declared.items()}


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
