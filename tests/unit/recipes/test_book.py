"""Recipes as people write them: what is accepted, and how every mistake is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.errors import ConfigError
from layersmith.recipes import book
from layersmith.recipes.book import RecipeBook

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """\
versions = ">=2,<3"
source = ["release notes of 2.0"]
lite-blas = "large matrix products take longer"

[optional]
"numbers.testing.*" = "needs pytest"

[keep]
"numbers/test/public.py" = "public API"

[libraries]
"libnumbers.so.1" = "numbers-libs of Amazon Linux 2023"

[environment]
NUMBERS_CACHE = { value = "/tmp/numbers", reason = "its default lies in the home folder" }

[prune]
"numbers/fft/" = "no Fourier transforms"

[excludes]
tables = "no tables"

[stubs.slow-thing]
path = "stubs/slow"
reason = "nothing is checked"

[proof]
requirements = ["numbers[all]"]
snippet = '''
print(1)
'''

[[measured]]
runtime = "python3.13"
architecture = "arm64"
version = "2.1"
plain-zip = 100
thin-zip = 60
plain-start = 80.5
thin-start = 40
date = "2026-11-20"
"""


@pytest.fixture
def team(tmp_path: Path) -> Path:
    (tmp_path / "stubs" / "slow").mkdir(parents=True)
    return tmp_path


def written(folder: Path, text: str, name: str = "numbers.toml") -> RecipeBook:
    (folder / name).write_text(text, encoding="utf-8")
    return RecipeBook(folder)


def refused(folder: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        written(folder, text).get("numbers")
    return caught.value


def test_a_recipe_says_all_it_may(team: Path) -> None:
    found = written(team, WHOLE).get("numbers")
    assert found is not None
    assert found.team
    recipe = found.content
    assert recipe.costs
    assert recipe.fits("2.0.1")
    assert not recipe.fits("3.0")
    assert recipe.environment["NUMBERS_CACHE"].value == "/tmp/numbers"
    assert found.stub("slow-thing") == team / "stubs" / "slow"
    assert [one.thin_zip for one in recipe.measured] == [60]


def test_what_is_not_said_costs_nothing_and_fits_every_version(team: Path) -> None:
    found = written(team, 'source = ["its manual"]\n').get("numbers")
    assert found is not None
    assert not found.content.costs
    assert found.content.fits("0.1")


def test_a_distribution_without_a_recipe_has_none(team: Path) -> None:
    assert RecipeBook(team).get("no-such-distribution") is None
    assert RecipeBook().get("no-such-distribution") is None


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('source = ["a manual"]\nprunes = 1\n', 2, "unknown key; did you mean prune?"),
        ('source = ["a manual"]\n\n[optinal]\na = "why"\n', 3, "did you mean optional?"),
        ('source = ["a manual"]\n[prune]\n"/abs" = "all"\n', 3, "not a glob below python/"),
        ('source = ["a manual"]\nversions = "2.x"\n', 2, "not a range of versions"),
        ('source = ["a manual"]\n[stubs.a]\npath = "none"\nreason = "why"\n', 3, "no folder none"),
        ('source = ["a manual"]\n[environment]\nA = { value = "1" }\n', 3, "this key is missing"),
        ('versions = ">=1"\n', 1, "this key is missing"),
        ('source = ["a manual"]\nversions = \n', 2, "not valid TOML"),
        (WHOLE.replace("thin-zip = 60", 'thin-zip = "x"'), 38, "measured.0.thin-zip"),
    ],
)
def test_every_mistake_names_its_line(team: Path, text: str, line: int, what: str) -> None:
    error = refused(team, text)
    assert f"numbers.toml:{line}: " in error.message
    assert what in error.message
    assert error.place == (str(team / "numbers.toml"), line, None)


def test_all_mistakes_come_at_once(team: Path) -> None:
    error = refused(team, 'source = ["a manual"]\none = 1\n\n[two]\na = 1\n')
    assert [part.place[1] for part in error.parts] == [2, 4]


def test_a_file_is_named_after_a_distribution(team: Path) -> None:
    with pytest.raises(ConfigError, match=r"rename it to scikit-learn\.toml"):
        written(team, 'source = ["a manual"]\n', "Scikit_Learn.toml").names()


def test_a_team_has_its_own_in_the_place_of_a_shipped_one(
    team: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path_factory.mktemp("shipped")
    for name in ("numbers", "tables"):
        (shipped / f"{name}.toml").write_text('source = ["shipped"]\n', encoding="utf-8")
    monkeypatch.setattr(book, "SHIPPED", shipped)
    known = written(team, 'source = ["ours"]\n')
    assert known.names() == ["numbers", "tables"]
    assert known.overridden() == ["numbers"]
    assert {name: known.get(name).content.source for name in known.names()} == {  # type: ignore[union-attr]
        "numbers": ["ours"],
        "tables": ["shipped"],
    }


def test_every_shipped_recipe_is_valid() -> None:
    known = RecipeBook()
    for name in known.names():
        assert known.get(name), name


MOST_USED = (
    *("aiohttp", "anthropic", "aws-lambda-powertools", "awswrangler", "boto3", "cryptography"),
    *("datadog", "duckdb", "fastapi", "google-cloud-bigquery", "google-cloud-storage", "grpcio"),
    *("httpx", "jinja2", "langchain-core", "lxml", "matplotlib", "nltk", "numpy", "onnxruntime"),
    *("openai", "opencv-python-headless", "openpyxl", "opentelemetry-sdk", "pandas", "pdfplumber"),
    *("pillow", "polars", "protobuf", "psycopg", "pyarrow", "pydantic", "pymupdf", "pymysql"),
    *("reportlab", "requests", "scikit-learn", "scipy", "selenium", "spacy", "sqlalchemy"),
    *("tiktoken", "tokenizers"),
)
"""Distributions that layers hold most often, of which something can go."""


def test_recipes_of_the_most_used_are_measured_and_every_recipe_saves_something() -> None:
    known = RecipeBook()
    found = {name: known.get(name) for name in known.names()}
    recipes = {name: one.content for name, one in found.items() if one}
    assert not [name for name in MOST_USED if not recipes[name].measured]
    costly = {name: one for name, one in recipes.items() if one.costs}
    assert not [name for name, one in costly.items() if one.proof is None]
    worse = {
        name: one.version
        for name, recipe in costly.items()
        for one in recipe.measured
        if one.thin_zip >= one.plain_zip
    }
    assert worse == {}
    # What costs nothing states a fact about the distribution that smoke or the build needs.
    idle = [n for n, r in recipes.items() if not (r.costs or r.keep or r.optional or r.libraries)]
    assert idle == []
