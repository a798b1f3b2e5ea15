"""The model of a cold start with less memory, beside runs whose processor the kernel limits.

A control group gives the function the share of a processor that Lambda gives with some memory, in
slices of 20 ms. In turns with it runs an unlimited start. The model is applied twice: to the
processor time of the limited run itself, which tells on any machine whether time is processor time
by share; and to the unlimited start, as `coldstart` does. On a busy machine that one takes less
processor time, because nothing else gets at its caches while it is held back.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from layersmith.base import runtimes, uv
from layersmith.prove import runners
from layersmith.prove.cold import bill, measure

from tests.bench.comparisons import note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layersmith.prove.cold.models import Sample
    from layersmith.prove.runners import Runner
    from pytest_benchmark.fixture import BenchmarkFixture

GROUPS = Path("/sys/fs/cgroup")
MINOR = sys.version_info[1]
PERIOD = 20_000
"""Microseconds in which a share is given."""

ROUNDS = 9
WANTED_OWN, WANTED_FREE = 1.1, 1.2
"""How much longer than the model a limited run may take: it ends anywhere in a slice."""


@contextlib.contextmanager
def limited(share: float) -> Iterator[Path]:
    """Make a control group of Linux with a share of one processor, 0 for no limit, as root."""
    legacy = (GROUPS / "cpu").is_dir()
    group = (GROUPS / "cpu" if legacy else GROUPS) / f"layersmith-{os.getpid()}-{share:.3f}"
    quota = int(PERIOD * share)
    said = {"cpu.weight": "10000", "cpu.max": f"{quota or 'max'} {PERIOD}"}
    if legacy:
        said = {"cpu.shares": "262144", "cpu.cfs_period_us": str(PERIOD)}
        said["cpu.cfs_quota_us"] = str(quota or -1)
    try:
        group.mkdir()
        for name, text in said.items():
            (group / name).write_text(text)
    except OSError as problem:
        pytest.skip(f"no control group of this machine can limit a processor: {problem}")
    else:
        yield group
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with runners.make("host", runtimes.get(f"python3.{MINOR}"), "arm64") as opened:
        yield opened


def joining(folder: Path, group: Path) -> Path:
    """Return an interpreter that runs in a group; what serves its events stays outside."""
    script = folder / group.name
    script.write_text(
        f'#!/bin/sh\necho $$ > {group}/cgroup.procs\nexec {uv.interpreter(MINOR)} "$@"\n'
    )
    script.chmod(0o755)
    return script


def modelled(free: Sample, worked: Sample, memory: int) -> float:
    """Return by the model how long a start takes that waits as one does and works as another."""
    phases = (
        (free.init_ms, free.init_cpu_ms, worked.init_cpu_ms),
        (free.call_ms, free.call_cpu_ms, worked.call_cpu_ms),
    )
    return sum(
        bill.at(max(0, wall - (cpu or 0)) + (own or 0), own, memory) for wall, cpu, own in phases
    )


@pytest.mark.parametrize("memory", [512, 885])
def test_less_memory_by_the_model_and_by_the_kernel(
    benchmark: BenchmarkFixture,
    tmp_path: Path,
    runner: Runner,
    memory: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = measure.specification(measure.workload(tmp_path / "code"), ())

    def started(interpreter: Path) -> Sample:
        monkeypatch.setattr(runner, "_interpreter", interpreter)
        [one] = measure.in_turns([measure.Startable("floor", code)], runner, 1)
        return one.samples[0]

    found: list[tuple[Sample, Sample]] = []
    with limited(0) as whole, limited(memory / bill.WHOLE) as part:
        free, bound = joining(tmp_path, whole), joining(tmp_path, part)
        benchmark.pedantic(  # type: ignore[no-untyped-call]
            lambda: found.append((started(free), started(bound))), rounds=ROUNDS
        )
    assert all(one.init_cpu_ms and other.init_cpu_ms for one, other in found)
    for other, wanted, worked in (
        ("the model on its own processor time", WANTED_OWN, 1),
        ("the model on an unlimited start", WANTED_FREE, 0),
    ):
        rounds = [(both[1].total_ms, modelled(both[0], both[worked], memory)) for both in found]
        run, model = sorted(rounds, key=lambda one: one[0] / one[1])[ROUNDS // 2]
        name = f"cold start with the processor share of {memory} MB"
        row = note(name, other, run / 1000, model / 1000, wanted=wanted, rounds=ROUNDS)
        benchmark.extra_info[other] = {"ratio": row.ratio, "wanted": wanted}
