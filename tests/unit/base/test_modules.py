"""Names of extension modules, as CPython's import system reads them."""

from __future__ import annotations

import pytest
from layersmith.base import modules, runtimes
from layersmith.base.modules import ModuleName

LINUX = "cpython-313-aarch64-linux-gnu"
RUNTIME = runtimes.get("python3.13")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("python/PIL/_imaging.so", ModuleName("_imaging")),
        ("_imaging.abi3.so", ModuleName("_imaging", "abi3")),
        ("x/a1.cpython-313.so", ModuleName("a1", "cpython-313", "313")),
        (f"a.{LINUX}.so", ModuleName("a", LINUX, "313", "", "aarch64-linux-gnu")),
        (
            "a.cpython-313t-x86_64-linux-gnu.so",
            ModuleName("a", "cpython-313t-x86_64-linux-gnu", "313", "t", "x86_64-linux-gnu"),
        ),
        ("a.pypy310-pp73.so", ModuleName("a", "pypy310-pp73", "pypy310")),
        ("a.cp313-win_amd64.pyd", ModuleName("a", "cp313-win_amd64", None, "", "win")),
        ("1a.so", None),
        ("a.so.1", None),
        ("lib-a.so", None),
        ("a.other.so", None),
        ("a.py", None),
        ("", None),
    ],
)
def test_a_name_is_parsed(path: str, expected: ModuleName | None) -> None:
    assert modules.module_name(path) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("a.so", True),
        ("a.abi3.so", True),
        (f"a.{LINUX}.so", True),
        ("a.pypy310-pp73.so", False),
        ("a.cp313-win_amd64.pyd", False),
    ],
)
def test_only_cpython_on_linux_is_ours(file: str, expected: bool) -> None:
    name = modules.module_name(file)
    assert name is not None
    assert name.is_for_cpython is expected


def test_what_a_runtime_looks_for_in_its_order() -> None:
    ends = modules.suffixes(RUNTIME, "arm64")
    assert ends == (f".{LINUX}.so", ".abi3.so", ".so")
    assert modules.suffixes(RUNTIME, "x86_64")[0] == ".cpython-313-x86_64-linux-gnu.so"
    assert all(modules.module_name(f"thing{end}") for end in ends)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"python/numpy/_core/_simd.{LINUX}.so", "python/numpy/_core/_simd.so"),
        ("_simd.cpython-313t-x86_64-linux-gnu.so", "_simd.so"),
        ("_simd.abi3.so", "_simd.so"),
        ("_simd.so", "_simd.so"),
        ("__pycache__/a.cpython-313.pyc", "__pycache__/a.pyc"),
        ("a.pyc", "a.pyc"),
        ("a.cpython-313.py", "a.cpython-313.py"),
        ("a.abi3.so.1", "a.abi3.so.1"),
        ("abi3/b.so", "abi3/b.so"),
    ],
)
def test_python_and_platform_are_left_out_of_a_name(path: str, expected: str) -> None:
    assert modules.without_tag(path) == expected


@pytest.mark.parametrize(
    ("path", "native", "shared"),
    [
        ("a/b.so", True, True),
        ("a/b.so.1", True, True),
        ("a/b.so.1.22", True, True),
        ("a/b-1a.so.5debug", True, False),
        ("a/b.a", True, False),
        ("a/b.dylib", True, False),
        ("a.so.d/b.txt", False, False),
        ("a.so.d/b.so", True, True),
        ("a/b.pyd", False, False),
        ("a/b.soon", False, False),
        ("a/so", False, False),
        ("a/b.py", False, False),
    ],
)
def test_native_and_shared_by_their_names(path: str, native: bool, shared: bool) -> None:
    assert modules.is_native(path) is native
    assert modules.is_shared_library(path) is shared
