"""The lite BLAS is built from numpy's real wheel and sdist, and numpy runs on it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import liteblas
from layersmith.base import runtimes
from layersmith.liteblas import compiler

from tests.support import clocks, packages

if TYPE_CHECKING:
    from layersmith.liteblas import LiteBlas

CHECK = Path(__file__).with_name("linalg_check.py")
VERSION, SDIST = packages.NUMPY

HERE = f"python3.{sys.version_info[1]}"
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("liteblas")


@pytest.fixture(scope="module")
def native_wheel(cache_dir: Path) -> Path:
    return packages.wheel("numpy", VERSION, HERE, ARCHITECTURE, cache_dir)


@pytest.fixture(scope="module")
def sdist(cache_dir: Path) -> Path:
    return packages.sdist("numpy", VERSION, SDIST, cache_dir)


@pytest.fixture(scope="module")
def native(native_wheel: Path, sdist: Path, cache_dir: Path) -> LiteBlas:
    return liteblas.drop_in(native_wheel, sdist, runtime=runtimes.get(HERE), cache_dir=cache_dir)


def numpy_with(wheel: Path, blas: LiteBlas | None, folder: Path) -> Path:
    packages.unpack([wheel], folder)
    if blas:
        library = folder / blas.soname_path_in_wheel
        assert library.stat().st_size > 15 * len(blas.content)
        library.write_bytes(blas.content)
    return folder


def check_here(site: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, str(CHECK), *options],
        env={**os.environ, "PYTHONPATH": str(site), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=clocks.seconds(300),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
def test_all_of_linalg_is_right_on_this_machine(
    native_wheel: Path, native: LiteBlas, tmp_path: Path
) -> None:
    site = numpy_with(native_wheel, native, tmp_path)

    assert check_here(site) == "3072 comparisons passed\n"


@pytest.mark.slow
def test_the_check_holds_for_openblas_too(native_wheel: Path, tmp_path: Path) -> None:
    site = numpy_with(native_wheel, None, tmp_path)

    assert check_here(site, "--openblas") == "3072 comparisons passed\n"


@pytest.mark.slow
def test_the_library_is_small_and_its_record_says_what_it_is_made_of(native: LiteBlas) -> None:
    assert len(native.content) < 1_200_000
    assert native.record["numpy"] == VERSION
    assert native.record["size"] == len(native.content)
    assert native.record["sdist"]["filename"] == f"numpy-{VERSION}.tar.gz"
    assert native.record["compiler"]["name"] == "zig"
    floor = runtimes.get(HERE).glibc
    assert tuple(int(part) for part in native.record["glibc"].split(".")) <= floor


@pytest.mark.slow
def test_another_cache_gives_the_same_bytes(
    native_wheel: Path, sdist: Path, native: LiteBlas, tmp_path: Path
) -> None:
    again = liteblas.drop_in(native_wheel, sdist, runtime=runtimes.get(HERE), cache_dir=tmp_path)

    assert again == native


@pytest.mark.slow
def test_a_damaged_cache_entry_is_not_used(
    native_wheel: Path,
    sdist: Path,
    native: LiteBlas,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damaged = cache_dir / "damaged"
    for entry in [path.parent for path in cache_dir.glob("*/lib.so")]:
        shutil.copytree(entry, damaged / entry.name)

    class Built(Exception):
        """It would be built anew."""

    def build(*_: object) -> None:
        raise Built

    monkeypatch.setattr(compiler, "build", build)
    settings: dict[str, Any] = {"runtime": runtimes.get(HERE), "cache_dir": damaged}
    assert liteblas.drop_in(native_wheel, sdist, **settings) == native

    for library in damaged.glob("*/lib.so"):
        library.write_bytes(native.content[:1000])
    with pytest.raises(Built):
        liteblas.drop_in(native_wheel, sdist, **settings)


@pytest.mark.docker
@pytest.mark.slow
def test_all_of_linalg_is_right_on_arm64(tmp_path: Path, sdist: Path, cache_dir: Path) -> None:
    runtime = runtimes.get("python3.13")
    wheel = packages.wheel("numpy", VERSION, runtime.name, "arm64", tmp_path)
    blas = liteblas.drop_in(wheel, sdist, runtime=runtime, cache_dir=cache_dir)
    site = numpy_with(wheel, blas, tmp_path / "site")
    shutil.copy(CHECK, site)

    assert packages.in_container(site, "/opt/python/linalg_check.py") == "3072 comparisons passed\n"
