"""The house rules, for the packages that run on AWS: no circles, small folders, one name each."""

from __future__ import annotations

import ast
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROOTS = [ROOT / "fargate/chroma", ROOT / "lambdas/common/src"]
MODULES = {
    ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
    for root in ROOTS
    for path in root.rglob("*.py")
}
MOST = 14


def imported(name: str) -> set[str]:
    """The modules of these packages that one imports, for types and within functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
    return (found & MODULES.keys()) - {name}


def test_no_files_import_each_other_in_a_circle() -> None:
    order = list(TopologicalSorter({name: imported(name) for name in MODULES}).static_order())
    assert set(order) == MODULES.keys()
    assert len(order) > 40


def test_no_folder_holds_more_than_a_reader_can_keep_in_mind() -> None:
    held = Counter(path.parent for path in MODULES.values() if path.name != "__init__.py")
    assert {str(folder.relative_to(ROOT)): n for folder, n in held.items() if n > MOST} == {}


def test_no_module_repeats_the_name_of_its_folder() -> None:
    repeats = {name for name in MODULES if len(name.split(".")) != len(set(name.split(".")))}
    assert repeats == set()


def test_a_class_name_has_one_meaning() -> None:
    names = Counter(
        node.name
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, n in names.items() if n > 1] == []


def test_what_decides_writes_depends_on_nothing_but_the_errors() -> None:
    assert imported("vector_common.conditional") == {"vector_common.errors"}
    assert imported("vector_common.errors") == set()
