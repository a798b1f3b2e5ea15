"""Draws what README.md and docs/ show of a build: tables from the manifests in dist/, pictures.

`nox -s figures` writes them, `nox -s figures -- --check` fails where a file says something else.
"""

from __future__ import annotations

import argparse
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.assemble.manifest import Manifest
from layersmith.console import size
from layersmith.report.tables import bytecode_size
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # `python tests/figures.py` has the folder of the script alone

from tests.bench import comparisons  # noqa: E402 -- see above

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DIST = ROOT / "dist"
LAYERS = ROOT / "build" / "layers.py"
PAGES = ("README.md", "docs/chromadb-layer.md", "docs/benchmarks.md")
PICTURES = ROOT / "docs" / "pictures"
EXAMPLE = PICTURES / "requirements.txt"
"""What the picture of the terminal weighs and builds; its pins keep the picture the same."""

RUNTIME = "python3.13"
SHOWN = ("python3.12", RUNTIME)
"""The runtimes of the table in README.md."""

COLUMNS = 104
FIRST = {
    "weigh -r requirements.txt --no-tree": True,
    "init --yes": False,
    "lock": False,
    "build": True,
    "smoke --runner host": True,
}
"""What somebody new types first, and whether the picture shows it."""

BLOCK = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- /figures -->)", re.DOTALL)
UNLIKE = (
    (re.compile(r"\s+|─+"), " "),
    (re.compile(r"\b[0-9]+\.[0-9] s\b"), "0.0 s"),
    (re.compile(r"\bread [0-9.]+ [kM]B in [0-9]+ requests"), "read"),
)
"""What differs from machine to machine and from day to day: times, what an index lists, widths."""
STEPS = {
    "collect": "without what the recipes exclude or put a stub for",
    "prune": "without what built-in rules and recipes prune",
    "files": "",
    "lite BLAS": "with the lite BLAS in the place of OpenBLAS",
    "strip": "without symbols of ELF files",
    "bytecode": "with bytecode in the place of the sources",
}


def manifests() -> dict[str, Manifest]:
    """Return the manifests of dist/ by target, those of layers.yaml in its order."""
    found = layers("plan", "--json", cwd=ROOT)
    targets = [row["target"] for row in json.loads(found)["data"]]
    read = [
        Manifest.model_validate_json(path.read_text("utf-8")) for path in DIST.glob("*-arm64.json")
    ]
    known = {one.identifier: one for one in read}
    return {name: known[name] for name in targets if name in known}


