"""The pages show the files that tests run, and link to what is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

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


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_every_example_is_on_a_page(path: Path) -> None:
    assert [page for page in pages.PAGES for one in pages.shown(page) if one.path == path]


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
