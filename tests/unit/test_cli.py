from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from pathlib import Path

import pytest
from layersmith import cli, console
from layersmith.errors import (
    AuditError,
    BudgetError,
    BuildError,
    ConfigError,
    Interrupted,
    LayersmithError,
    LockError,
    MachineError,
    ManyErrors,
    NotInstalledError,
    ProofError,
    ShipError,
    UsageError,
)

CODES = {
    ConfigError: 2,
    UsageError: 2,
    NotInstalledError: 3,
    MachineError: 3,
    Interrupted: 130,
    LockError: 4,
    BuildError: 5,
    AuditError: 6,
    BudgetError: 7,
    ProofError: 8,
    ShipError: 9,
    LayersmithError: 1,
}


class Verb:
    """A verb whose run raises what a test sets."""

    problem: BaseException | None = None

    def configure(self, parser: object) -> None:
        pass

    def run(self, args: object) -> int:
        if self.problem:
            raise self.problem
        return 0


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Verb:
    fake = Verb()
    monkeypatch.setattr("layersmith.cli.importlib.import_module", lambda name: fake)
    return fake


@pytest.mark.parametrize("kind", CODES)
def test_every_kind_of_error_has_its_exit_code(
    verb: Verb, kind: type[LayersmithError], capsys: pytest.CaptureFixture[str]
) -> None:
    verb.problem = kind("it broke", target="demo-arm64", cause="a reason", hint="do this")
    assert cli.main(["plan"]) == CODES[kind]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "error: demo-arm64: it broke",
        "  likely cause: a reason",
        "  next: do this",
    ]


def test_the_first_of_many_decides_and_all_are_listed(
    verb: Verb, capsys: pytest.CaptureFixture[str]
) -> None:
    verb.problem = ManyErrors([BudgetError("too big"), BuildError("broken")])
    assert cli.main(["plan"]) == 7
    assert {"error: too big", "error: broken"} <= set(capsys.readouterr().err.splitlines())


def test_ctrl_c_is_130(verb: Verb) -> None:
    verb.problem = KeyboardInterrupt()
    assert cli.main(["plan"]) == 130


def test_an_unknown_verb_suggests_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["biuld"]) == 2
    assert "did you mean build?" in capsys.readouterr().err


def test_the_overview_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    said = capsys.readouterr().out
    assert all(f"  {verb}" in said for verb in cli.VERBS)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([verb, "--help"])
    assert stopped.value.code == 0
    assert "example" in capsys.readouterr().out


def test_verbs_are_the_modules_of_the_room() -> None:
    folder = Path(importlib.import_module("layersmith.verbs").__file__ or "").parent
    helpers = {"options"}
    modules = {one.name for one in pkgutil.iter_modules([str(folder)])} - helpers
    assert modules == set(cli.VERBS)


def test_json_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit_json({"name": "Zoë"})
    said = capsys.readouterr()
    assert json.loads(said.out) == {"name": "Zoë"}
    assert said.err == ""


@pytest.mark.parametrize(
    ("argv", "called"),
    [
        ("/srv/layers/build/layers.py", "python build/layers.py"),
        ("/usr/bin/layersmith", "layersmith"),
    ],
)
def test_the_hint_of_a_wrong_command_line_is_a_command(
    argv: str, called: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [argv, "why"])
    assert cli.main(["why"]) == 2
    assert f"next: see `{called} why --help`" in capsys.readouterr().err
