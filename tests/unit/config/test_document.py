"""YAML with positions: what YAML 1.1 misreads, duplicates, aliases, and where things stand."""

from __future__ import annotations

import pytest
from layersmith.config import document
from layersmith.config.document import Position


def parsed(text: str) -> document.YamlNode:
    node, problems = document.parse(text)
    assert problems == []
    assert node is not None
    return node


def complaints(text: str) -> list[tuple[int, int, str]]:
    _, problems = document.parse(text)
    return [(*problem.position, problem.message) for problem in problems]


def test_plain_values() -> None:
    text = 'a: 1\nb: -2.5\nc: true\nd: ~\ne: "3.10"\nf: [x, 1.0.0]\ng: 2026-11-21\n'
    assert parsed(text).plain() == {
        "a": 1,
        "b": -2.5,
        "c": True,
        "d": None,
        "e": "3.10",
        "f": ["x", "1.0.0"],
        # A date is text: nothing in layers.yaml is a date, and a version may look like one.
        "g": "2026-11-21",
    }


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("on", "write true"),
        ("off", "write false"),
        ("yes", "write true"),
        ("No", "write false"),
        ("010", 'quote it: "010"'),
        ("0x1F", 'quote it: "0x1F"'),
        ("0b11", 'quote it: "0b11"'),
        ("1_000", 'quote it: "1_000"'),
        ("1:30", "base 60"),
        ("190:20:30.15", "base 60"),
        (".inf", 'quote it: ".inf"'),
        (".nan", 'quote it: ".nan"'),
        ("99999999999999999999", "quote it"),
        ("=", 'quote it: "="'),
        ("!!binary aGk=", "quote it"),
        ("!mine x", "quote it"),
    ],
)
def test_words_that_yaml_misreads_are_refused_with_advice(word: str, advice: str) -> None:
    ((line, column, message),) = complaints(f"a:\n  b: {word}\n")
    assert (line, column) == (2, 6)
    assert advice in message


@pytest.mark.parametrize("word", ["on", "010", "1:30", "yes", "3.10"])
def test_the_same_words_are_text_in_quotes(word: str) -> None:
    assert parsed(f"a: '{word}'").plain() == {"a": word}


def test_duplicate_keys_are_refused_at_the_second() -> None:
    assert complaints("a: 1\nb: 2\na: 3\n") == [(3, 1, "duplicate key; first defined on line 1")]


def test_a_key_must_be_text() -> None:
    ((line, column, message),) = complaints("a: 1\non: 2\n")
    assert (line, column) == (2, 1)
    assert 'quote it: "on"' in message
    assert "single word" in complaints("? [a, b]\n: 1\n")[0][2]


def test_merge_keys_point_to_fragments() -> None:
    text = "base: &base {x: 1}\nlayer:\n  <<: *base\n"
    ((line, _, message),) = complaints(text)
    assert line == 3
    assert "fragments" in message


def test_aliases_are_followed() -> None:
    assert parsed("a: &x [1, 2]\nb: *x\n").plain() == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\n" + "".join(f"{n}: &{n} [{', '.join([f'*{p}'] * 9)}]\n" for p, n in
                               zip("abcdefgh", "bcdefghi", strict=True)),
        "a: &a [*a]\n",
        "a: &a {b: *a}\n",
        "[" * 60 + "]" * 60,
        "[" * 5000 + "]" * 5000,
        "{a: " * 3000 + "1" + "}" * 3000,
    ],
    ids=["billion laughs", "list in itself", "mapping in itself", "60 deep", "5000 deep", "maps"],
)  # fmt: skip
def test_documents_without_end_are_refused(text: str) -> None:
    node, problems = document.parse(text)
    assert node is None
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("text", "position", "what"),
    [
        ("a:\n\tb: 1\n", (2, 1), "tab"),
        ("a: [1, 2\n", (2, 1), "not valid YAML"),
        ("a: 'x\n", (2, 1), "not valid YAML"),
        ("a: 1\n---\nb: 2\n", (2, 1), "second document"),
        ("a: *nothing\n", (1, 4), "not valid YAML"),
        ("a: b: c\n", (1, 5), "not valid YAML"),
        ("a: \x07\n", (1, 1), "not valid YAML"),
    ],
)
def test_syntax_errors_have_a_position(text: str, position: tuple[int, int], what: str) -> None:
    node, problems = document.parse(text)
    assert node is None
    ((found, _, message),) = problems
    assert tuple(found) == position
    assert what in message


TREE = """\
layers:
  imaging:
    budgets: {zipped: 1MB}
    requirements:
      - pillow
      - numpy
"""


@pytest.mark.parametrize(
    ("path", "key", "expected"),
    [
        (("layers",), False, (1, 1)),
        (("layers", "imaging"), False, (2, 3)),
        (("layers", "imaging", "budgets"), False, (3, 5)),
        (("layers", "imaging", "budgets", "zipped"), False, (3, 23)),
        (("layers", "imaging", "budgets", "zipped"), True, (3, 15)),
        (("layers", "imaging", "requirements", 1), False, (6, 9)),
        (("layers", "imaging", "missing", "deeper"), False, (2, 3)),
        (("layers", "imaging", "requirements", 7), False, (4, 5)),
    ],
)
def test_locate(path: document.Path, key: bool, expected: tuple[int, int]) -> None:
    assert parsed(TREE).locate(path, key=key) == Position(*expected)
