"""Building layers beside what a user would take instead, all measured in the same run.

The work is case D: three arm64 layers for Python 3.12 as installers leave them (a: chromadb-client,
b: pillow, numpy and requests, d3: pydantic, httpx and orjson). Every tool starts as a process of
its own, with a warm download cache, and writes zips to an empty folder. Each ratio stands in the
benchmark's extra_info, together with the ratio that is wanted.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from layersmith.base import interpreters, uv

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).parents[2]
LAYERS = {
    "a": ["chromadb-client==1.5.9"],
    "b": ["pillow", "numpy", "requests"],
    "d3": ["pydantic", "httpx", "orjson"],
}
ROUNDS = 3

PLAIN = """\
defaults:
  runtimes: ["python3.12"]
  architectures: [arm64]
  bytecode: none
  strip: false
  prune: {defaults: false}
  keep-provided: [urllib3]
layers:
"""

SAM = """\
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
"""


@dataclass
class Workplace:
    """A folder with case D locked, and how long each peer took in it."""

    root: Path
    peers: dict[str, float]

    def tool(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run([sys.executable, ROOT / "build" / "layers.py", *words], self.root)

    def build(self) -> None:
        self.tool("build", "--quiet")

    def clean(self) -> None:
        for folder in (self.root / "dist", self.root / "cache" / "layers"):
            shutil.rmtree(folder, ignore_errors=True)


def run(
    command: list[str | Path], cwd: Path, first_on_path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LAYERSMITH_CACHE": str(cwd / "cache")}
    if first_on_path:
        environment["PATH"] = f"{first_on_path}:{environment['PATH']}"
    # Users of the tool have its bytecode cached, as the peers have theirs.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(cwd / "pycache")
    return subprocess.run(
        command, cwd=cwd, env=environment, check=True, capture_output=True, text=True
    )


def median(work: Callable[[], object], before: Callable[[], None]) -> float:
    times = []
    for _ in range(ROUNDS):
        before()
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def install(root: Path, name: str) -> str:
    """Return the shell line with which a user makes one of the layers."""
    target = root / "uv" / name
    return (
        f"{uv.program()} pip install --quiet --target {target}/python "
        "--python-platform aarch64-manylinux_2_34 --python-version 3.12 --only-binary :all: "
        f"-r {name}.txt && cd {target} && zip -qr ../{name}.zip python"
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    root = tmp_path_factory.mktemp("case-d")
    lines = [
        f"  {name}: {{description: {name}, version: 1.0.0, requirements: {json.dumps(wanted)}}}"
        for name, wanted in LAYERS.items()
    ]
    (root / "layers.yaml").write_text(PLAIN + "\n".join(lines) + "\n")
    for name, wanted in LAYERS.items():
        (root / f"{name}.txt").write_text("\n".join(wanted) + "\n")
    place = Workplace(root, {})
    place.tool("lock", "--quiet")
    place.build()
    return place


def clean_uv(root: Path) -> None:
    shutil.rmtree(root / "uv", ignore_errors=True)
    (root / "uv").mkdir()


def measure_uv(place: Workplace) -> None:
    lines = [install(place.root, name) for name in LAYERS]
    one_after_the_other = " && ".join(f"({line})" for line in lines)
    at_once = " & ".join(f"({line})" for line in lines) + " & wait"
    for name, line in (("uv + zip", one_after_the_other), ("uv + zip, parallel", at_once)):
        command: list[str | Path] = ["sh", "-c", line]
        run(command, place.root)
        place.peers[name] = median(partial(run, command, place.root), partial(clean_uv, place.root))


def measure_sam(place: Workplace) -> None:
    sam = place.root / "sam"
    resources = []
    for name in LAYERS:
        (sam / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(place.root / f"{name}.txt", sam / name / "requirements.txt")
        resources.append(
            f"  {name.upper()}:\n    Type: AWS::Serverless::LayerVersion\n"
            f"    Metadata: {{BuildMethod: python3.12, BuildArchitecture: arm64}}\n"
            f"    Properties: {{ContentUri: {name}, CompatibleRuntimes: [python3.12]}}\n"
        )
    (sam / "template.yaml").write_text(SAM + "".join(resources))
    command = [uv.program(), "tool", "run", "--from", "aws-sam-cli", "sam", "build"]
    zips = " && ".join(
        f"(cd .aws-sam/build/{name.upper()} && zip -qr ../{name}.zip python)" for name in LAYERS
    )

    python = interpreters.find(12)
    assert python, "sam build needs a CPython 3.12 on PATH"

    def build() -> None:
        run([*command], sam, python.parent)
        run(["sh", "-c", zips], sam)

    def clean() -> None:
        shutil.rmtree(sam / ".aws-sam", ignore_errors=True)

    place.peers["sam build + zip"] = median(build, clean)


def timed(
    benchmark: BenchmarkFixture, work: Callable[[], object], before: Callable[[], None], rounds: int
) -> float:
    """Let the fixture measure, and return its median in seconds."""
    benchmark.pedantic(work, setup=before, rounds=rounds)  # type: ignore[no-untyped-call]
    assert benchmark.stats is not None
    return float(benchmark.stats.stats.median)


WANTED = {"uv + zip": 6, "uv + zip, parallel": 3, "sam build + zip": 25}


def test_case_d_against_peers(benchmark: BenchmarkFixture, place: Workplace) -> None:
    measure_uv(place)
    measure_sam(place)
    ours = timed(benchmark, place.build, place.clean, 2 * ROUNDS)
    for peer, seconds in place.peers.items():
        benchmark.extra_info[peer] = {
            "seconds": round(seconds, 2),
            "times as fast": round(seconds / ours, 1),
            "wanted": WANTED[peer],
        }
    benchmark.extra_info["peak memory, MB"] = peak_memory(place)
    compare_content(place)


def peak_memory(place: Workplace) -> float:
    place.clean()
    command = [sys.executable, str(ROOT / "build" / "layers.py"), "build", "--quiet"]
    code = (
        "import os, resource, subprocess, sys\n"
        f"subprocess.run({command!r}, check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    said = run([sys.executable, "-c", code], place.root).stdout
    return round(int(said.split()[-1]) * 1024 / 1e6)


def compare_content(place: Workplace) -> None:
    """Both made the same layers: only what an installer notes of itself may differ."""
    own = ("/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json", "/.lock", "/CACHEDIR.TAG")
    for name in LAYERS:
        with (
            zipfile.ZipFile(place.root / "uv" / f"{name}.zip") as theirs,
            zipfile.ZipFile(place.root / "dist" / f"{name}-1.0.0-python3.12-arm64.zip") as ours,
        ):
            wanted = {
                info.filename: info.CRC
                for info in theirs.infolist()
                if not info.is_dir()
                and not info.filename.endswith(own)
                and not info.filename.startswith("python/bin/")
            }
            found = {
                info.filename: info.CRC
                for info in ours.infolist()
                if not info.filename.endswith("/RECORD")
            }
        assert found == wanted


def test_nothing_to_do(benchmark: BenchmarkFixture, place: Workplace) -> None:
    place.build()
    timed(benchmark, place.build, lambda: None, 2 * ROUNDS)
    benchmark.extra_info["wanted, seconds"] = 0.5


def test_shipped_layers_against_uv_and_zip(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Pruned, stripped, compiled and audited, beside a plain install of the same requirements."""
    place = Workplace(tmp_path, {})
    for part in ("layers.yaml", "locks", "lambdas", "tests/smoke"):
        source, target = ROOT / part, tmp_path / part
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    place.build()
    wanted = {"chromadb": ["chromadb-client==1.5.9"], "imaging": ["pillow"]}
    lines = []
    for runtime in ("3.12", "3.13"):
        for name, requirements in wanted.items():
            (tmp_path / f"{name}{runtime}.txt").write_text("\n".join(requirements))
            line = install(tmp_path, f"{name}{runtime}")
            lines.append(
                "(" + line.replace("--python-version 3.12", f"--python-version {runtime}") + ")"
            )
    peer = median(
        lambda: run(["sh", "-c", " && ".join(lines)], tmp_path), lambda: clean_uv(tmp_path)
    )

    def clean() -> None:
        for folder in ("dist", "cache/layers", "cache/bytecode"):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)

    ours = timed(benchmark, place.build, clean, ROUNDS)
    benchmark.extra_info["uv + zip"] = {
        "seconds": round(peer, 2),
        "times as fast": round(peer / ours, 2),
        "wanted": 1,
    }
