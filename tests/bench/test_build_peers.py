"""Building layers beside what a user would take instead, all measured in the same run.

The work is case D: three arm64 layers for Python 3.12 as installers leave them (a: chromadb-client,
b: pillow, numpy and requests, d3: pydantic, httpx and orjson). Every tool starts as a process of
its own, with a warm download cache, and writes zips to an empty folder. Each ratio stands in the
benchmark's extra_info and in the table of docs/benchmarks.md, with the ratio that is wanted.
"""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from layersmith.base import uv

from tests.bench.comparisons import clock, compare, note
from tests.bench.workplace import Workplace, run

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).parents[2]
LAYERS = {
    "a": ["chromadb-client==1.5.9"],
    "b": ["pillow", "numpy", "requests"],
    "d3": ["pydantic", "httpx", "orjson"],
}
ROUNDS = 3
MADE = ("layers", "bytecode", "stripped", "deflated", "liteblas", "crossbuild", "repeats")
"""What the cache keeps of builds; a first one has the downloads alone."""

RUNTIMES = ("3.12", "3.13")
"""Of the shipped layers: those that both sides build."""

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
    place = Workplace(root)
    place.tool("lock", "--quiet")
    place.build()
    return place


def clean_uv(root: Path) -> None:
    shutil.rmtree(root / "uv", ignore_errors=True)
    (root / "uv").mkdir()


def uv_and_zip(root: Path, lines: list[str], *, at_once: bool) -> None:
    """Install and zip, one after the other or all at once."""
    clean_uv(root)
    between, end = (" & ", " & wait") if at_once else (" && ", "")
    run(["sh", "-c", between.join(f"({line})" for line in lines) + end], root)


def measure_sam(place: Workplace) -> None:
    """Build with sam, once: it takes a hundred times as long."""
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
    python = uv.interpreter(12)
    assert python, "sam build needs a CPython 3.12 on PATH"

    def build() -> None:
        shutil.rmtree(sam / ".aws-sam", ignore_errors=True)
        run([*command], sam, python.parent)
        run(["sh", "-c", zips], sam)

    build()
    place.clean()
    ours, _ = clock(place.build)
    theirs, _ = clock(build)
    note(CASE, "sam build + zip", ours, theirs, wanted=1 / 25)


TRANSPLANT = """
import hashlib, sys, zipfile
for target in sys.argv[1:]:
    name, *wheels = target.split(",")
    with open(name, "wb") as out:
        for path in wheels:
            data = open(path, "rb").read()
            hashlib.sha256(data).digest()
            ends = sorted(zipfile.ZipFile(path).infolist(), key=lambda one: one.header_offset)
            for one in ends:
                start = one.header_offset
                out.write(data[start : start + 30 + len(one.filename) + one.compress_size])
    hashlib.sha256(open(name, "rb").read()).digest()
"""
"""The floor: the compressed bytes of wheels copied into a zip, all read and hashed once."""


def transplant(place: Workplace) -> None:
    """Copy what the layers are made of, and nothing else."""
    stored = {path.name: path for path in (place.root / "cache" / "wheels").rglob("*.whl")}
    targets = []
    for name in LAYERS:
        lock = (place.root / "locks" / f"{name}-python3.12-arm64.txt").read_text()
        files = [line.split()[2] for line in lock.splitlines() if line.startswith("    # file ")]
        wheels = [str(stored[one]) for one in files if one in stored]
        assert wheels
        targets.append(",".join([str(place.root / f"{name}.floor"), *wheels]))
    run([sys.executable, "-c", TRANSPLANT, *targets], place.root)


CASE = "build of case D"


def test_case_d_against_peers(benchmark: BenchmarkFixture, place: Workplace) -> None:
    lines = [install(place.root, name) for name in LAYERS]
    compare(
        benchmark,
        CASE,
        place.build,
        ("uv + zip", partial(uv_and_zip, place.root, lines, at_once=False), 1 / 14),
        ("uv + zip, in parallel", partial(uv_and_zip, place.root, lines, at_once=True), 1 / 8),
        ("copying the wheels' bytes in Python", partial(transplant, place), 1.5),
        before=place.clean,
        rounds=2 * ROUNDS,
    )
    compare_content(place)
    measure_sam(place)


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


def test_shipped_layers_against_uv_and_zip(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Pruned, stripped, compiled and audited, beside a plain install of the same requirements."""
    place = Workplace(tmp_path)
    for part in ("layers.yaml", "locks", "lambdas", "tests/smoke"):
        source, target = ROOT / part, tmp_path / part
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    build = partial(place.tool, "build", "--quiet", *(f"--runtime=python{one}" for one in RUNTIMES))
    build()
    wanted = {"chromadb": ["chromadb-client==1.5.9"], "imaging": ["pillow"]}
    lines = []
    for runtime in RUNTIMES:
        for name, requirements in wanted.items():
            (tmp_path / f"{name}{runtime}.txt").write_text("\n".join(requirements))
            line = install(tmp_path, f"{name}{runtime}")
            lines.append(line.replace("--python-version 3.12", f"--python-version {runtime}"))
    peer = ("uv + zip, plain", partial(uv_and_zip, tmp_path, lines, at_once=False), 1.0)
    compare(
        benchmark,
        "first build of the shipped layers from downloaded wheels",
        build,
        peer,
        before=lambda: place.remove("dist", *(f"cache/{name}" for name in MADE)),
        rounds=ROUNDS,
    )
