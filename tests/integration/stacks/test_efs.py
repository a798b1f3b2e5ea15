"""A stage whose databases are on EFS; its cloud is its own, as two would share moto's state."""

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
    from pathlib import Path

pytestmark = pytest.mark.slow


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
