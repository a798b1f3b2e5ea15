"""Real sdists, compiled for ARM64 and started there."""

from __future__ import annotations

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import pytest
from layersmith import cache
from layersmith.base import runtimes
from layersmith.crossbuild import wheels
from layersmith.crossbuild.sdist import CrossBuildOptions
from layersmith.errors import BuildError

from tests.support import packages

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.crossbuild.finished import BuiltWheel

RUNTIME = runtimes.get("python3.13")


class Case(NamedTuple):
    """An sdist, what it needs beside it, and a program that ends with 0 only if it works."""

    name: str
    version: str
    sha256: str
    backend: str
    beside: tuple[tuple[str, str], ...]
    program: str


C = Case(
    "markupsafe",
    "3.0.3",
    "722695808f4b6457b320fdc131280796bdceb04ab50fe1795cd540799ebe1698",
    "setuptools",
    (),
    "import markupsafe._speedups as s; assert s._escape_inner('<a>') == '&lt;a&gt;'",
)
CASES = [
    C,
    Case(
        "kiwisolver",
        "1.5.1",
        "f1303ef2eec81262a4b708c3e858afe58d7c75ad91c1c05266eda7673369859a",
        "setuptools",
        (),
        "from kiwisolver import *; s, x = Solver(), Variable('x'); s.addConstraint(x >= 10);"
        "s.updateVariables(); assert x.value() == 10\n"
        "try: s.addConstraint((x <= 1) | 'required')\n"
        "except UnsatisfiableConstraint: pass\n"
        "else: raise AssertionError('a C++ exception was lost')",
    ),
    Case(
        "cytoolz",
        "1.2.0",
        "fdd8ded8a93e1be009577fccddaacf78aa21cbe7dc6ec53c229def0198a1ffa5",
        "setuptools",
        (("toolz", "1.1.0"),),
        "import cytoolz; assert list(cytoolz.partition(2, range(4))) == [(0, 1), (2, 3)]",
    ),
    Case(
        "cmarkgfm",
        "2025.10.22",
        "5bec61007b65b919488442c838c58a6c8bf4741f5103c593b2ef180d39818eda",
        "setuptools",
        (("cffi", "2.0.0"),),
        "import cmarkgfm; assert '<em>a</em>' in cmarkgfm.markdown_to_html('*a*')",
    ),
    Case(
        "argon2-cffi-bindings",
        "26.2.0",
        "f21ab89bb9850f32b9ca038d9961424bb0d3669d579cbbbfed068cffa6fc0643",
        "scikit-build-core",
        (("cffi", "2.0.0"),),
        "from _argon2_cffi_bindings import lib; assert lib.ARGON2_VERSION_13 == 0x13",
    ),
]


@pytest.fixture(scope="module")
def work_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crossbuild")
    # The wheels are built anew; the C++ library of the target, a minute's work, is not.
    (folder / "zig").symlink_to(cache.section("tests") / "zig", target_is_directory=True)
    (cache.section("tests") / "zig").mkdir(exist_ok=True)
    return folder


def build(case: Case, work_cache: Path, architecture: str = "arm64") -> BuiltWheel:
    return wheels.build_wheel(
        packages.sdist(case.name, case.version, case.sha256, work_cache),
        runtime=RUNTIME,
        architecture=architecture,
        options=CrossBuildOptions(),
        work_cache=work_cache,
    )


