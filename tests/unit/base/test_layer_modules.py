"""Which modules a layer has is read from its paths alone."""

from __future__ import annotations

import pytest
from layersmith.base.modules import excepted, modules_of


def names(*paths: str) -> list[str]:
    return [module.name for module in modules_of(f"python/{path}" for path in paths)]


def test_packages_modules_and_extensions() -> None:
    assert names(
        "six.py",
        "PIL/__init__.py",
        "PIL/Image.py",
        "PIL/_imaging.cpython-313-aarch64-linux-gnu.so",
        "google/auth/__init__.py",
        "cryptography/_rust.abi3.so",
        "yaml/_yaml.so",
    ) == ["PIL", "PIL.Image", "PIL._imaging", "cryptography._rust", "google.auth", "six",
          "yaml._yaml"]  # fmt: skip


def test_parents_come_before_their_children() -> None:
    found = names("a-b.py", "a/__init__.py", "a/z.py", "a/b/__init__.py", "a_.py")
    assert found == ["a", "a.b", "a.z", "a_"]


@pytest.mark.parametrize(
    "path",
    [
        "pillow.libs/libtiff-0123abcd.so.6.1.0",
        "pillow-13.0.0.dist-info/METADATA",
        "bin/chroma",
        "package/__main__.py",
        "package/data-file.py",
        "2to3/fixes.py",
        "package/types.pyi",
        "package/__pycache__/x.cpython-313.pyc",
    ],
)
def test_what_is_no_module(path: str) -> None:
    assert names(path) == []


def test_bytecode_in_the_place_of_sources_is_a_module() -> None:
    assert names("a/__init__.pyc", "a/b.pyc") == ["a", "a.b"]


def test_source_and_bytecode_are_one_module() -> None:
    assert names("a.py", "a.pyc", "__pycache__/a.cpython-313.pyc") == ["a"]


def test_site_packages_below_the_layer_count_too() -> None:
    assert names("lib/python3.13/site-packages/six.py") == ["six"]


def test_files_beside_the_python_folder_are_no_modules() -> None:
    assert modules_of(["lib/libfoo.so", "six.py"]) == []


@pytest.mark.parametrize(
    ("module", "pattern"),
    [
        ("PIL.ImageTk", "PIL.ImageTk"),
        ("pydantic.v1.mypy", "pydantic.v1"),
        ("httpcore._sync.http2", "httpcore._*.http2"),
        ("numpy.random._examples.cffi.extending", "numpy.random._examples"),
    ],
)
def test_an_exception_covers_what_it_matches_and_what_is_below(module: str, pattern: str) -> None:
    assert excepted(module, {"other": "", pattern: "a reason"}) == pattern


@pytest.mark.parametrize("module", ["PIL.ImageT", "PIL.ImageTkinter", "PIL"])
def test_an_exception_covers_nothing_else(module: str) -> None:
    assert excepted(module, {"PIL.ImageTk": "a reason"}) is None
