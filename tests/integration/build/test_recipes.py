"""Recipes through the command line: what they change in a layer, and how they are proven."""

from __future__ import annotations

import json
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import cli, wheels
from tests.support.envelopes import data_of

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Project

CONFIG = """\
recipe-folder: recipes
defaults: {runtimes: ["python3.11"]}
layers:
  demo:
    description: a layer for tests
    version: 1.0.0
    requirements: [numbers-lib]
    recipes: all
  other:
    description: another one
    version: 1.0.0
    requirements: [other]
"""
RECIPE = """\
versions = ">=1,<2"
source = ["its sources"]

[optional]
"numbers_lib.gui" = "needs a screen"
"numbers_lib.terminal" = "needs a terminal"

[environment]
NUMBERS_HOME = { value = "/tmp/numbers", reason = "its default cannot be written" }

[prune]
"numbers_lib/fft.py" = "no Fourier transforms"

[stubs.slow-checks]
path = "stubs/slow"
reason = "nothing is checked"

[proof]
requirements = ["numbers-lib"]
snippet = '''
import numbers_lib
import slow_checks

assert slow_checks.check(1) == 1
print(numbers_lib.double(4))
'''
"""
NUMBERS = {
    "numbers_lib/__init__.py": b"def double(x):\n    return 2 * x\n",
    "numbers_lib/fft.py": b"# " + bytes(range(97, 123)) * 400 + b"\n",
    "numbers_lib/gui.py": b"import screen\n",
    "numbers_lib/terminal.py": b"raise OSError('needs a terminal')\n",
}
SLOW = {"slow_checks.py": b"def check(x):\n    return x\n" + b"# slow\n" * 500}
STEM = "demo-1.0.0-python3.11-arm64"


@pytest.fixture
def proving(team: Project, client: list[Path]) -> Project:
    """The project on a machine that has started layers before."""
    team.know(client)
    return team


@pytest.fixture
def team(project: Project, tmp_path: Path) -> Project:
    """A project with a recipe of its own, and an index that is a folder."""
    project.apart = True
    (project.root / "recipes" / "stubs" / "slow").mkdir(parents=True)
    (project.root / "recipes" / "numbers-lib.toml").write_text(RECIPE)
    stub = project.root / "recipes" / "stubs" / "slow" / "slow_checks.py"
    stub.write_text("def check(x):\n    return x\n")
    offered = tmp_path / "offered"
    offered.mkdir()
    wheels.make(offered, "numbers_lib", NUMBERS, requires=["slow-checks"])
    wheels.make(offered, "slow_checks", SLOW)
    wheels.make(offered, "other", {"other.py": b"x = 1\n"})
    project.offer(offered)
    project.write(CONFIG)
    project.run("lock")
    return project


def statuses(found: list[dict[str, Any]]) -> dict[str, str]:
    return {one["target"].split("-")[0]: one["status"] for one in found}


def test_a_layer_takes_what_a_recipe_knows_and_says_so(team: Project) -> None:
    done = team.run("build")
    said = " ".join(done.stderr.split())
    assert "recipe of numbers-lib, not in the layer: slow-checks (nothing is checked)" in said
    assert "no Fourier transforms" in said
    assert "set NUMBERS_HOME=/tmp/numbers on its functions" in said
    with zipfile.ZipFile(team.dist / f"{STEM}.zip") as archive:
        names = set(archive.namelist())
        assert archive.read("python/slow_checks.py") == b"def check(x):\n    return x\n"
    assert "python/numbers_lib/fft.py" not in names
    (use,) = json.loads((team.dist / f"{STEM}.json").read_text())["recipes"]
    assert use["name"] == "numbers-lib"
    assert use["team"]
    assert use["taken"]
    assert use["stubs"] == {"slow-checks": "nothing is checked"}
    assert set(use["optional"]) == {"numbers_lib.gui", "numbers_lib.terminal"}


def test_a_recipe_leaves_out_the_sources_of_its_distribution(team: Project) -> None:
    only = '[bytecode]\noptimize = 2\nreason = "no source lines"\n\n[proof]'
    (team.root / "recipes" / "numbers-lib.toml").write_text(RECIPE.replace("[proof]", only))
    runtime = f"python3.{sys.version_info[1]}"
    config = CONFIG.replace("python3.11", runtime)
    team.write(config)
    team.run("lock")
    said = " ".join(team.run("build", "demo").stderr.split())
    zipped = team.dist / f"demo-1.0.0-{runtime}-arm64.zip"
    with zipfile.ZipFile(zipped) as archive:
        names = set(archive.namelist())
    assert "sources (no source lines)" in said
    assert "python/numbers_lib/__init__.pyc" in names
    assert "python/numbers_lib/__init__.py" not in names
    assert "python/slow_checks.py" in names

    team.write(config.replace("recipes: all", "recipes: all\n    bytecode: unchecked-hash"))
    team.run("build", "demo")
    with zipfile.ZipFile(zipped) as archive:
        assert "python/numbers_lib/__init__.py" in archive.namelist()


def test_without_the_key_only_what_costs_nothing_applies(team: Project) -> None:
    team.write(CONFIG.replace("    recipes: all\n", ""))
    team.build()
    with zipfile.ZipFile(team.dist / f"{STEM}.zip") as archive:
        assert "python/numbers_lib/fft.py" in archive.namelist()
        assert b"# slow" in archive.read("python/slow_checks.py")
    (use,) = json.loads((team.dist / f"{STEM}.json").read_text())["recipes"]
    assert not use["taken"]
    assert use["environment"]["NUMBERS_HOME"]["value"] == "/tmp/numbers"


