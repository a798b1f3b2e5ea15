"""The tool as people install it: without any package, with the core, from another folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from layersmith import __version__, extras
from layersmith.base import uv
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
ENTRY = ROOT / "build" / "layers.py"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LAYERS_YAML = """\
layers:
  demo:
    description: nothing but itself
    version: 1.0.0
    license: MIT
    runtimes: [python3.13]
    architectures: [arm64, x86_64]
    packages: [lib]
  other:
    description: nothing but itself
    version: 1.0.0
    license: MIT
    runtimes: [python3.13]
    architectures: [arm64]
    packages: [lib]
"""


def run(*argv: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
    return subprocess.run(
        argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter without any package."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run(uv.program(), "build", "--quiet", "--wheel", "--out-dir", folder, ROOT)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment with the wheel and its core dependencies."""
    folder = tmp_path_factory.mktemp("core")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    # The versions that are tested here, so that nothing newer has to be fetched.
    pins = [f"{name}=={metadata.version(name)}" for name in core()]
    done = run(uv.program(), "pip", "install", "--quiet", "--python", python, wheel, *pins)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def test_the_wheel_brings_the_plugin_for_handlers_and_what_vectors_imports(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [entry] = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
        assert "[pytest11]\nvectors = vector_common.testing" in archive.read(entry).decode()
    for module in ("vector_common/testing", "chroma_supervisor/local", "chroma_store/storage"):
        assert f"{module}.py" in names


def core() -> list[str]:
    return [Requirement(text).name for text in PROJECT["dependencies"]]


@pytest.mark.parametrize("words", [["plan"], ["plan", "--help"], ["smoke"], ["publish", "plan"]])
def test_without_any_package_it_says_what_to_install(bare: Path, words: list[str]) -> None:
    done = run(bare, ENTRY, *words)
    assert done.returncode == 3
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) <= 3
    assert f"`{words[0]}` needs the package" in done.stderr
    assert f"nox -s {words[0]}" in done.stderr
    assert "pip install" in done.stderr


def test_without_any_package_json_and_the_overview_work(bare: Path) -> None:
    found = json.loads(run(bare, ENTRY, "plan", "--json").stdout)
    assert [(error["code"], error["kind"]) for error in found["errors"]] == [(3, "setup")]
    assert run(bare, ENTRY, "--version").stdout == f"layersmith {__version__}\n"
    assert "exit codes" in run(bare, ENTRY, "--help").stdout


def test_without_any_package_the_doctor_says_all_of_it(bare: Path) -> None:
    done = run(bare, ENTRY, "doctor", "--json")
    assert done.returncode == 3, done.stderr
    checks = {one["name"]: one for one in json.loads(done.stdout)["data"]["checks"]}
    assert checks["Python"]["state"] == "ok"
    assert checks["packages"]["state"] == "missing"
    assert "pydantic" in checks["packages"]["detail"]
    for extra in PROJECT["optional-dependencies"]:
        assert checks[f"extra {extra}"]["state"] == "warn"
        assert f".[{extra}]" in checks[f"extra {extra}"]["next"]


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["smoke"], "prove"),
        (["publish", "plan"], "ship"),
        (["deploy", "--stage", "dev"], "ship"),
        (["report"], "report"),
        (["vectors", "list", "store", "--database", "db"], "vectors"),
    ],
)
def test_a_missing_extra_is_named_with_its_command(
    installed: Path, words: list[str], extra: str
) -> None:
    done = run(installed / "layersmith", *words, cwd=ROOT)
    assert done.returncode == 3, done.stderr
    assert f'next: pip install "layersmith[{extra}] @ file://' in done.stderr
    assert "Traceback" not in done.stderr


def test_the_installed_tool_is_the_same_program(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "layersmith", "--version").stdout == f"layersmith {__version__}\n"
    called = run(installed / "layersmith", "plan", "--help").stdout
    assert "layersmith plan --matrix" in called
    assert "build/layers.py" not in called
    here = run(installed / "layersmith", "plan", cwd=ROOT)
    assert here.returncode == 0, here.stderr
    assert here.stdout == run(sys.executable, ENTRY, "plan", cwd=ROOT).stdout


def test_the_wheel_holds_all_files_of_its_packages(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    for folder in (
        "build/layersmith",
        "fargate/chroma/chroma_store",
        "lambdas/common/src/vector_common",
    ):
        package = ROOT / folder
        files = [path for path in package.rglob("*") if path.is_file()]
        wanted = {
            str(path.relative_to(package.parent))
            for path in files
            if "__pycache__" not in path.parts
        }
        assert wanted <= held
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in held)


def test_the_nearest_layers_yaml_is_used_from_below(installed: Path, tmp_path: Path) -> None:
    project, below = tmp_path / "project", tmp_path / "project" / "src" / "deep"
    package = project / "lib" / "src" / "demo_lib"
    for folder in (below, package):
        folder.mkdir(parents=True)
    (project / "layers.yaml").write_text(LAYERS_YAML)
    (package / "__init__.py").write_text("NAME = 'demo'\n")
    (project / "lib" / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "demo-lib"\nversion = "1.0"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["src/demo_lib"]\n'
    )
    tool = installed / "layersmith"
    for words in (["lock", "demo", "--arch", "arm64"], ["build", "demo", "--arch", "arm64"]):
        done = run(tool, *words, cwd=below)
        assert done.returncode == 0, done.stderr
    stem = "demo-1.0.0-python3.13-arm64"
    assert (project / "dist" / f"{stem}.zip").is_file()
    assert [path.name for path in (project / "locks").iterdir()] == ["demo-python3.13-arm64.txt"]
    assert list(below.iterdir()) == []
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    config = ["--config", "../project/layers.yaml"]
    done = run(tool, "audit", "demo", "--arch", "arm64", *config, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    done = run(tool, "build", "demo", "--arch", "arm64", *config, "--dist", "out", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in elsewhere.iterdir()] == ["out"]
    assert (elsewhere / "out" / f"{stem}.zip").is_file()


def test_every_dependency_is_known_by_the_names_of_its_modules() -> None:
    modules: dict[str, set[str]] = {}
    for module, distributions in metadata.packages_distributions().items():
        for name in distributions:
            modules.setdefault(name.lower().replace("_", "-"), set()).add(module)
    lists = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    assert set(lists) == set(extras.MODULES)
    for extra, dependencies in lists.items():
        for text in dependencies:
            name = Requirement(text).name.lower()
            assert modules[name] & set(extras.MODULES[extra]), name


def test_the_locked_tools_are_the_core_dependencies() -> None:
    locked = (ROOT / "locks" / "tools.txt").read_text("utf-8")
    asked = locked.count("via layersmith (pyproject.toml)") + locked.count("#   layersmith (")
    assert asked == len(core())
    for name in core():
        assert f"\n{name}==" in f"\n{locked}", name
