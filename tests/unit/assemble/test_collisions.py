"""Paths that two distributions own, judged after pruning."""

from __future__ import annotations

import pytest
from layersmith.assemble import prune
from layersmith.assemble.tree import Bytes, Entry, Tree
from layersmith.config.models import Prune
from layersmith.errors import BuildError

PKGUTIL = b"__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"
DECLARED = b"__import__('pkg_resources').declare_namespace(__name__)\n"
BOTH = b"""# Copyright
'''A namespace.'''
try:
    import pkg_resources
    pkg_resources.declare_namespace(__name__)
except ImportError:
    from pkgutil import extend_path
    __path__ = extend_path(__path__, __name__)  # type: ignore
"""
REAL = b"def version():\n    return '1'\n"


def finished(path: str, *contents: bytes, add: tuple[str, ...] = ()) -> Tree:
    """Prune a layer in which distributions called one, two, ... own ``path``."""
    made = Tree()
    for name, content in zip(("one", "two", "three"), contents, strict=False):
        made.add(Entry(f"python/{path}", Bytes(content), name))
    prune.finish(made, Prune(add=list(add)))
    return made


def content(made: Tree) -> bytes:
    (entry,) = made
    return entry.source.read()


def test_equal_files_are_one() -> None:
    made = finished("ns/a.py", REAL, REAL)
    assert content(made) == REAL
    assert not made.removed
    assert next(iter(made)).distribution == "one"


@pytest.mark.parametrize(
    "path", ["LICENSE", "LICENCE.txt", "license.md", "README.rst", "CHANGELOG", "setup.py"]
)
def test_documents_next_to_the_packages_are_no_conflict(path: str) -> None:
    made = finished(path, b"one's", b"two's", b"three's")
    assert content(made) == b"one's"
    assert [(one.distribution, one.rule) for one in made.removed] == [
        ("two", "collisions"),
        ("three", "collisions"),
    ]


@pytest.mark.parametrize(
    ("contents", "best"),
    [
        ((PKGUTIL, b"# Copyright\n" + PKGUTIL), PKGUTIL),
        ((b"", PKGUTIL), PKGUTIL),
        ((DECLARED, BOTH), BOTH),
        ((DECLARED, b"", DECLARED), b""),
        ((b"'''One.'''\n" + REAL, b"'''Two.'''\n" + REAL), b"'''One.'''\n" + REAL),
    ],
)
def test_equivalent_namespace_files_are_no_conflict(
    contents: tuple[bytes, ...], best: bytes
) -> None:
    assert content(finished("ns/__init__.py", *contents)) == best


@pytest.mark.parametrize(
    ("path", "contents"),
    [
        ("ns/__init__.py", (b"", REAL)),
        ("ns/__init__.py", (PKGUTIL, PKGUTIL + b"import ns.core\n")),
        ("ns/__init__.py", (b"print 1", b"print 2")),
        ("ns/__init__.py", (b"x = 1\n", b"x = 2\n")),
        ("ns/a.py", (b"", PKGUTIL)),
        ("ns/data.bin", (b"1", b"2")),
        ("news.py", (b"x = 1\n", b"x = 2\n")),
        ("ns/LICENSE", (b"1", b"2")),
        ("ns/a.py", (REAL, REAL, b"")),
    ],
)
def test_what_makes_a_difference_is_an_error_with_a_hint_that_works(
    path: str, contents: tuple[bytes, ...]
) -> None:
    with pytest.raises(BuildError, match=f"python/{path} belongs to both one and t") as caught:
        finished(path, *contents)
    hint = str(caught.value.hint)
    assert hint.startswith("list one or t")
    assert (f"`prune: {{add: [{path}]}}`" in hint) == ("/" in path)
    assert not len(finished(path, *contents, add=(path,)))


def test_the_error_names_the_distribution_that_differs() -> None:
    with pytest.raises(BuildError, match="both one and three"):
        finished("ns/a.py", REAL, REAL, b"")


def test_all_collisions_are_in_one_report() -> None:
    made = Tree()
    for name in ("one", "two"):
        for path in ("examples/a.py", "examples/b.txt", "LICENSE"):
            made.add(Entry(f"python/{path}", Bytes(f"x = {path!r}, {name!r}".encode()), name))
    with pytest.raises(BuildError, match=r"both one and two \(2 such paths") as caught:
        prune.finish(made, Prune())
    assert "`prune: {add: [examples/a.py, examples/b.txt]}`" in str(caught.value.hint)


def test_what_is_pruned_does_not_collide() -> None:
    made = finished("tests/__init__.py", b"1", b"2")
    assert not len(made)
    assert [(one.distribution, one.rule) for one in made.removed] == [
        ("one", "tests"),
        ("two", "tests"),
    ]


def test_what_is_put_back_collides() -> None:
    made = Tree()
    made.add(Entry("python/app.py", Bytes(b"import tests.helpers\n"), "app"))
    made.add(Entry("python/tests/helpers.py", Bytes(b"a = 1\n"), "one"))
    made.add(Entry("python/tests/helpers.py", Bytes(b"a = 2\n"), "two"))
    with pytest.raises(BuildError, match=r"tests/helpers\.py belongs to both one and two"):
        prune.finish(made, Prune())
