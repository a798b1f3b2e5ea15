"""The pages show the files that tests run, and link to what is there."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from typing import TYPE_CHECKING

import pytest
from layersmith import cli

from tests.support import pages

if TYPE_CHECKING:
    from pathlib import Path

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCES = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
EXAMPLES = [path for path in sorted((pages.DOCS / "examples").rglob("*")) if path.is_file()]


def name(path: Path) -> str:
    return str(path.relative_to(pages.ROOT))


@pytest.mark.parametrize("page", pages.PAGES, ids=name)
def test_files_are_shown_as_they_are(page: Path) -> None:
    for path, text in pages.shown(page):
        assert text == path.read_text("utf-8"), "run `python -m tests.support.pages`"


def links(page: Path) -> set[Path]:
    """Return the files that a page links to."""
    found = LINK.findall(FENCES.sub("", page.read_text("utf-8")))
    return {(page.parent / link.partition("#")[0]).resolve() for link in found}


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_every_example_is_on_a_page(path: Path) -> None:
    """It is shown or linked."""
    shown = {one.path for page in pages.PAGES for one in pages.shown(page)}
    assert path in shown or any(path in links(page) for page in pages.PAGES)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    text = FENCES.sub("", page.read_text("utf-8"))
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", pages.PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCES.sub("", page.read_text("utf-8"))):
        path, _, anchor = link.partition("#")
        if ":" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


SESSIONS = {
    node.name
    for node in ast.parse((pages.ROOT / "noxfile.py").read_text("utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.decorator_list
}


def session_names(words: list[str]) -> list[str]:
    """Return the sessions that a command line of nox names."""
    words = words[: words.index("--")] if "--" in words else words
    return [word for word in words[1:] if not word.startswith("-")]


@pytest.mark.parametrize("page", pages.PAGES, ids=name)
def test_commands_are_there(page: Path) -> None:
    """Sessions and verbs that a page names exist, and verbs take the options."""
    for line in pages.commands(page):
        for part in re.split(r"\s&&\s|\s\|\s", line):
            words = shlex.split(part, comments=True)
            if words[:1] == ["nox"]:
                assert not set(session_names(words)) - SESSIONS, part
            elif words[:2] == ["python", "build/layers.py"]:
                taken(words[2], words[3:])
            elif words[:1] == ["layersmith"]:
                taken(words[1], words[2:])


def taken(verb: str, words: list[str]) -> None:
    if verb == "--version":
        return
    parser = cli.parser_of(verb, importlib.import_module(f"layersmith.verbs.{verb}"))
    try:
        parser.parse_args(words)
    except SystemExit as done:  # --help
        assert done.code == 0


def test_the_index_has_every_page() -> None:
    """docs/README.md orders all pages in four parts."""
    index = pages.DOCS / "README.md"
    text = index.read_text("utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        *("Start", "How-to", "Reference", "Explanation"),
    ]
    assert [
        name(page) for page in pages.DOCS.rglob("*.md") if page not in {*links(index), index}
    ] == []


def test_every_schema_of_data_is_named() -> None:
    there = set((pages.DOCS / "json").glob("*.schema.json"))
    assert there <= links(pages.DOCS / "json.md")


@pytest.mark.parametrize("page", pages.PAGES, ids=name)
def test_what_a_page_imports_or_names_of_the_code_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    for module, name in re.findall(r"`(layersmith\.[a-z_.]+)\.([A-Z]\w+)`", text):
        assert hasattr(importlib.import_module(module), name)
    for module, names in re.findall(
        r"^ *from ((?:tests|layersmith)\S*) import (.+)$", text, re.MULTILINE
    ):
        found = importlib.import_module(module)
        assert [one for one in names.split(", ") if not hasattr(found, one)] == []
