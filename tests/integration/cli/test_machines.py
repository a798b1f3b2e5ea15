"""Every verb on broken machines: what cannot be used is named in an error, never in a traceback.

The verbs run as an ordinary user, whose machine is broken by permissions, in one process for each
machine that forks for each verb.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.integration.ship.conftest import served
from tests.support import cli, clocks, wheels

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

VERSION = "arn:aws:lambda:eu-west-1:123456789012:layer:demo:1"
EXECUTION = "arn:aws:states:eu-west-1:123456789012:execution:sessions:one"

DEPLOY = "deploy --stage dev --set chroma.ImageUri=image --plan"

VERBS = (
    *("init", "plan", "lock", "lock --check", "build --force", "audit", "weigh", "report"),
    *("diff dist dist", "doctor", "smoke --runner host", "coldstart --runner host"),
    *("slim --runner host", "lazy", "release demo", "publish plan", "arn demo", "cost", "gc"),
    *(DEPLOY, "destroy --stage dev --yes", "stacks order"),
    *(f"stacks test-layer {VERSION} --module os", f"session stop {EXECUTION}"),
    *("session run --database d --input work.json",),
    *(
        "reproduce dist/demo-1.0.0-python3.13-arm64.zip",
        "verify",
        "promote demo 1.0.0 --yes",
        "rollback demo --yes",
        "yank demo 1.0.0 --reason broken --yes",
    ),
    *("vectors list --database d vectors", "vectors verify --database d s3://bucket/vectors"),
    *("image --runtime python3.13", "completion bash", "schema --check", "recipe list"),
    *("summary", "why alpha", "sbom", "advisories --offline"),
)

DRIVER = """
import importlib, json, os, pkgutil, sys, traceback
sys.path[:0] = sys.argv[1:]
import docker
import layersmith
from layersmith import cli

for module in pkgutil.walk_packages(layersmith.__path__, "layersmith."):
    if ".probe" not in module.name and "worker" not in module.name:
        importlib.import_module(module.name)

def start(words, folder, environment):
    log = os.memfd_create("log")
    child = os.fork()
    if not child:
        os.dup2(log, 1), os.dup2(log, 2)
        code = 1
        try:
            os.environ.clear()
            os.environ.update(environment)
            os.chdir(folder)
            code = cli.main(words)
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)
    return child, log

def ended(child, log):
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status), os.pread(log, 1 << 20, 0).decode()

jobs = json.load(sys.stdin)
found, running = [], []
for job in jobs:
    running.append(start(*job))
    if len(running) == (os.cpu_count() or 1):
        found.append(ended(*running.pop(0)))
print(json.dumps(found + [ended(*one) for one in running]))
"""

CONFIG = f"""
defaults: {{runtimes: [python3.{sys.version_info.minor}], regions: [eu-west-1]}}
layers:
  demo: {{description: d, version: 1.0.0, requirements: [alpha]}}
