"""Builds of small projects through the command line, as a user would run them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from layersmith.base import uv

from tests.support import cli, wheels
from tests.support.envelopes import data_of

from .conftest import Project

CONFIG = """\
defaults:
  runtimes: ["python3.11"]
  architectures: [arm64]
layers:
  demo:
    description: a layer for tests
    version: 1.0.0
    requirements: [alpha]
"""

SOURCES = {
    "alpha/__init__.py": b"from alpha.core import double\n",
    "alpha/core.py": b"def double(x):\n    return 2 * x\n",
    "alpha/tests/test_core.py": b"assert True\n",
    "alpha/core.pyi": b"def double(x: int) -> int: ...\n",
}


@pytest.fixture
def demo(project: Project, tmp_path: Path) -> Project:
    project.write(CONFIG)
    project.lock(wheels.make(tmp_path, "alpha", SOURCES))
    return project


def names(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_a_build_writes_zip_manifest_and_sbom(demo: Project) -> None:
    (result,) = demo.build()
    assert result["status"] == "built"
    found = {path.name for path in demo.dist.iterdir()}
    ends = (".zip", ".json", ".cdx.json")
    named = {f"demo-1.0.0-python3.11-arm64{end}" for end in ends}
    assert found == {*named, "index.json", "latest"}
    inside = names(demo.dist / "demo-1.0.0-python3.11-arm64.zip")
    assert "python/alpha/core.py" in inside
    assert not any("tests" in name or name.endswith(".pyi") for name in inside)


def test_the_manifest_says_what_the_zip_holds(demo: Project) -> None:
    demo.build()
    path = demo.dist / "demo-1.0.0-python3.11-arm64.zip"
    manifest = json.loads(path.with_suffix(".json").read_text())
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename: info for info in archive.infolist()}
    assert {file["path"] for file in manifest["files"]} == set(infos)
    for file in manifest["files"]:
        assert (file["size"], file["zipped"]) == (
            infos[file["path"]].file_size,
            infos[file["path"]].compress_size,
        )
    assert manifest["artifact"]["unzipped"] == sum(info.file_size for info in infos.values())
    (alpha,) = manifest["distributions"]
    assert alpha["modules"] == ["alpha"]
    assert {rule["rule"] for rule in manifest["pruned"]} == {"tests", "type-stubs"}
    steps = manifest["steps"]
    assert list(steps) == ["collect", "prune", "strip", "bytecode"]
    left_out = sum(rule["unzipped"] for rule in manifest["pruned"])
    assert steps["collect"] - steps["prune"] == left_out
    compiled = sum(one["size"] for one in manifest["files"] if one["path"].endswith(".pyc"))
    assert steps["bytecode"] - steps["strip"] == compiled


@pytest.mark.needs("python3.11")
def test_what_is_imported_stays_and_documents_do_not_collide(
    project: Project, tmp_path: Path
) -> None:
    project.write(CONFIG)
    alpha = {
        "alpha/__init__.py": b"from alpha.docs import text\n",
        "alpha/docs/__init__.py": b"",
        "alpha/docs/text.py": b"import beta\n",
        "alpha/docs/conf.py": b"",
        "LICENSE": b"of alpha",
        "tests/__init__.py": b"'alpha'",
    }
    beta = {"beta.py": b"", "LICENSE": b"of beta", "tests/__init__.py": b"'beta'"}
    project.lock(wheels.make(tmp_path, "alpha", alpha), wheels.make(tmp_path, "beta", beta))
    project.build()
    path = project.dist / "demo-1.0.0-python3.11-arm64.zip"
    manifest = json.loads(path.with_suffix(".json").read_text())
    assert manifest["kept"] == [
        {
            "path": f"python/alpha/docs/{name}.py",
            "rule": "docs",
            "reason": f"alpha/__init__.py imports alpha.docs{end}",
        }
        for name, end in (("__init__", ""), ("text", ".text"))
    ]
    pruned = {rule["rule"]: rule["files"] for rule in manifest["pruned"]}
    assert pruned == {"collisions": 1, "docs": 1, "tests": 2}
    with zipfile.ZipFile(path) as archive:
        assert archive.read("python/LICENSE") == b"of alpha"
        record = archive.read("python/alpha-1.0.dist-info/RECORD").decode()
        assert "LICENSE," + wheels.digest(b"of alpha") + ",8\n" in record
        assert "LICENSE" not in archive.read("python/beta-1.0.dist-info/RECORD").decode()
    python = uv.interpreter(11, install=False)
    assert python
    # Python imports from a folder in a zip, too.
    subprocess.run([python, "-c", "import alpha"], env={"PYTHONPATH": f"{path}/python"}, check=True)


def test_record_lists_exactly_the_files_with_their_hashes(demo: Project) -> None:
    demo.build()
    with zipfile.ZipFile(demo.dist / "demo-1.0.0-python3.11-arm64.zip") as archive:
        rows = archive.read("python/alpha-1.0.dist-info/RECORD").decode().splitlines()
        listed = {row.split(",")[0]: row.split(",")[1] for row in rows}
        assert {f"python/{path}" for path in listed} == set(archive.namelist())
        for path, digest in listed.items():
            if digest:
                assert digest == wheels.digest(archive.read(f"python/{path}"))


@pytest.mark.needs("python3.11")
def test_the_bytecode_is_loaded_as_it_is(demo: Project, tmp_path: Path) -> None:
    demo.build()
    with zipfile.ZipFile(demo.dist / "demo-1.0.0-python3.11-arm64.zip") as archive:
        archive.extractall(tmp_path / "opt")
    # The source is damaged, so that only bytecode that is never compared with it can be imported.
    (tmp_path / "opt/python/alpha/core.py").write_text("raise SystemExit('compiled anew')\n")
    python = uv.interpreter(11, install=False)
    assert python
    code = "import alpha; print(alpha.double(21), alpha.core.__cached__)"
    done = subprocess.run(
        [python, "-B", "-c", code],
        env={"PYTHONPATH": str(tmp_path / "opt/python")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("42 ")
    assert "__pycache__/core.cpython-311.pyc" in done.stdout


@pytest.mark.needs("python3.11")
def test_bytecode_only_leaves_no_sources(demo: Project, tmp_path: Path) -> None:
    demo.write(CONFIG + "    bytecode: only\n")
    demo.build()
    inside = names(demo.dist / "demo-1.0.0-python3.11-arm64.zip")
    assert "python/alpha/core.pyc" in inside
    assert not any(name.endswith(".py") for name in inside)


def test_two_builds_elsewhere_write_the_same_bytes(demo: Project, tmp_path: Path) -> None:
    demo.build()
    other = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(demo.root, other, ignore=shutil.ignore_patterns("dist"))
    second = Project(other, tmp_path / "other-cache")
    shutil.copytree(demo.cache / "wheels", second.cache / "wheels")
    old = os.umask(0o077)
    try:
        second.build(TZ="Pacific/Auckland", SOURCE_DATE_EPOCH="1", PYTHONHASHSEED="7")
    finally:
        os.umask(old)
    assert second.zips() == demo.zips()
    for path in demo.dist.glob("*.json"):
        assert (second.dist / path.name).read_bytes() == path.read_bytes()


def test_a_second_run_does_nothing_and_a_deleted_dist_comes_from_the_cache(demo: Project) -> None:
    demo.build()
    before = demo.zips()
    assert demo.build()[0]["status"] == "unchanged"
    shutil.rmtree(demo.dist)
    assert demo.build()[0]["status"] == "cached"
    assert demo.zips() == before
    shutil.rmtree(demo.cache / "layers")
    shutil.rmtree(demo.dist)
    assert demo.build()[0]["status"] == "built"
    assert demo.zips() == before


def test_a_damaged_zip_is_replaced(demo: Project) -> None:
    demo.build()
    before = demo.zips()
    path = demo.dist / "demo-1.0.0-python3.11-arm64.zip"
    path.write_bytes(path.read_bytes()[:-10])
    assert demo.build()[0]["status"] == "cached"
    assert demo.zips() == before


def test_a_lock_that_no_longer_fits_is_refused(demo: Project) -> None:
    demo.write(CONFIG.replace("[alpha]", "[alpha, beta]"))
    done = demo.run("build", check=4)
    assert "no longer fits" in done.stderr
    assert "nox -s lock" in done.stderr


def test_a_wheel_whose_hash_differs_is_refused_and_not_kept(demo: Project) -> None:
    (stored,) = (demo.cache / "wheels").rglob("*.whl")
    stored.write_bytes(stored.read_bytes() + b"x")
    done = demo.run("build", check=5)
    assert "damaged in the cache" in done.stderr
    assert not stored.exists()


def test_over_budget_is_exit_code_7_with_the_biggest_and_nothing_is_left(
    demo: Project, tmp_path: Path
) -> None:
    demo.write(CONFIG + "    budgets: {unzipped: 100}\n")
    done = demo.run("build", check=7)
    assert "budget" in done.stderr
    assert "alpha" in done.stderr
    assert not list(demo.dist.glob("*.zip"))
    demo.write(CONFIG + "    budgets: {zipped: 100}\n")
    assert "zipped" in demo.run("build", check=7).stderr
    assert not list(demo.dist.glob("*"))


@pytest.mark.needs("python3.11")
def test_all_exceeded_budgets_are_in_one_report(demo: Project) -> None:
    demo.write(CONFIG + "    budgets:\n      unzipped: 900\n      arm64: {zipped: 1500}\n")
    done = demo.run("build", "--json", check=7)
    errors = json.loads(done.stdout)["errors"]
    assert [error["message"].split(",")[-1].split()[0] for error in errors] == ["budget"] * 2
    assert [(error["line"], error["column"]) for error in errors] == [(10, 7), (11, 15)]
    assert {error["file"] for error in errors} == {str(demo.root / "layers.yaml")}
    assert "over 2 limits" in done.stderr
    for named in ("budgets.unzipped (layers.yaml:10:7)", "budgets.zipped (layers.yaml:11:15)"):
        assert f"raise {named}" in done.stderr


def test_wheels_that_cannot_fit_are_refused_before_a_backend_runs(
    demo: Project, tmp_path: Path
) -> None:
    package = demo.root / "local"
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "local"\nversion = "1"\n'
    )
    (package / "backend.py").write_text(
        "def build_wheel(*_):\n    raise SystemExit('the backend ran')\n"
    )
    demo.write(CONFIG + "    packages: [local]\n")
    demo.lock(wheels.make(tmp_path, "alpha", {**SOURCES, "alpha/data": bytes(5000)}))
    assert "the backend ran" in demo.run("build", check=5).stderr
    demo.write(CONFIG + "    packages: [local]\n    budgets: {unzipped: 5kB}\n")
    done = demo.run("build", check=7)
    assert "at least" in done.stderr
    assert "the backend ran" not in done.stderr


@pytest.mark.needs("python3.11")
def test_the_table_and_the_json_show_the_bytes_of_bytecode(demo: Project) -> None:
    (result,) = demo.build()
    with zipfile.ZipFile(demo.dist / "demo-1.0.0-python3.11-arm64.zip") as archive:
        infos = [info for info in archive.infolist() if info.filename.endswith(".pyc")]
    assert result["bytecode"] == sum(info.file_size for info in infos) > 0
    assert f"{result['bytecode'] / 1e3:,.1f} kB" in demo.run("build").stdout


def test_what_the_runtime_provides_is_said_and_no_empty_layer_is_built(
    demo: Project, tmp_path: Path
) -> None:
    six = wheels.make(tmp_path, "six", {"six.py": b""}, version="1.17.0")
    demo.write(CONFIG.replace("[alpha]", "[alpha, six]"))
    demo.lock(wheels.make(tmp_path, "alpha", SOURCES), six)
    assert "six stays out of the layer: python3.11 provides 1.17.0" in demo.run("build").stderr
    demo.write(CONFIG.replace("[alpha]", "[six]"))
    demo.lock(six)
    assert "nothing is left in the layer" in demo.run("build", check=5).stderr


def test_growth_is_judged_against_the_last_release(demo: Project, tmp_path: Path) -> None:
    demo.build()
    baseline = tmp_path / "release"
    shutil.copytree(demo.dist, baseline)
    demo.write(CONFIG.replace("1.0.0", "1.1.0") + "    budgets: {growth: 10%}\n")
    big = {**SOURCES, "alpha/data.bin": os.urandom(4000)}
    demo.lock(wheels.make(tmp_path, "alpha", big))
    done = demo.run("build", "--baseline", str(baseline), check=7)
    assert "grew from" in done.stderr
    assert "alpha" in done.stderr
    done = demo.run("build", "--baseline", str(tmp_path / "relaese"))
    assert "budgets.growth is not judged: no manifest of it is in" in done.stderr
    demo.build()


def test_a_history_that_does_not_exist_is_named(demo: Project, tmp_path: Path) -> None:
    demo.build()
    done = demo.run("report", "--history", str(tmp_path / "relaese"))
    assert "relaese does not exist: nothing is compared with it" in done.stderr


def test_two_distributions_that_own_one_file_are_refused(project: Project, tmp_path: Path) -> None:
    project.write(CONFIG.replace("[alpha]", "[alpha, beta]"))
    project.lock(
        wheels.make(tmp_path, "alpha", {"same/a.py": b"1\n"}),
        wheels.make(tmp_path, "beta", {"same/a.py": b"2\n"}),
    )
    done = project.run("build", check=5)
    assert "belongs to both alpha and beta" in done.stderr


def test_what_the_runtime_provides_and_excludes_stay_out(project: Project, tmp_path: Path) -> None:
    project.write(
        CONFIG.replace("[alpha]", "[alpha, boto3, gamma]")
        + "    excludes: {gamma: not needed here}\n"
    )
    project.lock(
        wheels.make(tmp_path, "alpha", SOURCES),
        wheels.make(tmp_path, "boto3", {"boto3/__init__.py": b""}),
        wheels.make(tmp_path, "gamma", {"gamma.py": b""}),
    )
    project.build()
    inside = names(project.dist / "demo-1.0.0-python3.11-arm64.zip")
    assert not any("boto3" in name or "gamma" in name for name in inside)
    manifest = json.loads((project.dist / "demo-1.0.0-python3.11-arm64.json").read_text())
    assert {one["name"]: one["reason"] for one in manifest["dropped"]} == {
        "boto3": "provided by the runtime",
        "gamma": "not needed here",
    }


def test_a_stub_takes_the_place_of_a_distribution(project: Project, tmp_path: Path) -> None:
    stub = project.root / "stubs" / "beta"
    stub.mkdir(parents=True)
    (stub / "beta.py").write_text("REAL = False\n")
    project.write(
        CONFIG.replace("[alpha]", "[alpha, beta]")
        + "    stubs: {beta: {path: stubs/beta, reason: never used here}}\n"
    )
    project.lock(
        wheels.make(tmp_path, "alpha", SOURCES),
        wheels.make(tmp_path, "beta", {"beta.py": b"REAL = True\n"}, version="2.1"),
    )
    project.build()
    with zipfile.ZipFile(project.dist / "demo-1.0.0-python3.11-arm64.zip") as archive:
        assert archive.read("python/beta.py") == b"REAL = False\n"
        assert b"Version: 2.1+stub" in archive.read("python/beta-2.1+stub.dist-info/METADATA")
    manifest = json.loads((project.dist / "demo-1.0.0-python3.11-arm64.json").read_text())
    assert {d["name"]: d["origin"] for d in manifest["distributions"]}["beta"] == "stub"


def test_one_failing_target_does_not_stop_the_others(project: Project, tmp_path: Path) -> None:
    project.write(
        CONFIG
        + """\
  small:
    description: over its budget
    version: 1.0.0
    requirements: [alpha]
    budgets: {unzipped: 10}
