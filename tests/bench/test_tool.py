"""What the tool costs beside the start of its interpreter and beside uv alone.

The seconds that are wanted were said of a machine on which the interpreter starts in 24 ms;
WISHED_START turns them into ratios. A file of 200 layers has 16 different lists of requirements.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.bench.comparisons import compare, note
from tests.bench.workplace import FLOOR, LAYERS, WISHED_START, Workplace, run, start

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

DISTINCT = 16
BOTH = ("python3.12", "python3.13")
ROUNDS = 5
PLAIN = {"bytecode": "none", "strip": False}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """200 layers for two runtimes, locked and built."""
    place = Workplace(tmp_path_factory.mktemp("large"))
    place.many(200, DISTINCT, BOTH)
    place.tool("lock", "--quiet")
    place.build()
    return place


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Three layers, locked and built."""
    place = Workplace(tmp_path_factory.mktemp("small"))
    place.many(3, 3, ["python3.13"])
    place.tool("lock", "--quiet")
    place.build()
    return place


def test_version(benchmark: BenchmarkFixture, small: Workplace) -> None:
    small.tool("--version")
    compare(
        benchmark,
        "--version",
        lambda: small.tool("--version"),
        (FLOOR, start, 0.060 / WISHED_START),
        rounds=2 * ROUNDS,
    )


@pytest.mark.parametrize(("name", "seconds"), [("small", 0.150), ("large", 0.400)])
def test_nothing_to_do(
    benchmark: BenchmarkFixture, name: str, seconds: float, request: pytest.FixtureRequest
) -> None:
    place: Workplace = request.getfixturevalue(name)
    place.build()
    what = {"small": "3 layers", "large": "200 layers x 2 runtimes"}[name]
    compare(
        benchmark,
        f"build of {what}, nothing to do",
        place.build,
        (FLOOR, start, seconds / WISHED_START),
        rounds=2 * ROUNDS,
    )


def test_lock_of_200_layers(benchmark: BenchmarkFixture, large: Workplace) -> None:
    outputs = large.root / "uv-alone"
    large.uv_alone(outputs)
    compare(
        benchmark,
        "lock of 200 layers x 2 runtimes, caches warm",
        lambda: large.tool("lock", "--quiet"),
        ("uv alone for the distinct inputs, in parallel", lambda: large.uv_alone(outputs), 1.3),
        before=lambda: large.remove("locks"),
        rounds=7,  # an answer of the DNS that is lost costs five seconds, on either side
    )


def test_lock_of_2000_equal_layers(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    many, one = (Workplace(tmp_path / name) for name in ("many", "one"))
    for place, count in ((many, 2000), (one, 1)):
        place.root.mkdir()
        place.many(count, 1, ["python3.13"])
        place.tool("lock", "--quiet")
    rows = compare(
        benchmark,
        "lock of 2,000 layers with equal requirements",
        lambda: many.tool("lock", "--quiet"),
        ("lock of one", lambda: one.tool("lock", "--quiet"), 1 + 1 / 0.9),
        before=lambda: many.remove("locks"),
        rounds=3,
    )
    benchmark.extra_info["more than one, seconds"] = rows[0].ours - rows[0].theirs


def test_memory_of_200_layers(benchmark: BenchmarkFixture, large: Workplace) -> None:
    """The largest process of a build of everything from warm caches, in MB of 10**6 bytes."""
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )

    def peak(*words: str | Path) -> float:
        said = run([sys.executable, "-c", code, *words], large.root).stdout
        return int(said.split()[-1]) * 1024 / 1e6

    large.clean()
    ours = benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: peak(sys.executable, LAYERS, "build", "--quiet"), rounds=1
    )
    bare = peak(sys.executable, "-c", "pass")
    note("memory of a build of 200 layers", FLOOR, ours, bare, wanted=150 / 11, unit="MB")


def test_a_second_layer_compiles_nothing(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """A layer with pandas beside one that was built, against the same without bytecode."""
    text = (
        "defaults: {{runtimes: [python3.13], architectures: [arm64]{more}}}\n"
        "layers:\n"
        "  first: {{description: first, version: 1.0.0, requirements: [pandas]}}\n"
        "  second: {{description: second, version: 1.0.0, requirements: [pandas, requests],"
        " prune: {{add: ['pandas/tests/**']}}}}\n"
    )
    places = []
    for name, more in (("compiled", ""), ("plain", ", bytecode: none")):
        place = Workplace(tmp_path / name)
        place.root.mkdir()
        (place.root / "layers.yaml").write_text(text.format(more=more))
        place.tool("lock", "--quiet")
        place.tool("build", "--quiet")
        places.append(place)
    ours, plain = places

    def forget() -> None:
        plain.clean()
        ours.clean()
        ours.tool("build", "first", "--quiet")

    compare(
        benchmark,
        "second layer with pandas",
        lambda: ours.tool("build", "second", "--quiet"),
        ("the same without bytecode", lambda: plain.tool("build", "second", "--quiet"), 1.5),
        before=forget,
        rounds=3,
    )