"""

NOBODY = 65534


@dataclass(frozen=True)
class Machine:
    """What is wrong with a machine.

    Attributes:
        broken: Breaks it; given the folder with project/, home/ and cache/.
        says: What the error of a verb names; the others must work, or fail as on a sound machine.
        env: Variables that differ; ``{}`` stands for the folder, None unsets.
        works: Verbs that must succeed.
        unknown: Whether the user is in no list of users.
    """

    broken: Callable[[Path], object]
    says: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str | None] = field(default_factory=dict)
    works: Collection[str] = ()
    unknown: bool = False


def close(name: str, mode: int = 0) -> Callable[[Path], object]:
    return lambda folder: (folder / name).chmod(mode)


def file_at(name: str) -> Callable[[Path], object]:
    def put(folder: Path) -> None:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        (folder / name).write_text("in the way")

    return put


def new_requirement(folder: Path) -> None:
    """Let the lock be written anew into a folder that is read-only."""
    config = folder / "project/layers.yaml"
    config.write_text(config.read_text().replace("[alpha]", "[alpha<2]"))
    (folder / "project/locks").chmod(0o555)


def dangling_package(folder: Path) -> None:
    package = folder / "project/package"
    package.mkdir()
    (package / "backend.py").write_text("")
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "package"\nversion = "1.0"\n'
    )
    (package / "dangling.txt").symlink_to("nowhere.txt")
    config = folder / "project/layers.yaml"
    config.write_text(config.read_text().replace("[alpha]", "[alpha], packages: [package]"))


def home_read_only(folder: Path) -> None:
    shutil.rmtree(folder / "home")
    (folder / "home").mkdir(0o555)


def cache_read_only(folder: Path) -> None:
    shutil.rmtree(folder / "cache")
    (folder / "cache").mkdir(0o555)


def credentials_of_root(folder: Path) -> None:
    (folder / "home/.aws").mkdir()
    for name in ("config", "credentials"):
        (folder / "home/.aws" / name).write_text("[default]\n")
        (folder / "home/.aws" / name).chmod(0)


AWS = [
    *("publish plan", "verify", "cost", "gc", "promote demo 1.0.0 --yes", "rollback demo --yes"),
    *("yank demo 1.0.0 --reason broken --yes", "destroy --stage dev --yes"),
    *("session run --database d --input work.json", f"session stop {EXECUTION}"),
    "vectors verify --database d s3://bucket/vectors",
]
USING_CACHE = ("lock", "build --force", "weigh")
CACHE = dict.fromkeys(USING_CACHE, "the cache {}")
DIST = dict.fromkeys(
    ("build --force", "audit", "diff dist dist", "report", "why alpha", "sbom"), "dist"
)
CONFIGURED = dict.fromkeys(("plan", "lock", "build --force", "audit"), "layers.yaml")

WORKING = ("plan", "lock", "lock --check", "build --force", "audit", "weigh", "report")

MACHINES = {
    "sound": Machine(close("home", 0o755), works=WORKING),
    "home read-only": Machine(home_read_only, CACHE, {"LAYERSMITH_CACHE": None}),
    "home of root": Machine(close("home"), CACHE, {"LAYERSMITH_CACHE": None}),
    "home closed and cache elsewhere": Machine(close("home"), works=WORKING),
    "no home": Machine(
        close("home"),
        dict.fromkeys(("lock", "build --force", "doctor"), "no home"),
        {"LAYERSMITH_CACHE": None, "HOME": None},
        unknown=True,
    ),
    "path and pyenv of root": Machine(
        close("home"),
        works=WORKING,
        env={"PATH": "{}/home/bin:{}/home:PATH", "PYENV_ROOT": "{}/home"},
    ),
    "no program of the system": Machine(
        close("home", 0o755),
        {"release demo": "git cannot be started"},
        {"PATH": "{}/home/bin"},
        works=WORKING,
    ),
    "cache read-only": Machine(
        cache_read_only,
        {"lock": "the cache {}", "build --force": "the cache {}", "weigh": "the cache {}"},
    ),
    "cache a file": Machine(file_at("cache"), CACHE),
    "locks read-only": Machine(new_requirement, {"lock": "the folder of locks {}"}),
    "locks closed": Machine(
        close("project/locks"),
        dict.fromkeys(("lock", "lock --check", "build --force", "weigh"), "locks"),
    ),
    "locks a file": Machine(file_at("project/locks"), {"lock": "the folder of locks {}"}),
    "dist read-only": Machine(
        close("project/dist", 0o555), {"build --force": "the folder of artifacts {}"}
    ),
    "dist closed": Machine(close("project/dist"), DIST),
    "dist a file": Machine(
        file_at("project/dist"), {"build --force": "the folder of artifacts {}"}
    ),
    "configuration closed": Machine(close("project/layers.yaml"), CONFIGURED),
    "project closed": Machine(close("project", 0o311)),
    "no folder for temporary files": Machine(
        close("home", 0o755), works=WORKING, env={"TMPDIR": "{}/none"}
    ),
    "credentials of root": Machine(
        credentials_of_root,
        dict.fromkeys((*AWS, DEPLOY), "{}/home/.aws/credentials"),
        {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
    ),
    "templates closed": Machine(
        close("project/infra-templates"),
        dict.fromkeys((DEPLOY, "destroy --stage dev --yes"), "infra-templates"),
    ),
    "work closed": Machine(
        close("project/work.json"), {"session run --database d --input work.json": "work.json"}
    ),
    "vectors closed": Machine(
        close("project/vectors"), {"vectors list --database d vectors": "vectors"}
    ),
    "link to nothing in a package": Machine(dangling_package, {"lock": "dangling.txt"}),
}


@functools.cache
def as_user(unknown: bool = False) -> list[str]:
    """Return the command that starts Python as an ordinary user, the one that runs or another."""
    if os.geteuid():
        if unknown:
            pytest.skip("only root can start a process of a user that the system does not know")
        return [sys.executable]
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not here, and root may read and write everything")
    user = 54321 if unknown else NOBODY
    change = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    minor = sys.version_info.minor
    for python in (sys.executable, f"/usr/bin/python3.{minor}", f"/usr/local/bin/python3.{minor}"):
        # Root's own Python may lie where nobody else can follow the link to it.
        look = [python, "-c", "import os, sys; os.stat(os.path.realpath(sys.executable))"]
        done = subprocess.run([*change, *look], cwd="/", capture_output=True, check=False)
        if done.returncode == 0:
            return [*change, python]
    pytest.skip(f"no Python 3.{minor} that an ordinary user may start")


class Job(NamedTuple):
    """A verb on a machine."""

    words: list[str]
    folder: str
    """Where it is run."""
    env: dict[str, str]
    """Its whole environment."""


def job(verb: str, folder: Path, env: Mapping[str, str | None]) -> Job:
    """Return a verb on the machine in a folder, with variables that differ from a sound one's."""
    said: dict[str, str | None] = {
        "HOME": "{}/home",
        "LAYERSMITH_CACHE": "{}/cache",
        "UV_FIND_LINKS": "{}/index",
        "UV_PYTHON_DOWNLOADS": "never",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "DOCKER_HOST": "unix://{}/no.sock",
        "PATH": "PATH",
        **env,
    }
    placed = {
        name: value.replace("{}", str(folder)).replace("PATH", os.environ["PATH"])
        for name, value in said.items()
        if value is not None
    }
    return Job(verb.split(), str(folder / "project"), placed)