"""
    )
    project.lock(wheels.make(tmp_path, "alpha", SOURCES))
    done = project.run("build", "--json", check=7)
    results = {one["target"]: one for one in data_of(done.stdout)}
    assert results["demo-python3.11-arm64"]["status"] == "built"
    assert results["small-python3.11-arm64"]["exit_code"] == 7


def test_a_file_that_cannot_be_had_fails_its_target_alone(project: Project, tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.mkdir()
    alpha = wheels.make(index, "alpha", SOURCES)
    beta = wheels.make(index, "beta", {"beta.py": b""})
    project.write(
        CONFIG
        + """\
  other:
    description: needs what is gone
    version: 1.0.0
    requirements: [beta]
"""
    )
    project.run("lock", UV_FIND_LINKS=str(index), UV_NO_INDEX="1")
    shutil.rmtree(project.cache / "wheels", ignore_errors=True)
    beta.write_bytes(alpha.read_bytes())
    done = project.run("build", "--json", check=5, UV_FIND_LINKS=str(index), UV_NO_INDEX="1")
    results = {one["target"]: one for one in data_of(done.stdout)}
    assert results["demo-python3.11-arm64"]["status"] == "built"
    assert "another hash than its lock" in results["other-python3.11-arm64"]["error"]
    beta.unlink()
    done = project.run("build", "--json", check=5, UV_FIND_LINKS=str(index), UV_NO_INDEX="1")
    assert "could not be downloaded" in data_of(done.stdout)[1]["error"]


def test_a_read_only_dist_is_named(demo: Project) -> None:
    demo.dist.mkdir()
    demo.dist.chmod(0o555)
    # Root may write to any folder, but nobody makes one in sysfs.
    folder = demo.dist if os.geteuid() else Path("/sys/layersmith")
    done = demo.run("build", "--dist", str(folder), check=5)
    assert f"the folder of artifacts {folder} cannot be used" in done.stderr
    assert "--dist" in done.stderr


def test_a_dist_that_is_a_file_is_named(demo: Project) -> None:
    demo.dist.write_text("in the way")
    done = demo.run("build", check=5)
    assert f"the folder of artifacts {demo.dist} cannot be used" in done.stderr


def test_a_full_disk_is_named_and_leaves_nothing(demo: Project, tmp_path: Path) -> None:
    script = tmp_path / "full.py"
    script.write_text(
        "import errno, shutil, sys\n"
        f"sys.path.insert(0, {str(cli.ROOT / 'build')!r})\n"
        "def full(*args): raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "shutil.copyfileobj = full\n"
        "from layersmith.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = demo.run("build", script=script, check=5)
    assert f"the disk is full: the folder of artifacts {demo.dist}" in done.stderr
    assert not [path for path in demo.dist.rglob("*") if path.is_file()]
    demo.build()


KILLER = """\
import os, pathlib, signal, sys
sys.path.insert(0, {build!r})
count, replace = 0, pathlib.Path.replace
def counted(self, target):
    global count
    count += 1
    if count == int(os.environ["KILL_AT"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
pathlib.Path.replace = counted
from layersmith.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_killed_before_any_rename_the_next_run_is_right(demo: Project, tmp_path: Path) -> None:
    texts = [CONFIG, f"{CONFIG}    bytecode: none\n"]
    expected = []
    for text in texts:
        demo.write(text)
        demo.build()
        expected.append(demo.zips())
    script = tmp_path / "killer.py"
    script.write_text(KILLER.format(build=str(cli.ROOT / "build")))
    for kill_at in range(1, 30):
        if kill_at == 1:
            shutil.rmtree(demo.dist)
        demo.write(texts[kill_at % 2])  # otherwise dist/ holds what the other one makes
        for section in ("layers", "bytecode"):
            shutil.rmtree(demo.cache / section, ignore_errors=True)
        done = demo.run("build", script=script, check=None, KILL_AT=str(kill_at))
        demo.listed()
        if done.returncode == 0:
            break
        assert done.returncode == -9
        for path in demo.dist.rglob("*.zip"):
            assert zipfile.ZipFile(path).testzip() is None
        demo.build()
        assert demo.zips() == expected[kill_at % 2]
        assert set(demo.listed()) == set(demo.zips())
    else:
        pytest.fail("the build renames more often than was tried")
    assert kill_at > 8


def test_two_builds_at_once(demo: Project) -> None:
    command = cli.argv("build", "--json")
    env = {**os.environ, "LAYERSMITH_CACHE": str(demo.cache)}
    running = [
        subprocess.Popen(command, cwd=demo.root, env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for one in running:
        one.communicate()
        assert one.returncode == 0
    (path,) = demo.dist.glob("*.zip")
    assert zipfile.ZipFile(path).testzip() is None
    assert demo.build()[0]["status"] == "unchanged"
    assert set(demo.listed()) == {path.name}
    assert not demo.leftovers()


TWO = f"""\
{CONFIG}  other:
    description: another one
    version: 1.0.0
    requirements: [alpha]
"""


def test_the_index_and_the_names_without_versions_are_true(
    project: Project, tmp_path: Path
) -> None:
    wheel = wheels.make(tmp_path, "alpha", SOURCES)
    project.write(TWO)
    project.lock(wheel)
    project.build()
    demo, other = (f"{name}-1.0.0-python3.11-arm64.zip" for name in ("demo", "other"))
    latest = project.dist / "latest/demo-python3.11-arm64.zip"
    assert set(project.listed()) == {demo, other}
    assert latest.samefile(project.dist / demo)

    # One target of a new version: the others stay what they were.
    project.write(TWO.replace("1.0.0", "1.1.0"))
    project.lock(wheel)
    project.build("demo")
    newer = demo.replace("1.0.0", "1.1.0")
    assert set(project.listed()) == {newer, other}
    assert latest.read_bytes() == (project.dist / newer).read_bytes()

    # An index that is damaged, and files that are gone.
    (project.dist / "index.json").write_text("{")
    latest.unlink()
    project.write(TWO)
    project.lock(wheel)
    project.build("demo")
    assert set(project.listed()) == {demo, other}
    (project.dist / other).unlink()
    project.build("demo")
    assert set(project.listed()) == {demo}
    project.build()
    assert set(project.listed()) == {demo, other}

    # A layer that layers.yaml no longer has.
    project.write(CONFIG)
    project.build()
    assert set(project.listed()) == {demo}
    assert (project.dist / other).is_file()


def test_where_files_have_no_second_names_they_are_copied(demo: Project, tmp_path: Path) -> None:
    script = tmp_path / "copies.py"
    script.write_text(
        "import errno, os, sys\n"
        f"sys.path.insert(0, {str(cli.ROOT / 'build')!r})\n"
        "def refused(*args, **kwargs): raise OSError(errno.EPERM, 'Operation not permitted')\n"
        "os.link = refused\n"
        "from layersmith.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    demo.build(script=script)
    (entry,) = demo.listed().values()
    paths = [demo.dist / entry[key] for key in ("file", "latest")]
    assert not paths[0].samefile(paths[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    before = paths[1].stat().st_mtime_ns
    demo.build(script=script)
    assert paths[1].stat().st_mtime_ns == before
    assert not demo.leftovers()


def test_a_local_package_is_built_through_its_own_pyproject(project: Project) -> None:
    package = project.root / "common"
    (package / "src" / "common").mkdir(parents=True)
    (package / "src" / "common" / "__init__.py").write_text("NAME = 'common'\n")
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "common"\nversion = "0.3"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["src/common"]\n'
    )
    project.write(CONFIG.replace("requirements: [alpha]", "packages: [common]"))
    project.lock()
    project.build()
    inside = names(project.dist / "demo-1.0.0-python3.11-arm64.zip")
    assert "python/common/__init__.py" in inside
    (package / "src" / "common" / "__init__.py").write_text("NAME = 'changed'\n")
    assert project.build()[0]["status"] == "built"


def test_a_local_package_that_does_not_build_shows_why(project: Project) -> None:
    package = project.root / "common"
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "common"\nversion = "0.3"\n'
    )
    project.write(CONFIG.replace("requirements: [alpha]", "packages: [common]"))
    project.lock()
    done = project.run("build", check=5)
    assert "local package common does not build" in done.stderr
    assert "Unable to determine which files to ship" in done.stderr


def test_build_steps_see_no_credentials(project: Project) -> None:
    package = project.root / "common"
    package.mkdir()
    (package / "common.py").write_text("")
    (package / "backend.py").write_text(
        "import os\n"
        "from setuptools.build_meta import *\n"
        "harmless = {'AWS_CA_BUNDLE'}\n"
        "names = set(os.environ) - harmless\n"
        "leaked = [k for k in names if k.startswith('AWS_') or 'TOKEN' in k]\n"
        "assert not leaked, leaked\n"
    )
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "backend"\n'
        'backend-path = ["."]\n[project]\nname = "common"\nversion = "0.3"\n'
        '[tool.setuptools]\npy-modules = ["common"]\n'
    )
    project.write(CONFIG.replace("requirements: [alpha]", "packages: [common]"))
    project.lock()
    project.build(AWS_SECRET_ACCESS_KEY="secret", AWS_SESSION_TOKEN="t", GITHUB_TOKEN="t")


def test_the_sbom_is_valid_cyclonedx(demo: Project) -> None:
    if importlib.util.find_spec("cyclonedx") is None:
        pytest.fail("cyclonedx-python-lib is in the test group")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    demo.build()
    text = (demo.dist / "demo-1.0.0-python3.11-arm64.cdx.json").read_text()
    problems = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert problems is None, problems


def test_sboms_inside_wheels_are_merged_and_broken_ones_named(
    demo: Project, tmp_path: Path
) -> None:
    folder = "alpha-1.0.dist-info/sboms"
    webp = {"type": "library", "name": "libwebp", "purl": "pkg:generic/libwebp@1.6.0"}
    bill = json.dumps({"bomFormat": "CycloneDX", "components": [webp]}).encode()
    made = {f"{folder}/a.cdx.json": bill, f"{folder}/b.cdx.json": b"{"}
    demo.lock(wheels.make(tmp_path, "alpha", {**SOURCES, **made}))
    said = demo.run("build").stderr
    assert "demo-python3.11-arm64: the SBOM inside alpha 1.0: b.cdx.json is not valid" in said
    found = json.loads((demo.dist / "demo-1.0.0-python3.11-arm64.cdx.json").read_text())
    (component,) = found["components"][0]["components"]
    assert component["purl"] == webp["purl"]
