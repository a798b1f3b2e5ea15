"""What recipes prune goes for their own distribution, and stays for everybody else's sake."""

from __future__ import annotations

import pytest
from layersmith.assemble import prune
from layersmith.assemble.tree import Bytes, Entry, Tree
from layersmith.config.models import Prune
from layersmith.recipes.models import RecipeUse

NUMBERS = {
    "numbers/__init__.py": (
        "def __getattr__(name):\n    import numbers.random\n    return numbers.random\n"
    ),
    "numbers/random/__init__.py": "from . import _pick\nfrom ._fast import draw\n",
    "numbers/random/_pick.py": "import numbers.shared\n",
    "numbers/random/_fast.cpython-313-aarch64-linux-gnu.so": "",
    "numbers/shared.py": "",
    "numbers/fft/__init__.py": "",
    "numbers/_tests.cpython-313-aarch64-linux-gnu.so": "",
}
RECIPE = RecipeUse(
    name="numbers",
    version="2.0",
    taken=True,
    prune={
        "numbers/random/": "no random numbers",
        "numbers/shared.py": "nothing shared",
        "numbers/fft/": "no fft",
        "numbers/_tests.*.so": "no tests",
        "numbers/gone/": "nothing",
    },
)
RANDOM = {
    "numbers/random/__init__.py",
    "numbers/random/_pick.py",
    "numbers/random/_fast.cpython-313-aarch64-linux-gnu.so",
    "numbers/shared.py",
}


def finished(files: dict[str, str], *uses: RecipeUse, wanted: Prune | None = None) -> Tree:
    made = Tree()
    for path, text in files.items():
        made.add(Entry(f"python/{path}", Bytes(text.encode("latin-1")), path.split("/", 1)[0]))
    prune.finish(made, wanted or Prune(), uses or [RECIPE])
    return made


def left(files: dict[str, str], *uses: RecipeUse, wanted: Prune | None = None) -> set[str]:
    return {entry.inner for entry in finished(files, *uses, wanted=wanted)}


def test_the_distribution_itself_does_without() -> None:
    tree = finished(NUMBERS)
    assert {entry.inner for entry in tree} == {"numbers/__init__.py"}
    assert {one.rule for one in tree.removed} == {"recipe:numbers"}


@pytest.mark.parametrize(
    "source",
    [
        "import numbers.random\n",
        "from numbers import random as r\n",
        "import numbers as nb\n\ndef draw():\n    return nb.random.draw()\n",
        "import numbers\nx = numbers.random\n",
        "from numbers.random import draw\n",
    ],
)
def test_what_another_distribution_refers_to_stays_with_its_needs(source: str) -> None:
    tree = finished({**NUMBERS, "frames/__init__.py": source})
    assert {entry.inner for entry in tree} == {*RANDOM, "numbers/__init__.py", "frames/__init__.py"}
    exemption = tree.kept["python/numbers/random/__init__.py"]
    assert exemption.rule == "recipe:numbers"
    assert exemption.reason.startswith("frames/__init__.py imports numbers.random")


@pytest.mark.parametrize(
    "source",
    ["import random\n", "import numbers as nb\nx = nb.randomize\n", "'random numbers'\n"],
)
def test_what_only_looks_like_a_reference_keeps_nothing(source: str) -> None:
    assert left({**NUMBERS, "frames/__init__.py": source}) == {
        "numbers/__init__.py",
        "frames/__init__.py",
    }


@pytest.mark.parametrize("content", ["\0numbers\0\0random\0", "\1numbers.random\1"])
def test_compiled_code_of_another_distribution_keeps_what_it_names(content: str) -> None:
    native = "frames/fast.cpython-313-aarch64-linux-gnu.so"
    assert left({**NUMBERS, native: content}) >= RANDOM
    assert not RANDOM & left({**NUMBERS, native: "\0numbers\0random numbers"})


def test_a_layers_keep_wins_over_a_recipe_and_its_add_over_a_recipes_keep() -> None:
    kept = left(NUMBERS, wanted=Prune(keep=["numbers/fft/"]))
    assert "numbers/fft/__init__.py" in kept
    keeping = RecipeUse(name="numbers", version="2.0", keep={"numbers/fft/": "public"})
    added = left(NUMBERS, keeping, wanted=Prune(add=["numbers/fft/"]))
    assert "numbers/fft/__init__.py" not in added


def test_what_a_recipe_keeps_no_built_in_rule_removes() -> None:
    files = {
        "app/__init__.py": "",
        "app/test/__init__.py": "from app.test import helper\n",
        "app/test/helper.py": "",
        "app/test/__pycache__/helper.cpython-312.pyc": "",
        "app/tests/test_a.py": "",
    }
    keeping = RecipeUse(name="app", version="1.0", keep={"app/test/": "public API"})
    tree = finished(files, keeping)
    assert {entry.inner for entry in tree} == {
        "app/__init__.py",
        "app/test/__init__.py",
        "app/test/helper.py",
    }
    assert tree.kept["python/app/test/helper.py"].reason == "public API"


def test_patterns_that_match_nothing_are_known() -> None:
    tree = finished(NUMBERS)
    assert prune.unmatched(tree, [RECIPE]) == {"numbers": ["numbers/gone/"]}
    rescued = finished({**NUMBERS, "frames/__init__.py": "import numbers.random\n"})
    assert prune.unmatched(rescued, [RECIPE]) == {"numbers": ["numbers/gone/"]}