def run(jobs: list[Job], *, unknown: bool = False) -> list[tuple[int, str]]:
    """Run verbs as an ordinary user and return the exit code and all output of each, in order.

    All fork from one process, which has imported what they need.
    """
    done = subprocess.run(
        [*as_user(unknown), "-c", DRIVER, *cli.PACKAGES],
        input=json.dumps(jobs),
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": sysconfig.get_path("purelib")},
        capture_output=True,
        text=True,
        check=False,
        timeout=clocks.seconds(1200),
    )
    assert done.returncode == 0, done.stderr
    return [(code, text) for code, text in json.loads(done.stdout)]


def own(folder: Path) -> None:
    """Let the ordinary user own everything."""
    if os.geteuid() == 0:
        for place, _, names in os.walk(folder):
            for path in (Path(place), *(Path(place) / name for name in names)):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@pytest.fixture(scope="module")
def top() -> Iterator[Path]:
    """A folder that an ordinary user may enter; pytest's own is closed to others."""
    with tempfile.TemporaryDirectory(prefix="layersmith-machines-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def sound(top: Path) -> Path:
    """A project that is locked and built, with its home and cache."""
    folder = top / "sound-machine"
    for inner in ("project", "home", "cache", "index"):
        (folder / inner).mkdir(parents=True)
    (folder / "project/layers.yaml").write_text(CONFIG)
    (folder / "project/uv.toml").write_text("no-index = true\n")
    (folder / "project/work.json").write_text("[]")
    (folder / "project/vectors").mkdir()
    for name in ("infra-templates", "lambdas"):
        shutil.copytree(cli.ROOT / name, folder / "project" / name)
    for version in ("1.0", "2.0"):
        wheels.make(folder / "index", "alpha", {"alpha/__init__.py": b""}, version=version)
    own(folder)
    for verb in ("lock", "build"):
        ((code, text),) = run([job(verb, folder, {})])
        assert code == 0, text
    return folder


def broken(name: str, sound: Path) -> Path:
    """Return the folder of a machine that is broken in a way."""
    folder = sound.with_name(name.replace(" ", "-"))
    shutil.copytree(sound, folder, symlinks=True)
    own(folder)
    MACHINES[name].broken(folder)
    return folder


Answers = dict[str, dict[str, tuple[int, str]]]


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, str]]:
    """What leads a verb to an account in which there is nothing."""
    with served() as server:
        yield {"AWS_ENDPOINT_URL": server.url}


