"""The deployed stage of the full rehearsal, in each of its modes, and the story it tells.

``processes`` runs servers and functions as processes: functions are the twins of the built layers
in AWS's runtime client. ``docker`` runs the server's real image and the ARM64 layers themselves.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.base import runtimes
from layersmith.prove import runners
from layersmith.ship.cost import billing

from tests.e2e.rehearsal import corpus, layers, scenarios
from tests.e2e.rehearsal.cloud import Cloud
from tests.e2e.rehearsal.processes import ProcessLauncher
from tests.e2e.rehearsal.stage import Stage
from tests.support import clocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.rehearsal.stage import Execution

CORPUS = 3000


@dataclass
class Story:
    """What happened, in order, for the end of the run.

    Attributes:
        lines: Mode, seconds and what was seen.
        bills: What a session would have cost on AWS, by mode.
    """

    lines: list[tuple[str, float, str]] = field(default_factory=list)
    bills: dict[str, list[str]] = field(default_factory=dict)

    @contextlib.contextmanager
    def chapter(self, mode: str) -> Iterator[list[str]]:
        """Measure a block, which puts one line into the list it is given."""
        told: list[str] = []
        started = time.monotonic()
        yield told
        self.lines.append((mode, time.monotonic() - started, told[0]))


STORY = Story()


@pytest.fixture(scope="session")
def story() -> Story:
    return STORY


@pytest.fixture(
    scope="session",
    params=["processes", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow])],
)
def play(
    request: pytest.FixtureRequest, story: Story, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[scenarios.Play]:
    zips = layers.built()
    docker = request.param == "docker"
    kind: Any = "docker" if docker else "host"
    with contextlib.ExitStack() as opened:
        runner = opened.enter_context(runners.make(kind, runtimes.get(layers.RUNTIME), "arm64"))
        cloud = opened.enter_context(Cloud(runner.service_host, runner.service_name))
        server = {**cloud.outside, "HEARTBEAT_INTERVAL": "1"}
        if docker:
            from tests.e2e.rehearsal.containers import DockerLauncher

            # Servers and functions share the network of the runner, as they do a VPC on AWS.
            network: Any = runner
            launcher: Any = DockerLauncher(server, network._network.name)
            laid = tuple(zips.values())
        else:
            launcher = ProcessLauncher(server)
            laid = layers.twins(zips, tmp_path_factory.mktemp("twins"))
        host = layers.RuntimeHost(runner, laid, cloud.outside)
        content = {name: path.read_bytes() for name, path in zips.items()}
        with story.chapter(request.param) as told:
            stage = opened.enter_context(Stage(launcher, host, cloud, content))
            told.append(f"{len(stage.outputs)} stacks deployed by change sets")
        size = CORPUS if not docker else CORPUS // 3
        yield scenarios.Play(stage, corpus.make(size), mode=request.param)
        if docker:
            assert launcher.left() == []


def record_bill(story: Story, mode: str, done: Execution, events: list[dict[str, Any]]) -> None:
    """Note what a session would have cost on AWS, beside what is always on."""
    prices = billing.load()
    task = done.output["task"]
    use = billing.measure(events, task, done.seconds)
    money = billing.total(billing.session_items(use, prices))
    task_month = billing.month_of_task(use, prices)
    instance_month = prices.table["ec2-t4g-medium-hour"] * billing.HOURS_A_MONTH
    used = f"{use.task_seconds:.0f} s of {use.vcpu:g} vCPU and {use.gb:g} GB"
    counted = f"{use.transitions} transitions, {use.invocations} invocations"
    story.bills[mode] = [
        f"one session on AWS: {money:.5f} USD ({used}, {counted})",
        f"the same task always on: {task_month:.2f} USD a month, {task_month / money:.0f} sessions",
        f"an EC2 t4g.medium always on: {instance_month:.2f} USD a month",
    ]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tell the story."""
    if not STORY.lines:
        return
    terminalreporter.section("the rehearsal")
    terminalreporter.write_line(
        f"bounds on time: {clocks.factor():.1f} times those of a quiet machine"
    )
    for mode, seconds, line in STORY.lines:
        terminalreporter.write_line(f"{mode:<9} {seconds:7.1f} s  {line}")
    for mode, lines in STORY.bills.items():
        for line in lines:
            terminalreporter.write_line(f"{mode:<9}            {line}")