def own_sdist(folder: Path, source: str, extension: str = "") -> Path:
    """Write an sdist of one C extension."""
    setup = (
        "from setuptools import Extension, setup\n"
        f"setup(ext_modules=[Extension('thing', ['thing.c'], {extension})])\n"
    )
    project = '[project]\nname = "thing"\nversion = "1.0"\n'
    path = folder / "thing-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, text in {"setup.py": setup, "pyproject.toml": project, "thing.c": source}.items():
            info = tarfile.TarInfo(f"thing-1.0/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.mark.needs("Python.h")
def test_a_wheel_is_built_once_and_its_record_says_from_what(work_cache: Path) -> None:
    built = build(C, work_cache)
    written = built.path.stat().st_mtime_ns

    again = build(C, work_cache)

    assert again == built
    assert built.path.stat().st_mtime_ns == written
    assert built.path.name == f"markupsafe-{C.version}-cp313-cp313-manylinux_2_34_aarch64.whl"
    assert built.record["sdist"]["sha256"] == C.sha256
    assert built.record["target"] == "aarch64-linux-gnu.2.34"
    assert built.record["compiler"]["name"] == "zig"
    assert any(line.startswith("setuptools==") for line in built.record["build_requirements"])


@pytest.mark.needs("Python.h")
def test_the_pinned_requirements_give_the_same_bytes_in_another_cache(
    work_cache: Path, tmp_path: Path
) -> None:
    built = build(C, work_cache)
    (tmp_path / "zig").symlink_to(work_cache / "zig")  # only the compiler's cache is shared

    again = wheels.build_wheel(
        packages.sdist(C.name, C.version, C.sha256, tmp_path),
        runtime=RUNTIME,
        architecture="arm64",
        options=CrossBuildOptions(),
        work_cache=tmp_path,
        requirements=built.record["build_requirements"],
    )

    assert again.path != built.path
    assert again.path.read_bytes() == built.path.read_bytes()


@pytest.mark.needs("Python.h")
def test_two_builds_of_one_sdist_at_once_do_not_meet(work_cache: Path, tmp_path: Path) -> None:
    def build(name: str) -> bytes:
        own = tmp_path / name
        own.mkdir()
        (own / "zig").symlink_to(work_cache / "zig")
        return wheels.build_wheel(
            path,
            runtime=RUNTIME,
            architecture="arm64",
            options=CrossBuildOptions(),
            work_cache=own,
        ).path.read_bytes()

    source = "#include <Python.h>\nPyMODINIT_FUNC PyInit_thing(void) { return NULL; }\n"
    path = own_sdist(tmp_path, source)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(build, ["one", "two"])
    assert first == second


@pytest.mark.needs("Python.h")
def test_a_compiler_error_is_shown(work_cache: Path, tmp_path: Path) -> None:
    path = own_sdist(tmp_path, "#include <Python.h>\n#error no way\n")

    with pytest.raises(BuildError, match=r"thing 1\.0 does not cross-compile") as caught:
        wheels.build_wheel(
            path,
            runtime=RUNTIME,
            architecture="arm64",
            options=CrossBuildOptions(),
            work_cache=work_cache,
        )
    assert "no way" in str(caught.value)
    assert not list(work_cache.glob("wheels/*/thing*"))


@pytest.mark.needs("Python.h")
def test_a_library_that_the_sdist_lacks_is_the_likely_cause(
    work_cache: Path, tmp_path: Path
) -> None:
    source = "#include <Python.h>\nPyMODINIT_FUNC PyInit_thing(void) { return NULL; }\n"
    path = own_sdist(tmp_path, source, "libraries=['nowhere']")

    with pytest.raises(BuildError) as caught:
        wheels.build_wheel(
            path,
            runtime=RUNTIME,
            architecture="arm64",
            options=CrossBuildOptions(),
            work_cache=work_cache,
        )
    assert caught.value.cause == "the build needs a C library that its sdist does not hold"


@pytest.mark.needs("Python.h")
def test_an_optional_extension_that_does_not_compile_is_said(
    work_cache: Path, tmp_path: Path
) -> None:
    path = own_sdist(tmp_path, '#include "nowhere.h"\n', "optional=True")

    built = wheels.build_wheel(
        path,
        runtime=RUNTIME,
        architecture="arm64",
        options=CrossBuildOptions(),
        work_cache=work_cache,
    )

    assert built.warning is not None
    assert built.warning.startswith("compiled nothing: its wheel holds no native file")
    assert "thing.c:1:10: fatal error: 'nowhere.h' file not found" in built.warning
    assert build(C, work_cache).warning is None


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_it_runs_on_arm64(case: Case, work_cache: Path, tmp_path: Path) -> None:
    built = build(case, work_cache)
    beside = [
        packages.wheel(name, version, RUNTIME.name, "arm64", tmp_path)
        for name, version in case.beside
    ]

    site = packages.unpack([built.path, *beside], tmp_path / "site")

    assert built.record["backend"] == case.backend
    assert packages.in_container(site, "-c", case.program + "\nprint('it works')") == "it works\n"