def layers(*words: str, cwd: Path, **variables: str) -> str:
    """Run a verb and return what it printed; its progress is left out."""
    done = subprocess.run(
        [sys.executable, LAYERS, *words],
        cwd=cwd,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    return done.stdout


def plain(name: str = "chromadb-vector") -> dict[str, int]:
    """Return the sizes of a layer as an installer leaves it, by `weigh` and the layer's lock."""
    words = ("weigh", name, "--runtime", RUNTIME, "--json", "--quiet")
    (report,) = json.loads(layers(*words, cwd=ROOT))["data"]["reports"]
    found: dict[str, int] = report["installed"]
    return found


def build_table(made: dict[str, Manifest]) -> str:
    """Return the sizes of the shipped layers."""
    lines = [
        "| target | zipped | unzipped | of it bytecode | files | glibc |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, one in made.items():
        if one.runtime in SHOWN:
            cells = (
                f"`{name}`",
                size(one.artifact.zipped),
                size(one.artifact.unzipped),
                size(bytecode_size(one)),
                f"{one.artifact.files:,}",
                one.audit.highest.get("GLIBC", "-"),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def steps_table(made: dict[str, Manifest]) -> str:
    """Return what each step of a build leaves of chromadb-vector."""
    one, before = made[f"chromadb-vector-{RUNTIME}-arm64"], plain()
    lines = ["| step | unzipped | zipped | files |", "|---|--:|--:|--:|"]
    lines.append(
        f"| as an installer leaves it, without bytecode | {size(before['unzipped'])} |"
        f" {size(before['zipped'])} | {before['files']:,} |"
    )
    last = list(one.steps)[-1]
    for step, unzipped in one.steps.items():
        if step != last and STEPS[step]:
            lines.append(f"| {STEPS[step]} | {size(unzipped)} | | |")
    lines.append(
        f"| {STEPS[last]}: the layer | **{size(one.artifact.unzipped)}** |"
        f" **{size(one.artifact.zipped)}** | {one.artifact.files:,} |"
    )
    return "\n".join(lines)


def against_plain(made: dict[str, Manifest]) -> str:
    """Return the layer beside its plain installation, for docs/benchmarks.md."""
    one, before = made[f"chromadb-vector-{RUNTIME}-arm64"], plain()
    return "\n".join(
        [
            f"| {RUNTIME}, arm64 | plain, without bytecode | the layer, with bytecode |",
            "|---|--:|--:|",
            f"| zipped | {size(before['zipped'])} | {size(one.artifact.zipped)} |",
            f"| unzipped | {size(before['unzipped'])} | {size(one.artifact.unzipped)} |",
        ]
    )


def speed(_: dict[str, Manifest]) -> str:
    """Return the newest rows of the benchmarks, for docs/benchmarks.md."""
    return comparisons.table()


BLOCKS: dict[str, Callable[[dict[str, Manifest]], str]] = {
    "build-table": build_table,
    "chromadb-steps": steps_table,
    "chromadb-against-plain": against_plain,
    "speed": speed,
}


def pages() -> Iterator[tuple[Path, str]]:
    """Yield the pages and what they should say."""
    made = manifests()
    texts: dict[str, str] = {}

    def fill(found: re.Match[str]) -> str:
        name = found[2]
        texts[name] = texts.get(name) or BLOCKS[name](made)
        return f"{found[1]}{texts[name]}\n{found[3]}"

    for name in PAGES:
        path = ROOT / name
        yield path, BLOCK.sub(fill, path.read_text("utf-8"))


def draw_speed() -> None:
    """Write the table of the benchmarks alone: a run of them needs no build in dist/."""
    path = ROOT / "docs" / "benchmarks.md"

    def fill(found: re.Match[str]) -> str:
        return f"{found[1]}{speed({})}\n{found[3]}" if found[2] == "speed" else found[0]

    path.write_text(BLOCK.sub(fill, path.read_text("utf-8")), "utf-8")


def terminal() -> str:
    """Return the picture of the first commands on the example's requirements, as SVG."""
    shown = Console(file=io.StringIO(), record=True, width=COLUMNS, force_terminal=True)
    colours = {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)}
    with tempfile.TemporaryDirectory() as folder:
        # With a cache of its own, every run says the same of what was there before.
        colours["LAYERSMITH_CACHE"] = str(Path(folder, "cache"))
        home = Path(folder, "receipts")
        home.mkdir()
        shutil.copy(EXAMPLE, home)
        for words, visible in FIRST.items():
            printed = layers(*words.split(), "--quiet", cwd=home, **colours)
            if visible:
                shown.print(Text(f"$ layersmith {words}", style="bold green"))
                shown.print(Text.from_ansi(printed.strip("\n")))
                shown.print()
    drawn = shown.export_svg(title="layersmith", unique_id="first")
    # A picture in a page may load nothing, fonts neither.
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


def before_and_after() -> str:
    """Return the picture of chromadb-vector's size before and after, as SVG."""
    one, before = manifests()[f"chromadb-vector-{RUNTIME}-arm64"], plain()
    rows = (
        ("chromadb-client as an installer leaves it", before["unzipped"], "#9aa4b2"),
        ("the layer chromadb-vector, with bytecode", one.artifact.unzipped, "#2f81f7"),
        ("its zip", one.artifact.zipped, "#2f81f7"),
    )
    widest = rows[0][1]
    drawn = []
    for number, (label, value, colour) in enumerate(rows):
        y, width = 22 + 46 * number, round(560 * value / widest)
        drawn.append(
            f'<text x="0" y="{y}">{html.escape(label)}</text>'
            f'<rect x="0" y="{y + 7}" width="{width}" height="16" rx="2" fill="{colour}"/>'
            f'<text x="{width + 8}" y="{y + 20}" font-weight="600">{size(value)}</text>'
        )
    style = 'font-family="system-ui, sans-serif" font-size="14" fill="#768390"'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 150" role="img"'
        f' aria-label="{size(rows[0][1])} before, {size(rows[1][1])} after" {style}>\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


DRAWN: dict[str, Callable[[], str]] = {
    "first-layer.svg": terminal,
    "chromadb-vector.svg": before_and_after,
}


def said(text: str) -> str:
    """Return what a file says, without what is never the same twice."""
    visible = html.unescape(re.sub(r"<style.*?</style>|<[^>]*>", " ", text, flags=re.DOTALL))
    for pattern, same in UNLIKE:
        visible = pattern.sub(same, visible)
    return visible.strip()


def stale() -> list[Path]:
    """Return the files that say something else than the build in dist/ does."""
    wrong = [path for path, text in pages() if path.read_text("utf-8") != text]
    for name, draw in DRAWN.items():
        path = PICTURES / name
        if not path.exists() or said(path.read_text("utf-8")) != said(draw()):
            wrong.append(path)
    return wrong


def main() -> int:
    """Write the figures, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on differences")
    if parser.parse_args().check:
        wrong = stale()
        for path in wrong:
            print(f"{path.relative_to(ROOT)} is out of date: run `nox -s build figures`")
        return 1 if wrong else 0
    for path, text in pages():
        path.write_text(text, "utf-8")
    for name, draw in DRAWN.items():
        (PICTURES / name).write_text(draw(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
