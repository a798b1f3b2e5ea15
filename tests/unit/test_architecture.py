"""The rules of the house, read from the imports and held against docs/architecture.md."""

from __future__ import annotations

import ast
import functools
from collections import Counter, defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "build" / "layersmith"
PACKAGES = [
    PACKAGE,
    ROOT / "fargate/chroma/chroma_store",
    ROOT / "fargate/chroma/chroma_supervisor",
    ROOT / "lambdas/common/src/vector_common",
]
GROUND = ["errors", "process", "console", "cache", "repeats", "base"]
"""What every room may import. None of it imports a room."""
WAY = [
    *("engine", "config", "recipes", "plan", "crossbuild", "lock", "liteblas"),
    *("assemble", "audit"),
    *("weigh", "supply", "prove", "ship", "stacks", "adopt"),
]
"""The rooms, each of which imports only what stands to its left, and the ground floor."""
ABOVE = ["pipeline", "slimming", "checking", "report", "verbs", "cli", "extras", "start"]
"""What calls the rooms; nothing of the way imports it."""
DRAWN = [*WAY, "report", "pipeline", "slimming", "checking"]
OWNERS = {
    "subprocess": {"process.py"},
    "docker": {"engine"},
    "boto3": {"ship/aws"},
    "elftools": {"base/elf.py"},
    "tenacity": {"base/http.py"},
    "uv": {"base/uv.py"},
    "rich.console": {"console.py"},
    "semver": {"base/versions.py"},
}
MOST_MODULES = 16
"""Modules of one folder: about fourteen, so that a reader sees what there is at a glance."""

STUBS = PACKAGE / "recipes" / "stubs"
"""What layers get in the place of other distributions: data, not modules of layersmith."""

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if STUBS not in path.parents)
EVERY = sorted(
    path for package in PACKAGES for path in package.rglob("*.py") if STUBS not in path.parents
)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@functools.cache
def imports(path: Path, *, typing: bool = False) -> tuple[str, ...]:
    """Return the dotted names that a module imports when it runs, and those for type checking."""
    found: list[str] = []
    nodes: list[ast.AST] = [parsed(path)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        if isinstance(node, ast.If) and not typing and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes += node.orelse
        else:
            nodes += ast.iter_child_nodes(node)
    return tuple(found)


def module(path: Path) -> str:
    package = next(folder for folder in PACKAGES if path.is_relative_to(folder))
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    here = room(path)
    if here not in {*WAY, *GROUND}:
        return
    allowed = {*GROUND, "__version__", here, *WAY[: WAY.index(here) if here in WAY else 0]}
    for name in imports(path):
        if name.startswith("layersmith."):
            assert name.split(".")[1] in allowed, f"{here} imports {name}"


@pytest.mark.parametrize("library", OWNERS)
def test_one_owner_each(library: str) -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if any(f"{name}.".startswith(f"{library}.") for name in imports(path))
    }
    strangers = {
        user for user in users if not any(user.startswith(owner) for owner in OWNERS[library])
    }
    assert users, "nobody imports it: the rule guards nothing"
    assert not strangers


def test_only_verbs_and_the_command_line_know_of_options() -> None:
    """Rooms take values, so that a program can call them; typing imports count, too."""
    users = {
        room(path)
        for path in MODULES
        if any(f"{name}.".startswith("argparse.") for name in imports(path, typing=True))
    }
    assert users == {"verbs", "cli"}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return one circle of imports a set of modules that import each other."""
    done: set[str] = set()
    found: list[list[str]] = []

    def visit(node: str, trail: list[str]) -> None:
        if node in trail:
            found.append([*trail[trail.index(node) :], node])
            return
        if node in done:
            return
        for other in sorted(graph[node]):
            visit(other, [*trail, node])
        done.add(node)

    for node in sorted(graph):
        visit(node, [])
    return found


def test_no_two_files_import_each_other() -> None:
    names = {module(path): path for path in EVERY}
    graph: dict[str, set[str]] = defaultdict(set)
    for name, path in names.items():
        for imported in imports(path):
            target = imported if imported in names else imported.rsplit(".", 1)[0]
            within = path.name == "__init__.py" and target.startswith(f"{name}.")
            if target in names and target != name and not within:
                graph[name].add(target)
    assert not circles({name: graph[name] for name in names})


def test_the_circle_test_sees_circles() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()}) == [["a", "b", "c", "a"]]


def test_no_folder_is_crowded() -> None:
    folders = Counter(path.parent for path in EVERY if path.name != "__init__.py")
    crowded = {
        str(folder.relative_to(ROOT)): count
        for folder, count in folders.items()
        if count > MOST_MODULES and folder.name != "verbs"  # one file a verb, however many
    }
    assert not crowded


def test_no_name_repeats_its_folder() -> None:
    repeated = [
        str(path.relative_to(ROOT))
        for path in EVERY
        if path.parent not in PACKAGES and path.stem.startswith(path.parent.name.rstrip("s"))
    ]
    assert not repeated


def test_one_class_name_has_one_meaning() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in EVERY:
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert not {name: paths for name, paths in places.items() if len(paths) > 1}


def test_every_room_is_named_in_the_documentation() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for name in {room(path) for path in MODULES} - {"__init__"}:
        known = f"`{name}/`" if (PACKAGE / name).is_dir() else f"{name}.py"
        assert known in text or name in {*GROUND, *ABOVE}, name


def test_the_page_for_the_next_worker_has_the_rooms() -> None:
    assert " ".join(WAY) in (ROOT / "CLAUDE.md").read_text("utf-8")


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
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    assert diagram() in text, f"put this into docs/architecture.md:\n{diagram()}"
