"""What can happen to a stage, each as a function that plays it and checks how it ends.

After every scenario the same holds: no task runs, the lock is free, and every record that was
acknowledged is in the stored data. Each returns one line for the story.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.e2e.rehearsal.corpus import COLLECTION
from tests.e2e.rehearsal.stage import KILLED
from tests.support import clocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.e2e.rehearsal.corpus import Corpus
    from tests.e2e.rehearsal.stage import Execution, Stage

DATABASE = "receipts"
NEIGHBOURS = 10
START = 8
"""Seconds, on a quiet machine, that a task may take to call back in a rehearsal of its silence."""

HEARTBEAT = 3
"""Seconds between heartbeats at most, after the call back; the least that a session takes."""

PATIENCE = 300.0
"""Seconds, on a quiet machine, that anything which happens in an execution may take."""

TRANSITIONS = 13
"""State transitions of a session that meets no trouble, however many items it has. With a state for
every item and a loop until ECS has taken the task down, 100 items were 217."""

RECALL = 0.95
"""Share of the exact neighbours that Chroma's approximate index has to find."""


@dataclass
class Play:
    """A stage, a corpus, and what was acknowledged so far.

    Attributes:
        stage: Where it happens.
        corpus: What is stored.
        acknowledged: Ids of every record that delta_writer or a backfill confirmed.
        mode: Name of the way in which servers and functions run.
    """

    stage: Stage
    corpus: Corpus
    acknowledged: set[str] = field(default_factory=set)
    mode: str = "processes"

    def write(self, ids: Sequence[str], numbers: Sequence[int]) -> None:
        """Write copies of receipts under new ids, as thin functions do while nobody serves."""
        records = [
            {**self.corpus.record(number), "id": identifier}
            for identifier, number in zip(ids, numbers, strict=True)
        ]
        event = {
            "database": DATABASE,
            "collection": self.corpus.collection(),
            "records": records,
        }
        self.stage.invoke("delta_writer", event)
        self.acknowledged.update(ids)

    def search(self, number: int) -> dict[str, Any]:
        """An item that searches for the neighbours of a receipt."""
        event = {
            "collection": COLLECTION,
            "embedding": self.corpus.embedding(number),
            "limit": NEIGHBOURS,
        }
        return {"function": "vector_search", "event": event}

    def check(self) -> None:
        """Check what holds after every scenario."""
        self.stage.assert_clean()
        assert self.stage.stored_ids(DATABASE, COLLECTION) == self.acknowledged


def backfill(play: Play, batch: int = 500) -> str:
    """The whole corpus comes in by a Distributed Map over a file on S3, and is compacted."""
    batches = play.corpus.batches(batch)
    source = play.stage.put("imports/corpus.json", batches)
    done = play.stage.run("BackfillArn", {"database": DATABASE, "source": source})
    assert done.status == "SUCCEEDED", done
    assert done.output["compaction"]["compacted"] is True, done
    play.acknowledged.update(play.corpus.ids)
    # The same file again, as after a run that was cut off: nothing is there twice.
    again = play.stage.run("BackfillArn", {"database": DATABASE, "source": source})
    assert again.status == "SUCCEEDED", again.cause
    play.check()
    return f"{len(play.corpus)} receipts in {len(batches)} batches by a Distributed Map"


def happy_path(play: Play, numbers: Sequence[int]) -> tuple[Execution, str]:
    """A session answers search, label validation and merchant match as exact search does."""
    items = list(_items(play, numbers))
    done = play.stage.session(items)
    assert done.status == "SUCCEEDED", done
    assert done.transitions == TRANSITIONS
    assert done.output["snapshot"]["records"] == {COLLECTION: len(play.acknowledged)}, done.output
    results = iter(done.output["results"])
    found = 0
    for number in numbers:
        answers = [one["id"] for one in next(results)["results"]]
        exact = play.corpus.nearest(number, NEIGHBOURS)
        assert answers[0] == exact[0]
        found += len(set(answers) & set(exact))
        validated = next(results)
        assert validated["verdict"] == "accept", validated
        wrong = next(results)
        assert (wrong["verdict"], wrong["suggestion"]) == ("reject", play.corpus.label(number))
        matched = next(results)
        assert matched["merchant"] == play.corpus.merchant(number), matched["reasons"]
    recall = found / (NEIGHBOURS * len(numbers))
    assert recall >= RECALL, f"recall {recall:.3f}"
    play.check()
    return done, f"{len(items)} items, recall {recall:.3f} against exact search"


def session_from_s3(play: Play, numbers: Sequence[int]) -> str:
    """The same work as a file on S3, which a Distributed Map hands out."""
    source = play.stage.put("imports/work.json", [play.search(number) for number in numbers])
    event = play.stage.session_input([])
    del event["items"]
    done = play.stage.run("VectorSessionArn", {**event, "source": source})
    assert done.status == "SUCCEEDED", done
    details = done.output["results"]["ResultWriterDetails"]
    assert details["Key"].startswith(f"results/{done.name}/")
    # moto's maps hand out batches of one item; each is an execution, and AWS bills its start.
    assert done.transitions == TRANSITIONS + len(numbers)
    play.check()
    return f"{len(numbers)} items from a file on S3"


