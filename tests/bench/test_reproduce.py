"""reproduce of chromadb-vector beside a plain build of the same commit, both from empty caches.

What reproduce adds is a work tree, a start of the tool, and the comparison. On two quiet cores the
whole takes less than a minute; what is held is its ratio to the build of the same run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).parents[2]
WANTED_SECONDS, WANTED_RATIO = 60.0, 1.5
STEM = "chromadb-vector-1.0.0-python3.13-arm64"


def seconds(folder: Path, cache: Path, *words: str) -> float:
    """Run a verb of a checkout with caches that begin empty, and return how long it took."""
    caches = {"LAYERSMITH_CACHE": str(cache), "UV_CACHE_DIR": str(cache / "uv")}
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "build/layers.py", *words, "--quiet"],
        cwd=folder,
        env={**os.environ, **caches},
        check=True,
        capture_output=True,
    )
    return time.monotonic() - started


def test_reproduce_against_a_plain_build(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    words = ["git", "clone", "--quiet", "--shared", str(ROOT), str(clone)]
    subprocess.run(words, check=True, capture_output=True)
    target = ["chromadb-vector", "--runtime", "python3.13"]
    plain = seconds(clone, tmp_path / "plain", "build", *target)
    published = str(clone / "dist" / f"{STEM}.zip")

    again: float = benchmark.pedantic(  # type: ignore[no-untyped-call]
        seconds, args=(clone, tmp_path / "unused", "reproduce", published), rounds=1
    )
    benchmark.extra_info |= {
        "reproduce": round(again, 1),
        "plain build": round(plain, 1),
        "wanted seconds": WANTED_SECONDS,
    }
    assert again / plain < WANTED_RATIO
