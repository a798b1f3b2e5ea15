"""Modules that a layer imports stay, whatever the names of their folders."""

from __future__ import annotations

import pytest
from layersmith.assemble import prune
from layersmith.assemble.tree import Bytes, Entry, Tree
from layersmith.config.models import Prune


def finished(files: dict[str, str], add: tuple[str, ...] = (), keep: tuple[str, ...] = ()) -> Tree:
    """Prune a layer of ``files``; the first folder of a path is its distribution."""
    made = Tree()
    for path, text in files.items():
        made.add(Entry(f"python/{path}", Bytes(text.encode()), path.split("/", 1)[0]))
    prune.finish(made, Prune(add=list(add), keep=list(keep)))
    return made


def kept(files: dict[str, str], add: tuple[str, ...] = (), keep: tuple[str, ...] = ()) -> set[str]:
    """Return what is left of a layer although a built-in rule matches it."""
    made = finished(files, add, keep)
    paths = {f"python/{path}" for path in files}
    assert set(made.entries) | {one.path for one in made.removed} == paths
    assert not set(made.entries) & {one.path for one in made.removed}
    return {path.removeprefix("python/") for path in made.kept}


SUITE = {
    "app/__init__.py": "",
    "app/tests/__init__.py": "",
    "app/tests/helpers.py": "",
    "app/tests/test_a.py": "from . import helpers\n",
    "app/docs/__init__.py": "",
    "app/docs/text.py": "",
    "app/conftest.py": "",
}
HELPERS = {"app/tests/__init__.py", "app/tests/helpers.py"}


@pytest.mark.parametrize(
    "source",
    [
        "from app.tests.helpers import a\n",
        "import app.tests.helpers\n",
        "import os, app.tests.helpers as helpers\n",
        "from .tests.helpers import a\n",
        "from .tests import helpers\n",
        "from .tests import (\n    other,\n    helpers as h,\n)\n",
        "from app.tests import *\nimport app.tests.helpers\n",
        "def later():\n    from app.tests import helpers\n",
        "try:\n    import app.tests.helpers\nexcept ImportError:\n    pass\n",
        "if TYPE_CHECKING:\n    pass\nelse:\n    from .tests import helpers\n",
        "from importlib import import_module\nimport_module('app.tests.helpers')\n",
        "import importlib\nimportlib.import_module('.tests.helpers', __package__)\n",
        "import importlib\nimportlib.import_module('.helpers', 'app.tests')\n",
        "import importlib\nimportlib.import_module(name='app.tests.helpers')\n",
        "import importlib\nimportlib.import_module(f'{__package__}.tests.helpers')\n",
        "import importlib\nimportlib.import_module(__package__ + '.tests.helpers')\n",
        "__import__('app.tests.helpers')\n",
        "RUNNER = 'app.tests.helpers.Runner'\n",
        "PLUGINS = {'a': 'app.tests.helpers:Runner'}\n",
        "import lazy_loader\nlazy_loader.attach(__name__, submod_attrs={'tests.helpers': ['a']})\n",
        "print 'for another Python'\nfrom app.tests import helpers\n",
    ],
)
def test_what_a_module_imports_stays(source: str) -> None:
    assert kept({**SUITE, "app/core.py": source}) == HELPERS


@pytest.mark.parametrize(
    "source",
    [
        '"""Run app.tests.helpers to see."""\n',
        "# from app.tests import helpers\n",
        "def f():\n    '''Example.\n\n    >>> import app.tests.helpers\n    '''\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .tests import helpers\n",
        "import typing\nif typing.TYPE_CHECKING:\n    import app.tests.helpers\n",
        "print('tests', 'helpers')\n",
        "tests = helpers = 'the tests are in app.tests.helpers'\n",
        "import other.tests.helpers\n",
        "from ..tests import helpers\n",
        "import os.path as tests\n",
    ],
)
def test_what_a_module_only_mentions_goes(source: str) -> None:
    assert kept({**SUITE, "app/core.py": source}) == set()


def test_a_rescued_module_brings_what_it_imports_and_not_what_it_names() -> None:
    files = {
        **SUITE,
        "app/__init__.py": "from app.docs import text\n",
        "app/docs/text.py": "from other.docs import base\nSUITE = 'app.tests.test_a'\n",
        "other/__init__.py": "",
        "other/docs/__init__.py": "",
        "other/docs/base.py": "import app.conftest\n",
        "other/docs/more.py": "import app.docs\n",
    }
    made = finished(files)
    assert {path: (one.rule, one.reason) for path, one in made.kept.items()} == {
        "python/app/docs/__init__.py": ("docs", "app/__init__.py imports app.docs"),
        "python/app/docs/text.py": ("docs", "app/__init__.py imports app.docs.text"),
        "python/other/docs/__init__.py": ("docs", "app/docs/text.py imports other.docs"),
        "python/other/docs/base.py": ("docs", "app/docs/text.py imports other.docs.base"),
        "python/app/conftest.py": ("tests", "other/docs/base.py imports app.conftest"),
    }


