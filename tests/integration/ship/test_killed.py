"""A run killed after any AWS call, and run again, ends where an unbroken run ends."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.ship import releases
from tests.integration.ship.conftest import REGIONS, AwsServer, Project, Runner
from tests.integration.ship.releases import LayerSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIGKILLED = -9
SMALL = ("eu-west-1", "us-east-1")
BIG_ZIP = 40_000
"""Bytes; with --direct-limit below it the zip takes the way through the bucket."""


def apply_arguments(project: Project) -> list[str]:
    # One worker makes the order of the calls the same in every run.
    options = ["--concurrency", "1", "--direct-limit", "20000", "--json"]
    return ["publish", "apply", "--yes", *project.places, *options]


def prepare(aws: AwsServer, regions: Sequence[str]) -> None:
    """Give the last region a head start of two numbers, so that the others need placeholders."""
    aws.reset()
    client = aws.client("lambda", regions[-1])
    for _ in range(2):
        client.publish_layer_version(
            LayerName="alpha-python3-13-arm64",
            Description="published by hand",
            Content={"ZipFile": b"PK\x05\x06" + b"\0" * 18},
        )
    aws.post("/_test/reset")


def left(aws: AwsServer, regions: Sequence[str]) -> dict[str, Any]:
    """Return what is left, but for locks: a dead run's lock is taken over when it is needed."""
    state = releases.snapshot(aws, regions)
    for region in state.values():
        region["objects"] = {k: v for k, v in region["objects"].items() if "locks/" not in k}
    return state


def published(state: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return region, layer and description of every version, to see one that is there twice."""
    return [
        (region, name, version["description"])
        for region, has in state.items()
        for name, versions in has["layers"].items()
        for version in versions
        if "[layersmith" in version["description"]
    ]


def check_kill(
    aws: AwsServer, runner: Runner, argv: list[str], expected: dict[str, Any], *, call: int
) -> None:
    regions = list(expected)
    prepare(aws, regions)
    killed = runner.run(*argv, kill_after=call)
    assert killed.code == SIGKILLED, f"call {call}: {killed.err}"

    again = runner.run(*argv)

    assert again.code == 0, f"call {call}: {again.err}"
    state = left(aws, regions)
    assert state == expected, f"killed after call {call}"
    assert len(published(state)) == len(set(published(state)))
    assert not any(has["functions"] for has in state.values())


def unbroken(
    aws: AwsServer, runner: Runner, argv: list[str], regions: Sequence[str]
) -> tuple[dict[str, Any], int]:
    """Return what an unbroken run leaves, and the number of its calls."""
    prepare(aws, regions)
    done = runner.run(*argv)
    assert done.code == 0, done.err
    calls = len(aws.calls())
    return left(aws, regions), calls


def kinds(aws: AwsServer, region: str) -> list[int]:
    """Return the number of the last call of every kind that changes something in a region.

    The settings of a new bucket are seven calls of their own; the whole sweep has them.
    """
    last: dict[str, int] = {}
    for number, call in enumerate(aws.calls(), start=1):
        action = call["action"].partition("/")[0]
        reads = ("Get", "List", "GET", "HEAD", "PUT bucket")
        if call["region"] == region and not action.startswith(reads):
            last[call["service"] + action] = number
    return sorted(last.values())


@pytest.mark.slow
def test_killed_after_every_kind_of_change(
    aws: AwsServer, project: Project, runners: Callable[[], Runner]
) -> None:
    project.write(LayerSpec(regions=SMALL, align=True, size=BIG_ZIP))
    runner, argv = runners(), apply_arguments(project)
    expected, _ = unbroken(aws, runner, argv, SMALL)
    chosen = kinds(aws, SMALL[0])
    numbers = {
        v["number"] for r in expected.values() for v in r["layers"]["alpha-python3-13-arm64"]
    }
    assert numbers == {1, 2, 3}
    assert len(chosen) >= 10

    for call in chosen:
        check_kill(aws, runner, argv, expected, call=call)


@pytest.mark.exhaustive
def test_killed_after_every_call_of_the_whole_sweep(
    aws: AwsServer, project: Project, runners: Callable[[], Runner], request: pytest.FixtureRequest
) -> None:
    """5 regions, 3 layers, 2 runtimes; LAYERSMITH_KILL_SHARE=1 takes every call, not a sample."""
    both = ("python3.12", "python3.13")
    project.write(
        LayerSpec("alpha", runtimes=both, regions=REGIONS, align=True, size=BIG_ZIP),
        LayerSpec("beta", runtimes=both, regions=REGIONS),
        LayerSpec("gamma", runtimes=both, regions=REGIONS, principals=("o-abcdefghij",)),
    )
    runner, argv = runners(), apply_arguments(project)
    expected, calls = unbroken(aws, runner, argv, REGIONS)
    assert calls > 500
    share = float(os.environ.get("LAYERSMITH_KILL_SHARE", "0.02"))
    part = int(os.environ.get("LAYERSMITH_KILL_PART", "0"))
    numbers = list(range(1, calls + 1))
    if share < 1:
        numbers = sorted(random.Random(part).sample(numbers, max(1, round(calls * share))))

    for call in numbers:
        check_kill(aws, runner, argv, expected, call=call)
