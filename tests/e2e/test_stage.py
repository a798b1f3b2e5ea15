"""The whole system, up and down, against moto: every scenario in every mode, in this order."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import record_bill
from tests.e2e.rehearsal import resources, scenarios
from tests.e2e.rehearsal.processes import ROOT
from tests.support import clocks
from tests.support.envelopes import data_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.conftest import Story

RECEIPTS = (20, 21)
"""Receipts that no scenario copied, so that each is its own nearest."""

TOLD: list[tuple[str, Callable[[scenarios.Play], str]]] = [
    ("a wrong item", scenarios.fails_in_the_middle),
    ("killed while serving", scenarios.killed_while_serving),
    ("no call back", scenarios.token_never_comes),
    ("two sessions", scenarios.two_sessions),
    ("compaction", scenarios.compaction_with_writers),
    ("aborted", scenarios.aborted),
    ("dead holder", scenarios.dead_holder),
    ("no Spot capacity", scenarios.no_spot_capacity),
    ("wrong inputs", scenarios.invalid_input),
]


def test_backfill_brings_the_corpus_in(play: scenarios.Play, story: Story) -> None:
    with story.chapter(play.mode) as told:
        told.append(f"backfill: {scenarios.backfill(play)}")


def test_a_session_answers_as_exact_search_does(play: scenarios.Play, story: Story) -> None:
    step = len(play.corpus) // (5 if play.mode == "docker" else 25)
    with story.chapter(play.mode) as told:
        done, line = scenarios.happy_path(play, range(0, len(play.corpus), step))
        told.append(f"session: {line}")
    record_bill(story, play.mode, done, play.stage.history(done.arn))


def test_a_session_takes_its_work_from_s3(play: scenarios.Play, story: Story) -> None:
    with story.chapter(play.mode) as told:
        told.append(f"session from S3: {scenarios.session_from_s3(play, range(6))}")


def test_results_that_no_state_can_hold_go_to_s3(play: scenarios.Play, story: Story) -> None:
    with story.chapter(play.mode) as told:
        told.append(f"large results: {scenarios.large_results(play, range(20, 40))}")


@pytest.mark.parametrize(("name", "scenario"), TOLD, ids=[name for name, _ in TOLD])
def test_after_it_nothing_runs_nothing_is_lost_and_the_lock_is_free(
    play: scenarios.Play, story: Story, name: str, scenario: Callable[[scenarios.Play], str]
) -> None:
    with story.chapter(play.mode) as told:
        told.append(f"{name}: {scenario(play)}")


def test_session_run_follows_a_session_to_its_bill(play: scenarios.Play, tmp_path: Path) -> None:
    work = tmp_path / "events.json"
    work.write_text(json.dumps([play.search(number) for number in RECEIPTS]), "utf-8")
    done = subprocess.run(
        [
            sys.executable, "build/layers.py", "session", "run", "--database", "receipts",
            "--input", str(work), "--json", "--endpoint-url", play.stage.cloud.endpoint,
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=clocks.seconds(300), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = data_of(done.stdout)
    assert result["status"] == "SUCCEEDED"
    assert result["cost"] > 0
    for number, answer in zip(RECEIPTS, result["output"]["results"], strict=True):
        assert play.corpus.id(number) in {one["id"] for one in answer["results"]}
    for state in ("AcquireLock", "StartServer", "RunWork", "FinishServer", "StopServer"):
        assert state in done.stderr
    play.check()


def test_what_moto_cannot_create_is_known(play: scenarios.Play) -> None:
    unsupported = set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for template in play.stage.chosen()[1]:
            for resource in template.resources.values():
                if resources.moto_knows(resource["Type"]) is False:
                    unsupported.add(resource["Type"])
    assert caught is not None
    assert unsupported == resources.UNSUPPORTED


def test_deploying_again_changes_nothing(play: scenarios.Play) -> None:
    assert {one.result for one in play.stage.deploy()} == {"unchanged"}


def test_a_changed_parameter_changes_its_stack_alone(play: scenarios.Play) -> None:
    results = {
        one.stack: one.result
        for one in play.stage.deploy("workflows.CompactionSchedule=rate(1 hour)")
    }
    assert results.pop("workflows") == "updated"
    assert set(results.values()) == {"unchanged"}


def test_destroy_keeps_the_data_unless_it_is_told_otherwise(
    play: scenarios.Play, story: Story
) -> None:
    bucket = play.stage.outputs["chroma"]["DataBucketName"]
    s3 = play.stage.cloud.client("s3")
    with story.chapter(play.mode) as told:
        kept = play.stage.destroy(delete_data=False)
        assert {one.id for one in kept.kept} >= {bucket}
        assert kept.deleted == ()
        told.append(f"destroy: {len(kept.removed)} stacks removed, {len(kept.kept)} with data kept")
    assert s3.list_objects_v2(Bucket=bucket, Prefix="databases/receipts/")["KeyCount"] > 0
    cloudformation = play.stage.cloud.client("cloudformation")
    assert cloudformation.describe_stacks()["Stacks"] == []
