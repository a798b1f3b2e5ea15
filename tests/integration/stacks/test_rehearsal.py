"""The stage, deployed and run against moto, in its quick form: processes instead of containers.

The same scenarios and more run under `nox -s e2e`, with real containers and the ARM64 runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from moto.efs.models import AccessPoint, FileSystem

from tests.e2e.rehearsal import corpus, scenarios
from tests.e2e.rehearsal.cloud import Cloud
from tests.e2e.rehearsal.functions import LocalHost
from tests.e2e.rehearsal.processes import ProcessLauncher
from tests.e2e.rehearsal.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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


def test_on_efs_a_backfill_is_compacted_and_found_by_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder stands for the file system, which moto's functions and tasks cannot mount."""
    for kind, name in ((FileSystem, "file_system_arn"), (AccessPoint, "access_point_arn")):
        # What Fn::GetAtt asks for: moto has the ARNs, but does not give them to templates.
        get = lambda self, _, name=name: getattr(self, name)  # noqa: E731
        monkeypatch.setattr(kind, "get_cfn_attribute", get, raising=False)
    with Cloud() as cloud:
        mounted = {**cloud.outside, "STORAGE_URL": tmp_path.as_uri()}
        stage = Stage(
            ProcessLauncher({**mounted, "HEARTBEAT_INTERVAL": "1"}),
            LocalHost(mounted),
            cloud,
            settings=["chroma.Storage=efs"],
        )
        with stage:
            given = corpus.make(60, dimension=8, merchants=3)
            source = stage.put("imports/corpus.json", given.batches(20))
            filled = stage.run("BackfillArn", {"database": scenarios.DATABASE, "source": source})
            assert filled.output["compaction"]["compacted"] is True, filled
            play = scenarios.Play(stage, given)
            done = stage.session([play.search(number) for number in range(3)])
            assert done.output["snapshot"]["records"] == {corpus.COLLECTION: 60}, done
            found = [one["results"][0]["id"] for one in done.output["results"]]
            assert found == [given.id(number) for number in range(3)]
            # Everything is there, and nothing on S3.
            assert stage.invoke("compaction_trigger", {}) == {"pending": [], "later": 0}
            bucket = stage.outputs["chroma"]["DataBucketName"]
            on_s3 = cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix="databases/")
            assert on_s3["KeyCount"] == 0
            assert list(tmp_path.glob("databases/receipts/pointer.json"))
            functions = cloud.client("lambda")
            for name in ("delta_writer", "compaction_trigger"):
                deployed = functions.get_function_configuration(
                    FunctionName=f"layersmith-dev-{name}"
                )
                assert deployed["VpcConfig"]["SubnetIds"], name
