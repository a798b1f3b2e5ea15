"""The stage, deployed and run against moto, in its quick form: processes instead of containers.

The same scenarios and more run under `nox -s e2e`, with real containers and the ARM64 runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.rehearsal import corpus, scenarios
from tests.e2e.rehearsal.cloud import Cloud
from tests.e2e.rehearsal.functions import LocalHost
from tests.e2e.rehearsal.processes import ProcessLauncher
from tests.e2e.rehearsal.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator


# Together they take half a minute: a stage goes up, and every session is played in real time.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def play() -> Iterator[scenarios.Play]:
    with Cloud() as cloud:
        server = {**cloud.outside, "HEARTBEAT_INTERVAL": "1"}
        with Stage(ProcessLauncher(server), LocalHost(cloud.outside), cloud) as stage:
            yield scenarios.Play(stage, corpus.make(600, dimension=32, merchants=12))


def test_search_and_validation_answer_as_exact_search_does(play: scenarios.Play) -> None:
    scenarios.backfill(play)
    scenarios.happy_path(play, range(0, 600, 150))


def test_results_that_no_state_can_hold_go_to_s3(play: scenarios.Play) -> None:
    scenarios.large_results(play, range(20, 40))


def test_a_file_of_work_on_s3_is_handed_out_in_batches(play: scenarios.Play) -> None:
    scenarios.session_from_s3(play, range(3))


def test_a_wrong_item_fails_the_session_and_loses_nothing(play: scenarios.Play) -> None:
    scenarios.fails_in_the_middle(play)


def test_two_sessions_on_one_database_never_both_run(play: scenarios.Play) -> None:
    scenarios.two_sessions(play)


def test_the_schedule_compacts_every_database_with_deltas(play: scenarios.Play) -> None:
    scenarios.compaction_with_writers(play, writers=2, batches=2)


def test_wrong_inputs_are_refused_before_anything_starts(play: scenarios.Play) -> None:
    scenarios.invalid_input(play)


def test_deploying_again_changes_nothing(play: scenarios.Play) -> None:
    assert {one.result for one in play.stage.deploy()} == {"unchanged"}