def large_results(play: Play, numbers: Sequence[int]) -> str:
    """Results that no state can hold go to S3, whole and in order."""
    items = [play.search(number) for number in numbers]
    for item in items:
        item["event"]["limit"] = 300
    done = play.stage.session(items)
    assert done.status == "SUCCEEDED", done
    place = done.output["results"]
    assert place["items"] == len(items)
    assert place["bytes"] > 256 * 1024, "the results would have fitted"
    assert place["key"] == f"results/{done.name}/results.json"
    s3 = play.stage.cloud.client("s3")
    content = s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
    assert len(content) == place["bytes"]
    answers = json.loads(content)
    for number, answer in zip(numbers, answers, strict=True):
        assert len(answer["results"]) == 300
        assert answer["results"][0]["id"] == play.corpus.nearest(number, 1)[0]
    play.check()
    return f"{place['bytes']} bytes of results on S3, where no state could hold them"


def fails_in_the_middle(play: Play) -> str:
    """One item is wrong: the session fails with its error, and what was written before is kept."""
    play.write(["middle-0", "middle-1"], [0, 1])
    wrong = {"function": "vector_search", "event": {"collection": COLLECTION, "limit": 0}}
    done = play.stage.session([play.search(0), wrong, play.search(1)])
    assert (done.status, done.error) == ("FAILED", "SessionFailed")
    assert done.cause.startswith("BadRequest: "), done.cause
    assert _exit_codes(play.stage)[-1] == 0, "the server was not given the time to save"
    play.check()
    return "the error is the function's own, the server saved and stopped"


def killed_while_serving(play: Play) -> str:
    """The task is killed (SIGKILL) as the work begins: nothing acknowledged is lost."""
    play.write(["killed-0"], [2])
    seen: list[str] = []

    def kill(function: str, _: dict[str, Any]) -> None:
        if function == "session_work":
            seen.append(function)
            if len(seen) == 1:
                for task in play.stage.tasks.running():
                    play.stage.tasks.servers[task].kill()

    with _before_invocations(play.stage, kill):
        done = play.stage.session([play.search(n) for n in range(3)], maxConcurrency=1)
    assert (done.status, done.error) == ("FAILED", "SessionFailed")
    assert done.cause.startswith("ServerBusy: "), done.cause
    assert _exit_codes(play.stage)[-1] == KILLED
    play.check()
    return "the session fails after its retries, the deltas are all there"


def token_never_comes(play: Play) -> str:
    """A task that never calls back: the time to start ends, the task is stopped."""

    def lose_token(environment: dict[str, str]) -> None:
        environment.pop("TASK_TOKEN")

    play.stage.tasks.on_start = lose_token
    try:
        done = play.stage.session(
            [play.search(0)], heartbeatSeconds=HEARTBEAT, startSeconds=clocks.whole(START)
        )
    finally:
        play.stage.tasks.on_start = lambda _: None
    assert (done.status, done.error) == ("FAILED", "SessionFailed")
    assert "Timeout" in done.cause, done.cause
    play.check()
    return f"given up after {done.seconds:.0f} s, when startSeconds are over"


def two_sessions(play: Play) -> str:
    """Two sessions race for one database: one works, the other says who holds it."""
    held = threading.Event()
    go_on = threading.Event()

    def hold(function: str, _: dict[str, Any]) -> None:
        if function == "session_work":
            held.set()
            assert go_on.wait(clocks.seconds(PATIENCE))

    with _before_invocations(play.stage, hold):
        first = play.stage.start("VectorSessionArn", play.stage.session_input([play.search(0)]))
        assert held.wait(clocks.seconds(PATIENCE))
        second = play.stage.session([play.search(1)])
        go_on.set()
        winner = play.stage.wait(first)
    assert winner.status == "SUCCEEDED", winner.cause
    assert (second.status, second.error) == ("FAILED", "DatabaseBusy")
    assert first in second.cause
    play.check()
    return "the second is refused with the holder's name and leaves the first alone"


def compaction_with_writers(play: Play, writers: int = 3, batches: int = 6) -> str:
    """Writers go on while deltas are compacted: none lost, none doubled."""

    def write(writer: int) -> None:
        for batch in range(batches):
            ids = [f"writer-{writer}-{batch}-{n}" for n in range(5)]
            play.write(ids, range(5))

    play.write(["before-0"], [3])
    with ThreadPoolExecutor(writers) as pool:
        writing = [pool.submit(write, writer) for writer in range(writers)]
        done = play.stage.run("CompactionArn", {"database": DATABASE})
        for one in writing:
            one.result()
    assert done.status == "SUCCEEDED", done
    assert done.output["compacted"] is True
    play.check()
    play.write(["after-0"], [3])
    every = play.stage.run("CompactionArn", {})
    assert every.output == {"started": [DATABASE], "later": 0}, every
    play.stage.settle()
    idle = play.stage.run("CompactionArn", {"database": DATABASE})
    assert idle.output == {"database": DATABASE, "compacted": False, "reason": "no deltas"}
    play.check()
    return f"{writers} writers, {writers * batches} batches; with no deltas left it is skipped"


