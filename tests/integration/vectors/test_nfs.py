"""FileStorage as EFS is: NFS 4.1 between kernels, two clients in virtual machines of their own.

Takes minutes. The figures that it prints are shown by ``-rP``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.vectors import nfs_checks as checks
from tests.integration.vectors import nfs_image
from tests.integration.vectors.nfs_checks import BREAKAGES, Client
from tests.integration.vectors.nfs_machines import MOUNT, Lab, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.vectors.nfs_machines import Machine, Started

pytestmark = pytest.mark.exhaustive

LEASE = 90.0
"""Seconds that Linux's server, unless told otherwise, gives a client between signs of life."""

CHECKS = [
    checks.undisturbed_flips,
    checks.flips_race,
    checks.names_race,
    checks.new_objects_are_seen,
    checks.replaced_objects_are_seen,
    checks.deleted_objects_are_seen,
    checks.kept_files_are_no_objects,
    checks.lock_is_seen,
    checks.killed_holder_blocks_nobody,
    checks.large_objects_are_whole,
]
NOTICED_BY = [
    ("no-lock", checks.flips_race, "two flips from one state won"),
    ("no-lock", checks.lock_is_seen, "two flips from one state won"),
    ("lock-file", checks.killed_holder_blocks_nobody, "runs after 20 s"),
    ("rename-for-link", checks.names_race, "two made the same object"),
    ("in-place", checks.large_objects_are_whole, "a part of an object was seen"),
    ("remembers", checks.new_objects_are_seen, "get does not see what is new"),
    ("remembers", checks.replaced_objects_are_seen, "get sees what was replaced"),
    ("remembers-parts", checks.new_objects_are_seen, "part does not see what is new"),
    ("remembers-listings", checks.new_objects_are_seen, "keys does not see what is new"),
    ("remembers-folders", checks.new_objects_are_seen, "folders does not see what is new"),
    ("remembers-in-flips", checks.lock_is_seen, "two flips from one state won"),
    ("deletes-nothing", checks.deleted_objects_are_seen, "get sees what was deleted"),
    ("lists-all", checks.kept_files_are_no_objects, "what NFS keeps is listed"),
]
"""A breakage, the check that must notice it, and what that must say."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server and its clients: a and b for all tests, doomed for the one that kills it."""
    reason = nfs_image.missing()
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("nfs")
    try:
        image = nfs_image.make(folder)
    except nfs_image.NoPackages as error:
        pytest.skip(str(error))
    nfs_image.bring(image.brought, BREAKAGES)
    lab = Lab(image, folder, ["a", "b", "doomed"])
    try:
        lab.serve()
        yield lab
    finally:
        lab.close()
        image.disk.unlink()


@pytest.fixture(scope="module")
def machines(lab: Lab) -> tuple[Machine, Machine]:
    return lab.client("a"), lab.client("b")


@pytest.fixture
def clients(machines: tuple[Machine, Machine]) -> tuple[Client, Client]:
    """Two clients of an empty store."""
    a, b = (Client(machine) for machine in machines)
    for client in (a, b):
        client.machine.ask("end")
    a.do("clean")
    return a, b


def test_both_are_clients_of_nfs_4_1_with_the_options_for_efs(
    lab: Lab, machines: tuple[Machine, Machine]
) -> None:
    for machine in machines:
        [mount] = [
            line.split() for line in machine.sh("cat /proc/mounts").splitlines() if MOUNT in line
        ]
        assert mount[2] == "nfs4"
        asked = {"vers=4.1", "rsize=1048576", "wsize=1048576", "hard", "timeo=600", "retrans=2"}
        assert asked | {"noresvport", "local_lock=none"} <= set(mount[3].split(","))
    known = lab.server.sh("cat /proc/fs/nfsd/clients/*/info")
    assert '"Linux NFSv4.1 a"' in known
    assert '"Linux NFSv4.1 b"' in known
    assert float(lab.server.sh("cat /proc/fs/nfsd/nfsv4leasetime")) == LEASE


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_two_machines(
    check: Callable[[Client, Client], dict[str, Any]], clients: tuple[Client, Client]
) -> None:
    print(check.__name__, check(*clients))


@pytest.mark.parametrize(
    ("breakage", "check", "words"),
    NOTICED_BY,
    ids=[f"{breakage}-{check.__name__}" for breakage, check, _ in NOTICED_BY],
)
def test_a_broken_storage_is_noticed(
    breakage: str,
    check: Callable[[Client, Client], dict[str, Any]],
    words: str,
    clients: tuple[Client, Client],
) -> None:
    a, b = clients
    with pytest.raises(AssertionError, match=words):
        check(a.broken(breakage), b.broken(breakage))


