"""Messages, help and pages are plain technical English: sentences that a native speaker would not
write are found by the habits behind them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HABITS = re.compile(
    r"cannot be had|nobody (?:can|is there)|says nothing of|no target is left|stands twice"
    r"|(?<!there )\bis no (?:zip|wheel|region|sdist|JSON|requirement|input)\b"
    r"|\bmend the\b|\bgive --"
)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = sorted((ROOT / "build" / "layersmith").rglob("*.py"))


def messages(path: Path) -> list[str]:
    """Return the strings of a module that are no docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_messages_are_plain_english(path: Path) -> None:
    assert [text for text in messages(path) if HABITS.search(text)] == []


def test_braces_of_messages_close() -> None:
    """Half of a message without its f shows the doubled braces that it was written with."""
    stray = {
        str(path.relative_to(ROOT)): text
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.JoinedStr)
        for text in ["".join(str(n.value) for n in node.values if isinstance(n, ast.Constant))]
        if text.count("{") != text.count("}")
    }
    assert stray == {}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_are_plain_english(path: Path) -> None:
    assert HABITS.findall(path.read_text("utf-8")) == []
