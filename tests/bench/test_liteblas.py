"""The lite BLAS against the OpenBLAS that it replaces, on this machine's own architecture."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import liteblas
from layersmith.base import runtimes

from tests.support import packages

if TYPE_CHECKING:
    from pathlib import Path

HERE = f"python3.{sys.version_info[1]}"
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]

OPERATIONS = {
    "matmul": "a @ b",
    "solve": "np.linalg.solve(a, b)",
    "svd": "np.linalg.svd(a)",
    "eigh": "np.linalg.eigh(a + a.T)",
    "scan": "m @ a[0, :96]",
}
PROGRAM = """
import json, sys, timeit
import numpy as np
r = np.random.default_rng(0)
a, b = r.standard_normal((2, 128, 128))
m = r.standard_normal((10_000, 96))
f = eval("lambda: " + sys.argv[1])
f()
count, _ = timeit.Timer(f).autorange()
print(json.dumps(min(timeit.repeat(f, number=count, repeat=5)) / count))
"""


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("liteblas")
    version, sha256 = packages.NUMPY
    wheel = packages.wheel("numpy", version, HERE, ARCHITECTURE, root)
    sdist = packages.sdist("numpy", version, sha256, root)
    blas = liteblas.drop_in(wheel, sdist, runtime=runtimes.get(HERE), cache_dir=root / "cache")
    found = {name: packages.unpack([wheel], root / name) for name in ("openblas", "lite")}
    (found["lite"] / blas.soname_path_in_wheel).write_bytes(blas.content)
    return found


def seconds(site: Path, expression: str) -> float:
    # The width of vectors that both have on Graviton2; OpenBLAS ignores the name elsewhere.
    variables = {"OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Nehalem"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, expression],
        env={**os.environ, **variables, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return float(json.loads(done.stdout))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_speed_against_openblas(benchmark: Any, sites: dict[str, Path], operation: str) -> None:
    peer = seconds(sites["openblas"], OPERATIONS[operation])

    mine = benchmark.pedantic(
        seconds, args=(sites["lite"], OPERATIONS[operation]), rounds=1, iterations=1
    )

    benchmark.extra_info["seconds"] = mine
    benchmark.extra_info["ratio to OpenBLAS with vectors of 16 bytes"] = round(mine / peer, 2)