def test_a_changed_recipe_or_stub_builds_only_layers_with_the_distribution(team: Project) -> None:
    assert statuses(team.build()) == {"demo": "built", "other": "built"}
    assert statuses(team.build()) == {"demo": "unchanged", "other": "unchanged"}
    recipe = team.root / "recipes" / "numbers-lib.toml"
    recipe.write_text(RECIPE.replace("no Fourier transforms", "no spectra"))
    assert statuses(team.build()) == {"demo": "built", "other": "unchanged"}
    (team.root / "recipes" / "stubs" / "slow" / "slow_checks.py").write_text("check = int\n")
    assert statuses(team.build()) == {"demo": "built", "other": "unchanged"}


def test_a_recipe_that_does_not_fit_any_more_warns(team: Project) -> None:
    recipe = team.root / "recipes" / "numbers-lib.toml"
    recipe.write_text(RECIPE.replace('">=1,<2"', '">=2"'))
    done = team.run("build", "demo")
    assert "the recipe of numbers-lib is not applied: 1.0 is locked" in " ".join(
        done.stderr.split()
    )
    recipe.write_text(RECIPE.replace("[prune]\n", '[prune]\n"numbers_lib/gone/" = "nothing"\n'))
    done = team.run("build", "demo")
    assert "names numbers_lib/gone/, which matches no file" in " ".join(done.stderr.split())


def test_a_recipe_that_is_not_there_is_refused_with_its_line(team: Project) -> None:
    team.write(CONFIG.replace("recipes: all", "recipes: [number-lib]"))
    done = team.run("build", check=2)
    assert "layers.yaml:8:15: recipes: there is no recipe for number-lib" in done.stderr
    assert "did you mean numbers-lib?" in done.stderr


def check(proving: Project, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    """Prove the team's recipe on this machine's own Python."""
    runtime = f"python3.{sys.version_info[1]}"
    options = ("--runtime", runtime, "--starts", "0", "--json")
    done = proving.run("recipe", "check", "numbers-lib", *options, *words, check=None)
    return done.returncode, data_of(done.stdout), done.stderr + done.stdout


def test_check_builds_plain_and_thin_and_compares_the_answers(proving: Project) -> None:
    code, (found,), _ = check(proving)
    assert code == 0
    assert found["plain"]["answer"] == found["thin"]["answer"] == "8\n"
    assert found["thin"]["zipped"] < found["plain"]["zipped"]
    assert not list((proving.root / "dist").glob("layersmith-recipe-*"))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("print(numbers_lib.double(4))", "import numbers_lib.fft", "fails in the thin layer"),
        ("print(numbers_lib.double(4))", "print(len(open(slow_checks.__file__).read()))", "prints"),
        ('">=1,<2"', '">=2"', "1.0 is locked"),
        ("numbers_lib/fft.py", "numbers_lib/nothing.py", "matches no file"),
        (
            '[proof]\nrequirements = ["numbers-lib"]',
            '[excludes]\nother = "not used"\n\n[proof]\nrequirements = ["numbers-lib", "other"]',
            "other stays in the layer",
        ),
        ('"numbers_lib.gui"', '"numbers_lib.gone"', "numbers_lib.gone matches no module"),
        ('"numbers_lib.gui"', '"slow_checks"', "slow_checks imports, with the recipe and without"),
        ('"numbers_lib.terminal"', '"numbers_lib.gui*"', "smoke of the thin layer: import numbers"),
    ],
)
def test_check_says_what_a_recipe_breaks(proving: Project, old: str, new: str, what: str) -> None:
    (proving.root / "recipes" / "numbers-lib.toml").write_text(RECIPE.replace(old, new))
    code, (found,), _ = check(proving)
    assert code == 8
    assert any(what in one for one in found["problems"])


def test_check_stores_what_it_measured(proving: Project) -> None:
    runtime = f"python3.{sys.version_info[1]}"
    words = ("recipe", "check", "numbers-lib", "--runtime", runtime, "--starts", "1", "--write")
    proving.run(*words)
    proving.run(*words)
    text = (proving.root / "recipes" / "numbers-lib.toml").read_text()
    assert text.startswith(RECIPE)
    assert text.count("[[measured]]") == 1
    assert 'version = "1.0"' in text
    shown = data_of(proving.run("recipe", "show", "numbers-lib", "--json").stdout)
    assert shown["measured"][0]["thin-zip"] < shown["measured"][0]["plain-zip"]


def test_draft_finds_what_is_optional_and_what_real_work_does_without(proving: Project) -> None:
    (proving.root / "recipes" / "numbers-lib.toml").unlink()
    work = proving.root / "work.py"
    work.write_text("import numbers_lib\nassert numbers_lib.double(2) == 4\n")
    runtime = f"python3.{sys.version_info[1]}"
    words = ("recipe", "draft", "numbers-lib", "--runtime", runtime, "--write")
    proving.run(*words, "--snippet", "work.py")
    shown = data_of(proving.run("recipe", "show", "numbers-lib", "--json").stdout)
    # What smoke knows to be optional by itself, such as the missing screen, is not repeated.
    assert shown["optional"] == {"numbers_lib.terminal": "OSError: needs a terminal"}
    assert set(shown["prune"]) == {"numbers_lib/fft.py"}
    assert shown["versions"] == ">=1.0,<2"
    assert "double(2)" in shown["proof"]["snippet"]
    again = proving.run(*words, check=2)
    assert "exists already" in again.stderr


def test_list_names_those_of_layersmith_and_of_the_team(team: Project) -> None:
    names = {one["name"] for one in data_of(team.run("recipe", "list", "--json").stdout)}
    assert {"numbers-lib", "numpy"} <= names
    done = cli.layers("recipe", "show", "nump", cwd=team.root)
    assert done.returncode == 2
    assert "did you mean numpy?" in done.stderr
