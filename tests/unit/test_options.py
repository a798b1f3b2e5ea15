"""Which file, which targets and which folder the options choose."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import pytest
from layersmith import cli
from layersmith.errors import UsageError
from layersmith.verbs import options

YAML = "layers: {}\n"


def settled(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options.add_filters(parser)
    options.add_dist(parser)
    args = parser.parse_args(words)
    options.settle(args)
    return args


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "layers.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_here(project: Path) -> None:
    args = settled()
    assert (args.config, args.dist) == (Path("layers.yaml"), Path("dist"))


def test_the_nearest_above(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "src" / "deep")
    args = settled()
    assert (args.config, args.dist) == (project / "layers.yaml", project / "dist")
    (project / "src" / "layers.yaml").write_text(YAML)
    assert settled().dist == project / "src" / "dist"


def test_what_is_given_is_relative_to_the_working_directory(project: Path) -> None:
    args = settled("--config", "src/layers.yaml")
    assert (args.config, args.dist) == (Path("src/layers.yaml"), Path("src/dist"))
    assert settled("--config", "src").dist == Path("src/dist")
    assert settled("--config", "src/layers.yaml", "--dist", "out").dist == Path("out")


def test_where_there_is_none_the_message_names_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settled().config == Path("layers.yaml")


@pytest.mark.parametrize(
    ("words", "layers"),
    [
        ([], []),
        (["a", "b"], ["a", "b"]),
        (["--layer", "a"], ["a"]),
        (["--layer", "a", "b"], ["a", "b"]),
        (["b", "--runtime", "python3.13", "--layer", "a"], ["b", "a"]),
    ],
)
def test_layers_are_named_with_and_without_the_option(words: list[str], layers: list[str]) -> None:
    assert settled(*words).layer == layers
    assert settled().layer == []


@pytest.mark.parametrize("verb", cli.VERBS)
def test_a_verb_that_chooses_layers_takes_names_and_architectures(verb: str) -> None:
    module = importlib.import_module(f"layersmith.verbs.{verb}")
    for leaf in cli.leaves(cli.parser_of(verb, module)):
        if "--layer" not in leaf._option_string_actions:
            continue
        assert "--arch" in leaf._option_string_actions
        positional = [one for one in leaf._actions if not one.option_strings]
        assert [one.nargs for one in positional] == ["*"]
        assert "LAYER" in str(positional[0].metavar) or verb == "weigh"


@pytest.mark.parametrize(
    ("words", "least"),
    [
        ("lazy --starts", 1),
        ("coldstart --starts", 1),
        ("slim --limit", 0),
        ("weigh --depth", 0),
        ("gc --keep", 1),
        ("gc --days", 0),
        ("gc --concurrency", 1),
        ("gc --max-attempts", 1),
        ("release --recent", 0),
        ("publish recent --days", 0),
        ("vectors plan --vectors", 0),
        ("vectors retain data --database receipts --keep-last", 0),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(words: str, least: int) -> None:
    verb, *given = words.split()
    for text in (str(least - 1), "many"):
        parser = cli.parser_of(verb, importlib.import_module(f"layersmith.verbs.{verb}"))
        with pytest.raises(UsageError, match=f"'{text}' is not a whole number from {least} on"):
            parser.parse_args([*given, text])


def test_a_date_that_is_none_is_refused() -> None:
    parser = cli.parser_of("weigh", importlib.import_module("layersmith.verbs.weigh"))
    assert parser.parse_args(["--exclude-newer", "2024-12-20"]).exclude_newer == "2024-12-20"
    with pytest.raises(UsageError, match="'soon' is not a date or time"):
        parser.parse_args(["--exclude-newer", "soon"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("lock --check --upgrade", "--upgrade would change nothing with --check"),
        ("lock --check --accept-publisher six", "--accept-publisher would change nothing with"),
        ("audit --require six --forbid six", "--require and --forbid would change nothing for"),
        ("advisories --github-issue", "--github-issue would change nothing without --published"),
        ("advisories --summary out.md", "--summary would change nothing without --published"),
        ("advisories --published x --vex y", "--vex would change nothing with --published"),
        ("deploy --stage dev --delete-data", "--delete-data would change nothing without"),
    ],
)
@pytest.mark.usefixtures("project")
def test_an_option_that_would_change_nothing_is_refused(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words.split()) == UsageError.exit_code
    assert said in capsys.readouterr().err
