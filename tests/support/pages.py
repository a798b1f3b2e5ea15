"""The pages of the documentation: the files that they show, and the commands in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *(path for path in sorted(ROOT.glob("*.md")) if path.name != "CHANGELOG.md"),
    *sorted(DOCS.rglob("*.md")),
]

INCLUDE = re.compile(r"^<!-- include: (\S+) -->\n```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Shown(NamedTuple):
    """A file that a page shows."""

    path: Path
    text: str


def shown(page: Path) -> list[Shown]:
    """Return the files that a page shows, with the text that it shows of them."""
    found = INCLUDE.findall(page.read_text("utf-8"))
    return [Shown(ROOT / path, text) for path, _, text in found]


def commands(page: Path, section: str = "") -> list[str]:
    """Return the command lines of a page's console blocks, without their prompts.

    A line that ends in a backslash goes on in the next; other lines without a prompt are output.

    Args:
        page: The file.
        section: The heading of the second level below which they stand; the whole page without it.
    """
    found: list[str] = []
    whole = page.read_text("utf-8")
    if section:
        whole = whole.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    for language, text in FENCE.findall(whole):
        if language != "console":
            continue
        joined = text.replace("\\\n", " ").splitlines()
        found += [" ".join(line[2:].split()) for line in joined if line.startswith("$ ")]
    return found


def fill() -> None:
    """Put the files into the pages that show them; for whoever has changed one."""
    for page in PAGES:
        before = page.read_text("utf-8")
        after = INCLUDE.sub(
            lambda m: f"<!-- include: {m[1]} -->\n```{m[2]}\n{(ROOT / m[1]).read_text('utf-8')}```",
            before,
        )
        if after != before:
            page.write_text(after, "utf-8")


if __name__ == "__main__":
    fill()
