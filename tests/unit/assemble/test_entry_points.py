"""Entry points of what was pruned go with it."""

from __future__ import annotations

from layersmith.assemble import prune
from layersmith.assemble.tree import Bytes, Entry, Tree
from layersmith.config.models import Prune

PATH = "python/app-1.0.dist-info/entry_points.txt"


def left(text: bytes, *paths: str, add: tuple[str, ...] = ()) -> bytes:
    """Prune a layer with one entry_points.txt, and return what is left of that."""
    made = Tree()
    for path in ("app/__init__.py", *paths):
        made.add(Entry(f"python/{path}", Bytes(b""), "app"))
    made.add(Entry(PATH, Bytes(text), "app"))
    prune.finish(made, Prune(add=list(add)))
    return made.entries[PATH].source.read()


def test_entry_points_of_pruned_modules_go() -> None:
    text = b"""[pytest11]
app = app.plugin
other=app.other:plugin [extra]

[console_scripts]
# the tool
tool = app.cli:main
test = app.tests.run:main
fast = app._fast:run
"""
    found = left(
        text,
        "app/plugin.py",
        "app/other.py",
        "app/cli/__init__.py",
        "app/tests/run.py",
        "app/_fast.cpython-313-aarch64-linux-gnu.so",
        add=("app/plugin.py", "app/cli/", "app/_fast.*"),
    )
    assert (
        found
        == b"""[pytest11]
other=app.other:plugin [extra]

[console_scripts]
# the tool
"""
    )


def test_what_was_never_there_is_not_touched() -> None:
    text = b"[a]\r\nx = app:f\r\ny = nowhere.to_be:found\n\n\xff = bytes\n"
    assert left(text, "app/tests/a.py") == text


def test_a_module_that_is_there_in_another_form_is_there() -> None:
    text = b"[a]\nx = app.core:f\n"
    assert left(text, "app/core.py", "app/core.pyi") == text
