"""What every verb prints with --json, when it succeeds and when it fails."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import cli, console
from layersmith.errors import BuildError, ConfigError, LayersmithError, ManyErrors

from tests.support.envelopes import envelope_of, validator

if TYPE_CHECKING:
    import argparse

ROOT = Path(__file__).parents[3]
DATABASE = ["store", "--database", "db"]

COMMANDS = {
    "weigh": [],
    "init": [],
    "plan": [],
    "lock": ["--check"],
    "build": [],
    "audit": [],
    "advisories": ["--offline"],
    "schema": ["--check"],
    "image": [],
    "smoke": [],
    "coldstart": [],
    "lazy": [],
    "slim": [],
    "recipe list": [],
    "recipe show": ["numpy"],
    "recipe check": ["nothing-of-the-kind"],
    "recipe draft": ["nothing of the kind"],
    "why": ["numpy"],
    "sbom": [],
    "diff": ["one", "other"],
    "summary": [],
    "report": [],
    "release": ["demo"],
    "publish plan": [],
    "publish apply": ["--yes"],
    "publish fetch": [],
    "publish recent": [],
    "reproduce": ["nothing.zip"],
    "verify": [],
    "arn": ["demo", "--region", "eu-west-1"],
    "promote": ["demo", "1.0.0"],
    "rollback": ["demo"],
    "yank": ["demo", "1.0.0", "--reason", "why"],
    "gc": [],
    "cost": [],
    "deploy": ["--stage", "dev", "--yes"],
    "destroy": ["--stage", "dev", "--yes"],
    "stacks order": [],
    "stacks draw": ["--check"],
    "stacks test-layer": ["arn:aws:lambda:eu-west-1:1:layer:a:1", "--module", "a"],
    "session run": ["--database", "db", "--input", "work.json"],
    "session stop": ["arn:aws:states:eu-west-1:1:execution:a:b"],
    "doctor": [],
    "completion": ["bash"],
    "vectors serve": ["store"],
    "vectors show": DATABASE,
    "vectors snapshot": [*DATABASE, "--data", "nothing"],
    "vectors restore": DATABASE,
    "vectors list": DATABASE,
    "vectors deltas": DATABASE,
    "vectors compact": DATABASE,
    "vectors verify": DATABASE,
    "vectors promote": DATABASE,
    "vectors rebuild": [*DATABASE, "--collection", "c", "--space", "ip"],
    "vectors migrate": [*DATABASE, "--to", "file"],
    "vectors retain": DATABASE,
    "vectors calibrate": [*DATABASE, "--collection", "c"],
    "vectors export": [*DATABASE, "--collection", "c", "--file", "f"],
    "vectors import": [*DATABASE, "--collection", "c", "--file", "f"],
    "vectors plan": ["--vectors", "1", "--dimensions", "2", "--queries", "3"],
}
"""Every command with the least that it takes; nothing of what they name is there."""

SUCCEEDS_ANYWHERE = {"init", "completion", "recipe list", "recipe show", "vectors plan"}


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, without index, engine or credentials."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": "none",
        "AWS_CONFIG_FILE": "none",
        "DOCKER_HOST": "unix:///nonexistent.sock",
        "HOME": str(tmp_path),
        "LAYERSMITH_CACHE": str(tmp_path / "cache"),
        "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple",
        "UV_HTTP_RETRIES": "0",
        "UV_NO_CONFIG": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def envelope(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[dict[str, Any], str]:
    """Run a command with --json; return its envelope and what it said beside it."""
    capsys.readouterr()
    code = cli.main([*argv, "--json"])
    said = capsys.readouterr()
    found = envelope_of(said.out)
    assert found["verb"] == argv[0]
    assert found["ok"] is (code == 0)
    return found, said.err


def words(command: str) -> list[str]:
    return [*command.split(), *COMMANDS[command]]


def test_every_command_is_tried() -> None:
    commands = []
    for verb in cli.VERBS:
        parser = cli.parser_of(verb, importlib.import_module(f"layersmith.verbs.{verb}"))
        leaves = [leaf.prog.removeprefix(parser.prog).strip() for leaf in cli.leaves(parser)]
        commands += [f"{verb} {leaf.split(' ')[-1]}".strip() for leaf in leaves]
    assert commands == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_failures_come_in_the_envelope(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    found, said = envelope(capsys, *words(command))
    assert found["ok"] is (command in SUCCEEDS_ANYWHERE)
    assert all(error["message"].splitlines()[0] in said for error in found["errors"])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_option_comes_in_the_envelope(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, _ = envelope(capsys, *words(command), "--no-such-option")
    assert [error["kind"] for error in found["errors"]] == ["usage"]
    assert found["errors"][0]["code"] == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_data_comes_in_the_envelope_and_talk_beside_it(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(args: argparse.Namespace) -> int:
        assert args.json is True
        console.emit_text("a line for people")
        console.stdout().print("a table for people")
        console.emit_json({"found": ["Zoë"]})
        return 0

    module = importlib.import_module(f"layersmith.verbs.{command.split(maxsplit=1)[0]}")
    monkeypatch.setattr(module, "run", run)
    found, said = envelope(capsys, *words(command))
    assert found["data"] == {"found": ["Zoë"]}
    assert found["errors"] == []
    assert said == "a line for people\na table for people\n"


class Raises:
    """A verb that gives data, and then raises."""

    def __init__(self, problem: BaseException | int) -> None:
        self.problem = problem

    def configure(self, parser: object) -> None:
        pass

    def run(self, args: object) -> int:
        console.emit_json({"so": "far"})
        if isinstance(self.problem, int):
            return self.problem
        raise self.problem


@pytest.mark.parametrize(
    ("problem", "code", "kinds"),
    [
        (ManyErrors([BuildError("a", target="one"), ConfigError("b")]), 5, ["build", "config"]),
        (ConfigError("2 problems", parts=[ConfigError("a"), ConfigError("b")]), 2, ["config"] * 2),
        (LayersmithError("a bug"), 1, ["bug"]),
        (KeyError("nobody thought of it"), 1, ["bug"]),
        (KeyboardInterrupt(), 130, ["interrupted"]),
        (9, 9, ["ship"]),
        (ModuleNotFoundError("no docker", name="docker.errors"), 3, ["setup"]),
        (ModuleNotFoundError("no typo", name="layersmith.typo"), 1, ["bug"]),
    ],
)
def test_what_happened_decides_the_errors(
    problem: BaseException | int,
    code: int,
    kinds: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("layersmith.cli.importlib.import_module", lambda name: Raises(problem))
    assert cli.main(["plan", "--json"]) == code
    found = envelope_of(capsys.readouterr().out)
    assert [error["kind"] for error in found["errors"]] == kinds
    assert found["data"] == {"so": "far"}


def test_problems_of_layers_yaml_come_one_by_one_with_their_place(
    nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = nowhere / "layers.yaml"
    path.write_text("layers:\n  demo:\n    version: 1.0\n    runtimes: [python3.9]\n")
    found, _ = envelope(capsys, "plan")
    places = [(error["file"], error["line"], error["column"]) for error in found["errors"]]
    assert len(places) > 1
    assert places == sorted(places)
    assert {file for file, _, _ in places} == {str(path)}
    assert (str(path), 3, 14) in places


def test_an_unknown_verb_comes_in_the_envelope(capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = envelope(capsys, "biuld")
    assert "did you mean build?" in found["errors"][0]["message"]


def test_data_fits_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """The schemas in docs/json are those of the models, and say something of real data."""
    schema = validator("audit")
    made = sorted((ROOT / "dist").glob("vector-common-*-python3.13-arm64.zip"))
    if not made:
        pytest.skip("dist/ holds no layer: run `nox -s build`")
    found, _ = envelope(capsys, "audit", str(made[0]))
    schema.validate(found["data"])
    assert found["data"]["reports"][0]["runtime"] == "python3.13"
    del found["data"]["reports"][0]["runtime"]
    assert not schema.is_valid(found["data"])