def aborted(play: Play) -> str:
    """Somebody aborts a session: no state runs any more, the rule's clean-up does."""
    play.write(["aborted-0"], [4])
    starting = threading.Event()
    play.stage.tasks.on_start = lambda _: starting.set()
    try:
        arn = play.stage.start("VectorSessionArn", play.stage.session_input([play.search(0)]))
        assert starting.wait(clocks.seconds(PATIENCE))
        _wait_for(play.stage, arn, "TaskSubmitted")
        play.stage.states.stop_execution(executionArn=arn)
        done = play.stage.wait(arn)
    finally:
        play.stage.tasks.on_start = lambda _: None
    assert done.status == "ABORTED", done
    play.check()
    assert play.stage.executions("SessionCleanupArn")[0]["status"] == "SUCCEEDED"
    return "EventBridge starts the clean-up, which stops the task and frees the lock"


def dead_holder(play: Play) -> str:
    """The lock's holder is long gone: the next session takes the lock and works."""
    table = play.stage.outputs["chroma"]["LockTableName"]
    gone = play.stage.outputs["workflows"]["VectorSessionArn"].replace(
        ":stateMachine:", ":execution:"
    )
    play.stage.cloud.client("dynamodb").put_item(
        TableName=table,
        Item={
            "database": {"S": DATABASE},
            "holder": {"S": f"{gone}:long-gone"},
            "taskGroup": {"S": "session:long-gone"},
            "since": {"S": "2026-01-01T00:00:00Z"},
        },
    )
    done = play.stage.session([play.search(0)])
    assert done.status == "SUCCEEDED", done
    play.check()
    return "a holder that does not run loses the lock at once"


def no_spot_capacity(play: Play) -> str:
    """Fargate Spot has no capacity: the same task starts on demand."""
    asked: list[str] = []

    def refuse(task: Any) -> bool:
        asked.append(task.launch_type or task.capacity_provider_name)
        return bool(task.launch_type != "FARGATE")

    play.stage.tasks.refuse = refuse
    try:
        done = play.stage.session([play.search(0)])
    finally:
        play.stage.tasks.refuse = lambda _: False
    assert done.status == "SUCCEEDED", done
    assert asked == ["FARGATE_SPOT", "FARGATE"]
    play.check()
    return "falls back from Spot to on-demand"


def invalid_input(play: Play) -> str:
    """Inputs that cannot be are refused before anything starts."""
    started = len(play.stage.tasks.servers)
    item = {"function": "vector_search", "event": {}}
    for event in (
        {},
        {"database": "", "items": [item]},
        {"database": "../other", "items": [item]},
        {"database": "receipts", "items": []},
        {"database": "receipts", "items": [item] * 201},
        {"database": "receipts", "items": [item], "source": {"bucket": "b", "key": "k"}},
        {"database": "receipts", "items": [item], "deadlineSeconds": 1e9},
        {
            "database": "receipts",
            "items": [item],
            "heartbeatSeconds": 900,
            "startSeconds": 900,
        },
    ):
        done = play.stage.run("VectorSessionArn", event)
        assert (done.status, done.error) == ("FAILED", "InvalidInput"), done
    for machine in ("CompactionArn", "BackfillArn"):
        done = play.stage.run(machine, {"database": "a/b"})
        assert (done.status, done.error) == ("FAILED", "InvalidInput")
    assert len(play.stage.tasks.servers) == started
    play.stage.assert_clean()
    return "refused with the rule that they break; nothing was started"


def _items(play: Play, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    corpus = play.corpus
    for number in numbers:
        embedding = corpus.embedding(number)
        label = corpus.label(number)
        other = next(corpus.label(n) for n in range(len(corpus)) if corpus.label(n) != label)
        yield play.search(number)
        for asked in (label, other):
            event = {"collection": COLLECTION, "label": asked, "embedding": embedding}
            yield {"function": "label_validation", "event": event}
        match = {
            "collections": [COLLECTION],
            "embedding": embedding,
            "match": 0.75,
            "candidate": 0.6,
        }
        yield {"function": "merchant_match", "event": match}


def _wait_for(stage: Stage, arn: str, event: str) -> None:
    """Wait until an event is in the history of an execution."""
    clocks.wait(
        lambda: any(one["type"] == event for one in stage.history(arn)),
        f"no {event} in {arn}",
        PATIENCE,
    )


def _exit_codes(stage: Stage) -> list[int | None]:
    return [server.exit_code() for server in stage.tasks.servers.values()]


class _before_invocations:  # noqa: N801 -- reads as the context manager it is
    """Calls something before each invocation while the block runs."""

    def __init__(self, stage: Stage, call: Callable[[str, dict[str, Any]], None]) -> None:
        self._bridge, self._call = stage.functions, call

    def __enter__(self) -> None:
        self._bridge.before = self._call

    def __exit__(self, *_: object) -> None:
        self._bridge.before = lambda *_: None
