"""`weigh` beside what a user would do instead: install to a folder and ask du, in the same run.

Both answer for chromadb==1.5.9 on python3.12 arm64, as processes of their own. Cold means without
any cache of layersmith or uv; warm means that both have run before.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from layersmith.base import uv

from tests.bench.comparisons import compare

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).parents[2]
REQUIREMENT = "chromadb==1.5.9"
ROUNDS = 3
WANTED = 1.2 / 2.64
"""Seconds of weigh and of the peer, cold, on the machine that the wish is of."""


class Peers:
    """The two ways, in a folder with caches of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "LAYERSMITH_CACHE": str(folder / "layersmith"),
            "UV_CACHE_DIR": str(folder / "uv"),
        }

    def forget(self) -> None:
        """Remove all caches."""
        for name in ("layersmith", "uv"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def weigh(self) -> int:
        """Return what `weigh` says of the unpacked bytes."""
        argv: list[str | Path] = [
            sys.executable,
            ROOT / "build" / "layers.py",
            "weigh",
            REQUIREMENT,
            "--json",
        ]
        done = self._run([*argv, "--runtime", "python3.12", "--arch", "arm64"])
        unzipped: int = json.loads(done)["data"]["reports"][0]["installed"]["unzipped"]
        return unzipped

    def install_and_du(self) -> int:
        """Return what du says of an installation."""
        target = self.folder / "installed"
        shutil.rmtree(target, ignore_errors=True)
        argv: list[str | Path] = [uv.program(), "pip", "install", "--quiet", "--target", target]
        argv += ["--python-platform", "aarch64-manylinux_2_34", "--python-version", "3.12"]
        self._run([*argv, "--python", sys.executable, "--only-binary", ":all:", REQUIREMENT])
        return int(self._run(["du", "--summarize", "--bytes", target]).split()[0])

    def _run(self, argv: list[str | Path]) -> str:
        done = subprocess.run(
            [str(word) for word in argv],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


@pytest.mark.parametrize("state", ["cold", "warm"])
def test_weigh_against_install_and_du(
    benchmark: BenchmarkFixture, tmp_path: Path, state: str
) -> None:
    peers = Peers(tmp_path)
    before = peers.forget if state == "cold" else None
    ours, theirs = peers.weigh(), peers.install_and_du()
    # du counts folders and uv's own notes, too.
    assert abs(ours - theirs) < 0.01 * ours

    def install_and_du() -> None:
        if before:
            before()
        peers.install_and_du()

    compare(
        benchmark,
        f"weigh of chromadb, {state}",
        peers.weigh,
        ("uv pip install --target, then du", install_and_du, WANTED),
        before=before,
        rounds=ROUNDS,
    )