def test_a_session_goes_on_from_what_another_machine_stored(
    clients: tuple[Client, Client],
) -> None:
    a, b = clients
    ids = [f"id-{n}" for n in range(50)]
    vectors = {"ids": ids, "embeddings": [[n, 1, -n] for n in range(50)]}
    first = Session(a, "first")
    words = first.words()
    first.call(f"{words}/upsert", vectors)
    nearest = first.call(f"{words}/query", {"query_embeddings": [[7, 1, -7]], "n_results": 3})
    stored = first.finish()
    assert stored["flipped"]
    assert stored["records"] == {"words": 50}

    second = Session(b, "second")
    assert second.ready["snapshotId"] == stored["snapshotId"]
    words = second.words()
    query = {"query_embeddings": [[7, 1, -7]], "n_results": 3}
    assert second.call(f"{words}/query", query)["ids"] == nearest["ids"]
    assert set(second.call(f"{words}/get", {})["ids"]) == set(ids)
    second.call(f"{words}/upsert", {"ids": ["more"], "embeddings": [[0, 1, 0]]})
    assert second.finish()["records"] == {"words": 51}


def test_what_functions_write_on_two_machines_is_compacted_and_found_by_a_session(
    clients: tuple[Client, Client],
) -> None:
    a, b = clients

    def pending(client: Client) -> Any:
        return client.do("invoke", function="compaction_trigger", event={})["pending"]

    def batch(name: str, key: str, number: int) -> dict[str, Any]:
        record = {"id": name, "embedding": [number, 1, -number]}
        words = {"name": "words", "dimension": 3, "space": "l2"}
        event = {"database": "receipts", "collection": words, "records": [record]}
        return {"function": "delta_writer", "event": {**event, "idempotencyKey": key}}

    assert pending(b) == []
    # A batch that is retried reaches both machines, as in a backfill.
    twice = [client.go("invoke", **batch("both", "batch", 3)) for client in clients]
    own = [
        client.do("invoke", **batch(client.machine.name, client.machine.name, 5))
        for client in clients
    ]
    retried = [json.loads(one.wait().splitlines()[-1]) for one in twice]
    assert retried[0] == retried[1]
    written = {delta for answer in (*retried, *own) for delta in answer["deltas"]}
    assert len(written) == 3
    assert len(a.do("keys", prefix="databases/receipts/deltas/")) == 3
    assert pending(a) == pending(b) == ["receipts"]

    settings = {"MODE": "compact", "DATABASE": "receipts", "STORAGE_URL": f"file://{MOUNT}"}
    settings |= {"SESSION_ID": "compaction", "DATA_DIR": "/tmp/data-compaction"}
    b.machine.run(["python3", "-m", "chroma_supervisor", "serve"], **b.env, **settings)
    assert pending(a) == pending(b) == []

    session = Session(a, "asks")
    found = session.call(
        f"{session.words()}/query", {"query_embeddings": [[3, 1, -3]], "n_results": 3}
    )
    assert found["ids"][0][0] == "both"
    assert set(found["ids"][0]) == {"a", "b", "both"}
    assert session.finish()["records"] == {"words": 3}


def test_the_lock_of_a_dead_machine_ends_with_its_lease(
    lab: Lab, clients: tuple[Client, Client]
) -> None:
    _, b = clients
    doomed = Client(lab.client("doomed"))
    writer = doomed.go("write_large", prefix="large", size=checks.LARGE)
    writer.wait_for("3", 60)

    def end(_: Started) -> None:
        doomed.machine.kill()

    waited = checks.freed(doomed, b, "lock/3", end, 3 * LEASE)
    print(f"a dead machine's lock blocked for {waited:.0f} s")
    assert waited > LEASE / 2, "the machine was not dead, or did not hold the lock"
    seen = b.do("read_large", prefix="large", size=checks.LARGE, seconds=1.0)
    assert seen["whole"]
    assert not seen["torn"] + seen["failed"]


class Session:
    """A supervisor in a machine, with its data on NFS."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._token = f"/tmp/token-{name}"
        settings = {
            "DATABASE": "receipts",
            "STORAGE_URL": f"file://{MOUNT}",
            "SESSION_ID": name,
            "TOKEN_REFERENCE": f"file://{self._token}",
            "DATA_DIR": f"/tmp/data-{name}",
            "LISTEN_HOST": "127.0.0.1",
            "LISTEN_PORT": "0",
        }
        argv = ["python3", "-m", "chroma_supervisor", "serve"]
        self._process = start(client.machine, argv, **client.env, **settings)
        self._process.wait_for('"ready"', 120)
        self.ready = self._event("ready")

    def _event(self, name: str) -> dict[str, Any]:
        lines = self._process.output().splitlines()
        events: list[dict[str, Any]] = [json.loads(line) for line in lines if line[:1] == "{"]
        [found] = [event for event in events if event["event"] == name]
        return found

    def call(self, path: str, body: object) -> Any:
        return self._client.do(
            "call", address=self.ready["address"], token_file=self._token, path=path, body=body
        )

    def words(self) -> str:
        """The path of the collection, made if there is none."""
        path = "/api/v2/tenants/default_tenant/databases/default_database/collections"
        made = self.call(path, {"name": "words", "get_or_create": True})
        return f"{path}/{made['id']}"

    def finish(self) -> dict[str, Any]:
        """End it, and return its report."""
        self.call("/_session/finish", {})
        self._process.wait()
        return self._event("report")