def test_imports_of_tests_that_are_gone_do_not_count() -> None:
    assert kept({**SUITE, "app/tests/test_b.py": "import app.docs.text, app.conftest\n"}) == set()


def test_a_file_that_users_keep_brings_what_it_imports() -> None:
    left = kept(SUITE, keep=("app/tests/test_a.py",))
    assert left == HELPERS


def test_users_decide_what_goes() -> None:
    files = {**SUITE, "app/core.py": "from app.tests import helpers, test_a\n"}
    assert kept(files, add=("app/tests/helpers.py",)) == {
        "app/tests/__init__.py",
        "app/tests/test_a.py",
    }
    assert kept({"app/big.py": "", "app/core.py": "import app.big\n"}, add=("app/big.py",)) == set()


def test_what_users_remove_needs_nothing() -> None:
    files = {**SUITE, "app/core.py": "from app.tests import helpers\n"}
    assert kept(files, add=("app/core.py",)) == set()


def test_extension_modules_and_packages_without_a_file_count() -> None:
    library = "app/tests/_fast.cpython-313-aarch64-linux-gnu.so"
    files = {"app/core.py": "from app.tests import _fast\n", library: "", "app/tests/_slow.so": ""}
    assert kept(files) == {library}


@pytest.mark.parametrize(
    "source",
    [
        "import lazy_loader as lazy\n_, __dir__, _ = lazy.attach_stub(__name__, __file__)\n",
        "from ._vendored import own_loader\nown_loader(__name__, __file__)\n",
        "import lazy\nlazy.attach_stub(package_name=__package__, filename=__file__)\n",
    ],
)
def test_stubs_that_a_lazy_loader_reads_stay_with_what_they_import(source: str) -> None:
    files = {
        "app/__init__.py": source,
        "app/__init__.pyi": "from .tests import helpers\nfrom .core import double\n",
        "app/core.py": "print(__file__)\n",
        "app/core.pyi": "def double(x: int) -> int: ...\n",
        "app/tests/helpers.py": "",
        "app/tests/other.py": "",
    }
    assert kept(files) == {"app/__init__.pyi", "app/tests/helpers.py"}


def test_all_of_a_package_is_what_a_star_imports() -> None:
    files = {
        "app/__init__.py": "__all__ = ['core']\n__all__ += ['docs']\n",
        "app/docs/__init__.py": "__all__: list[str] = ['text']\n",
        "app/docs/text.py": "",
        "app/docs/other.py": "",
    }
    assert kept(files) == {"app/docs/__init__.py", "app/docs/text.py"}


@pytest.mark.parametrize(
    "table",
    [
        "TABLE = {'text': '.docs.text'}\n",
        "TABLE: dict[str, str] = dict(text='docs.text')\n",
        "TABLE = {'docs.text': ['a', 'b']}\n",
    ],
)
def test_a_module_that_loads_attributes_late_has_a_table_of_them(table: str) -> None:
    loader = "def __getattr__(name):\n    return load(TABLE[name], __spec__.parent)\n"
    files = {**SUITE, "app/__init__.py": table + loader}
    assert kept(files) == {"app/docs/__init__.py", "app/docs/text.py"}
    sets = "def __dir__():\n    return globals() - {'tests', 'docs', 'conftest'}\n"
    assert kept({**SUITE, "app/__init__.py": "TABLE = {}\n" + loader + sets}) == set()


def test_data_stay_that_a_rescued_module_names() -> None:
    files = {
        "app/core.py": "import app.tests.words\n",
        "app/tests/words.py": "open(join(dirname(__file__), 'data', 'words.txt'))\n",
        "app/tests/data/words.txt": "",
        "app/tests/data/other.txt": "",
        "app/tests/more/words.txt": "",
    }
    assert kept(files) == {"app/tests/words.py", "app/tests/data/words.txt"}


def test_data_stay_that_a_module_reads_from_a_package() -> None:
    files = {
        "app/core.py": "from importlib.resources import files\nfiles('app.tests') / 'a.txt'\n",
        "app/tests/__init__.py": "",
        "app/tests/a.txt": "",
        "app/tests/b.txt": "",
    }
    assert kept(files) == {"app/tests/__init__.py", "app/tests/a.txt"}
