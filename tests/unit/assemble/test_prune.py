from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layersmith.assemble import prune
from layersmith.assemble.tree import Bytes, Entry, Tree
from layersmith.config.models import Prune
from layersmith.recipes.book import RecipeBook
from layersmith.recipes.models import RecipeUse


def tree(*paths: str) -> Tree:
    made = Tree()
    for path in paths:
        made.add(Entry(f"python/{path}", Bytes(path.encode()), path.split("/", 1)[0]))
    return made


def shipped() -> list[RecipeUse]:
    """What the recipes of layersmith keep, whatever is locked."""
    book = RecipeBook()
    known = [recipe for name in book.names() if (recipe := book.get(name))]
    return [RecipeUse(name=one.name, version="1", keep=one.content.keep) for one in known]


def left(made: Tree) -> set[str]:
    return {entry.inner for entry in made}


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("demo/tests/test_a.py", "tests"),
        ("demo/sub/tests/data.bin", "tests"),
        ("tests/test_a.py", "tests"),
        ("demo/__pycache__/a.cpython-311.pyc", "caches"),
        ("demo/a.pyc", "caches"),
        ("demo/include/a.h", "headers"),
        ("demo/fast.pyx", "headers"),
        ("demo/fast.c", "sources"),
        ("demo/a.pyi", "type-stubs"),
        ("demo/liba.a", "static-libraries"),
        ("demo/docs/index.html", "docs"),
        ("share/man/man1/a.1", "docs"),
        ("bin/tool", "scripts"),
        ("demo/cli-64.exe", "windows"),
        ("_demo_vendor/distlib/t64-arm.exe", "windows"),
    ],
)
def test_default_rules(path: str, rule: str) -> None:
    made = tree(path, "demo/__init__.py")
    prune.prune(made, Prune())
    assert left(made) == {"demo/__init__.py"}
    assert [(removed.path, removed.rule) for removed in made.removed] == [(f"python/{path}", rule)]


@pytest.mark.parametrize(
    "path",
    [
        "demo/testing.py",
        "demo/contest/a.py",
        "demo/binary.py",
        "demo/bin/helper.py",
        "demo/includes.py",
        "demo/a.cpython-313-aarch64-linux-gnu.so",
        "demo.libs/liba-1234.so.6",
        "demo-1.0.dist-info/METADATA",
        "demo-1.0.dist-info/licenses/tests/LICENSE.h",
        "demo-1.0.dist-info/entry_points.txt",
    ],
)
def test_what_stays(path: str) -> None:
    made = tree(path)
    prune.prune(made, Prune())
    assert left(made) == {path}


def test_keep_wins_over_rules_and_additions() -> None:
    made = tree("demo/tests/needed.py", "demo/tests/other.py", "demo/big/a", "demo/big/b")
    prune.prune(made, Prune(add=["demo/big/"], keep=["demo/tests/needed.py", "demo/big/b"]))
    assert left(made) == {"demo/tests/needed.py", "demo/big/b"}


def test_without_defaults_only_additions_count() -> None:
    made = tree("demo/tests/a.py", "demo/big.bin")
    prune.prune(made, Prune(defaults=False, add=["*.bin"]))
    assert left(made) == {"demo/tests/a.py"}


@pytest.mark.parametrize(
    "path",
    [
        "django/test/client.py",
        "gensim/test/utils.py",
        "astropy/tests/helper.py",
        "ansible/plugins/test/core.py",
        "ansible/_internal/ansible_collections/demo/plugins/test/a.yml",
        "dbt/include/demo/tests/generic/builtin.sql",
        "jedi/third_party/django-stubs/forms.pyi",
    ],
)
def test_what_users_import_or_a_package_looks_for_stays_with_the_reason(path: str) -> None:
    made = tree(path)
    prune.prune(made, Prune(), shipped())
    assert left(made) == {path}
    assert made.kept[f"python/{path}"].reason


def test_what_any_distribution_reads_stays_without_a_recipe() -> None:
    path = "mypy/typeshed/stdlib/builtins.pyi"
    made = tree(path)
    prune.prune(made, Prune())
    assert made.kept[f"python/{path}"].reason


@pytest.mark.parametrize("path", ["gensim/test/test_models.py", "django/test/__pycache__/a.pyc"])
def test_no_more_than_that_stays(path: str) -> None:
    made = tree(path)
    prune.prune(made, Prune(), shipped())
    assert not left(made)


def test_users_decide_what_of_it_goes() -> None:
    made = tree("django/test/client.py", "django/test/html.py")
    prune.prune(made, Prune(add=["django/test/html.py"]), shipped())
    assert left(made) == {"django/test/client.py"}
    assert [one.rule for one in made.removed] == ["django/test/html.py"]


PART = st.sampled_from(["demo", "tests", "a", "include", "x.dist-info", "b.py", "c.so", "d.h"])
PATH = st.lists(PART, min_size=1, max_size=4).map("/".join)


@given(st.sets(PATH, max_size=15), st.lists(PATH, max_size=3), st.lists(PATH, max_size=3))
def test_nothing_is_lost_or_invented(paths: set[str], add: list[str], keep: list[str]) -> None:
    made = tree(*paths)
    before = left(made)
    prune.prune(made, Prune(add=add, keep=keep))
    removed = {one.path.removeprefix("python/") for one in made.removed}
    assert left(made) | removed == before
    assert not left(made) & removed
    assert not any(path.split("/", 1)[0].endswith(".dist-info") for path in removed)
    again = left(made)
    prune.prune(made, Prune(add=add, keep=keep))
    assert left(made) == again


HEADER = b"Metadata-Version: 2.4\nName: demo\nRequires-Dist: other\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_of_metadata_the_description_is_left_out(end: bytes) -> None:
    header = HEADER.replace(b"\n", end)
    path = "python/demo-1.0.dist-info/METADATA"
    made = Tree({path: Entry(path, Bytes(header + end + b"# Demo\n\nLong.\n"), "demo")})
    prune.finish(made, Prune())
    assert made.entries[path].source.read().splitlines() == HEADER.splitlines()
    assert [(one.rule, one.size) for one in made.removed] == [
        ("descriptions", len(end + b"# Demo\n\nLong.\n") + len(end) - 1)
    ]


@pytest.mark.parametrize("wanted", [Prune(defaults=False), Prune(keep=["*.dist-info/METADATA"])])
def test_descriptions_stay_where_users_keep_them(wanted: Prune) -> None:
    path = "python/demo-1.0.dist-info/METADATA"
    made = Tree({path: Entry(path, Bytes(HEADER + b"\n# Demo\n"), "demo")})
    prune.finish(made, wanted)
    assert made.entries[path].source.read().endswith(b"# Demo\n")
    assert not made.removed
