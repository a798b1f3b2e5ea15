"""The structure of the code, held against docs/architecture.md."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "build" / "layersmith"
WAY = ["config", "plan", "assemble", "measure", "prove", "ship", "stacks"]
SHARED = {"errors", "console", "process", "cache", "runtimes", "interpreters", "__version__"}
ABOVE = {"pipeline", "cli", "verbs", "report"}
OWNERS = {"subprocess": "process.py", "boto3": "ship", "docker": "prove"}
MOST_LINES = 320
DRAWN = [*WAY, "report", "pipeline", "slimming"]

MODULES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Return the dotted names that a module imports when it runs, type checking left out."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    here = room(path)
    if here not in WAY:
        return
    for name in imports(path):
        if not name.startswith("layersmith."):
            continue
        other = name.split(".")[1]
        assert other in SHARED or (other in WAY and WAY.index(other) <= WAY.index(here)), (
            f"{here} imports {name}"
        )


@pytest.mark.parametrize("library", OWNERS)
def test_one_owner_each(library: str) -> None:
    allowed = {OWNERS[library]}
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in MODULES
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users <= allowed


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_is_two(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES


def test_every_room_is_named_in_the_documentation() -> None:
    text = (PACKAGE.parents[1] / "docs" / "architecture.md").read_text("utf-8")
    for name in {room(path) for path in MODULES} - {"__init__"}:
        folder = (PACKAGE / name).is_dir()
        known = f"`{name}/`" if folder else f"{name}.py"
        assert known in text or name in {*SHARED, *ABOVE}, name


def diagram() -> str:
    """Return the imports between rooms as a Mermaid diagram."""
    edges = set()
    for path in MODULES:
        here = room(path)
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != "layersmith" or len(parts) < 2:
                continue
            other = parts[1]
            if here in DRAWN and other in DRAWN and here != other:
                edges.add((DRAWN.index(here), DRAWN.index(other)))
    lines = [f"    {DRAWN[here]} --> {DRAWN[other]}" for here, other in sorted(edges)]
    return "\n".join(["```mermaid", "graph RL", *lines, "```"])


def test_the_diagram_is_that_of_the_code() -> None:
    text = (PACKAGE.parents[1] / "docs" / "architecture.md").read_text("utf-8")
    assert diagram() in text, f"put this into docs/architecture.md:\n{diagram()}"