@pytest.fixture(scope="module")
def answers(sound: Path, aws: dict[str, str], request: pytest.FixtureRequest) -> Answers:
    """What verbs say on every machine whose user the system knows.

    They are those of which the table says something, and all on the sound machine. Every verb on
    every machine takes minutes, and is exhaustive.
    """
    names = [name for name, machine in MACHINES.items() if not machine.unknown]
    folders = {name: broken(name, sound) for name in names}
    everything = "exhaustive" in request.config.getoption("markexpr")
    tried = {
        name: [
            verb
            for verb in VERBS
            if everything or name == "sound" or verb in {*MACHINES[name].says, *WORKING}
        ]
        for name in names
    }
    jobs = [
        job(verb, folders[name], {**aws, **MACHINES[name].env})
        for name in names
        for verb in tried[name]
    ]
    said = iter(run(jobs))
    return {name: {verb: next(said) for verb in tried[name]} for name in names}


def test_the_table_has_every_verb() -> None:
    names = {one.name for one in pkgutil.iter_modules([str(cli.ROOT / "build/layersmith/verbs")])}
    assert {verb.split()[0] for verb in VERBS} == names - {"options"}


KNOWN = [name for name, one in MACHINES.items() if not one.unknown]


@pytest.mark.parametrize("name", KNOWN)
def test_verbs_on_a_broken_machine(name: str, answers: Answers, top: Path) -> None:
    judge(MACHINES[name], answers[name], top / name.replace(" ", "-"))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", KNOWN)
def test_every_verb_on_a_broken_machine(name: str, answers: Answers, top: Path) -> None:
    assert answers[name].keys() == {*VERBS}
    judge(MACHINES[name], answers[name], top / name.replace(" ", "-"))


def test_every_verb_for_a_user_without_a_home(sound: Path, aws: dict[str, str]) -> None:
    name = "no home"
    folder, machine = broken(name, sound), MACHINES[name]
    env = {**aws, **machine.env}
    said = run([job(verb, folder, env) for verb in VERBS], unknown=True)
    judge(machine, dict(zip(VERBS, said, strict=True)), folder)


def judge(machine: Machine, answers: Mapping[str, tuple[int, str]], folder: Path) -> None:
    for verb, (code, text) in answers.items():
        assert "Traceback" not in text, f"{verb}: {text}"
        assert code in {0, *range(2, 10)}, f"{verb}: {code}: {text}"
        if expected := machine.says.get(verb):
            assert code, f"{verb}: {text}"
            assert expected.replace("{}", str(folder)) in text, f"{verb}: {text}"
        elif verb in machine.works:
            assert code == 0, f"{verb}: {text}"


@pytest.fixture
def full(sound: Path) -> Iterator[Path]:
    """A machine whose cache lies on a disk of its own without a free byte."""
    folder = sound.with_name("full")
    shutil.copytree(sound, folder, symlinks=True)
    own(folder)
    disk = folder / "cache"
    mount = ["mount", "-t", "tmpfs", "-o", f"size=64k,uid={NOBODY},mode=755", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk, and not in every container")
    try:
        with (disk / "filler").open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while stream.write(bytes(4096)):
                pass
        yield folder
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_named_as_the_cache(full: Path) -> None:
    verbs = ("lock", "build --force", "weigh")
    for verb, (code, text) in zip(verbs, run([job(v, full, {}) for v in verbs]), strict=True):
        assert f"the disk is full: the cache {full}/cache" in text, f"{verb}: {text}"
        assert "set LAYERSMITH_CACHE" in text
        assert code in {3, 4, 5}
    assert not list((full / "cache").rglob("*.part"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("words", [["completion", "bash"], ["completion", "bash", "--json"]])
def test_results_that_go_to_a_full_disk(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            cli.argv(*words), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 3
    assert done.stderr.startswith("error: the disk is full")
    assert "Traceback" not in done.stderr


def test_a_working_directory_that_was_removed(tmp_path: Path) -> None:
    script = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, *cli.argv("plan")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "the working directory" in done.stderr
    assert "Traceback" not in done.stderr
