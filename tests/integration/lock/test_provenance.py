"""Who published what is locked, how long ago, and what the index says of the project."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from layersmith.lock import pages, provenance
from sigstore.models import TrustedRoot
from sigstore.verify import Verifier

from tests.support.attestations import PUBLISHER, Sigstore

from .conftest import versions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .conftest import Project
    from .index import Index

OWNER = "GitHub repository=owner/thing workflow=release.yml environment=release"
STRANGER = {**PUBLISHER, "repository": "stranger/thing"}
FIRST = "thing-1.0-py3-none-any.whl"
SECOND = "thing-2.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def sigstore() -> Sigstore:
    return Sigstore()


@pytest.fixture(autouse=True)
def trusted(sigstore: Sigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library trust the keys of the test."""
    sigstore.write_root(tmp_path / "trusted_root.json")
    root = TrustedRoot.from_file(str(tmp_path / "trusted_root.json"))
    monkeypatch.setattr(Verifier, "production", lambda **_: Verifier(trusted_root=root))


@pytest.fixture(autouse=True)
def offered(index: Index) -> None:
    index.json = True
    index.wheel("thing", "1.0")
    index.wheel("plain", "1.0")


def attest(
    index: Index, sigstore: Sigstore, filename: str, publisher: Mapping[str, str] = PUBLISHER
) -> None:
    content = sigstore.provenance(filename, index.sha256(filename), claimed=publisher)
    index.attested[filename] = content


@pytest.fixture
def locked(project: Project, index: Index, sigstore: Sigstore) -> Project:
    """A lock with thing 1.0 of its owner, and a version 2.0 beside it."""
    attest(index, sigstore, FIRST)
    project.write("requirements: [thing, plain]")
    project.lock()
    index.wheel("thing", "2.0")
    return project


@pytest.mark.parametrize("as_json", [True, False])
def test_the_lock_has_the_publisher(
    project: Project, index: Index, sigstore: Sigstore, as_json: bool
) -> None:
    index.json = as_json
    attest(index, sigstore, FIRST)
    project.write("requirements: [thing, plain]")
    (result,) = project.results()
    assert result.lock
    assert {one.name: one.publishers for one in result.lock.entries} == {
        "plain": (),
        "thing": (OWNER,),
    }
    assert not result.notes
    assert f"    # publisher {OWNER}\n" in project.path().read_text()
    checked = project.cli("--check")
    assert "the lock fits" in checked.stderr, "no index is asked"


def test_another_publisher_stops_the_lock(
    locked: Project, index: Index, sigstore: Sigstore
) -> None:
    attest(index, sigstore, SECOND, STRANGER)
    before = locked.path().read_text()
    (result,) = locked.results(upgrade=["thing"])
    assert result.error
    assert result.error.message == (
        f"thing 1.0 was published by {OWNER}, and {SECOND} by"
        " GitHub repository=stranger/thing workflow=release.yml environment=release"
    )
    assert "--accept-publisher thing`" in (result.error.hint or "")
    assert locked.path().read_text() == before
    (result,) = locked.results(upgrade=["thing"], accepted=["Thing"])
    assert result.lock
    assert "stranger/thing" in locked.path().read_text()
    assert locked.lock() == result.lock, "it stays accepted"


def test_a_lost_attestation_stops_the_lock(locked: Project, index: Index) -> None:
    (result,) = locked.results(upgrade=["thing"])
    assert result.error
    assert f"{SECOND} has no attestation of who published it" in result.error.message
    (result,) = locked.results(upgrade=["thing"], accepted=["thing"])
    assert result.lock
    assert [one.publishers for one in result.lock.entries] == [(), ()]


def test_the_same_file_without_its_attestation_stops_the_lock(
    locked: Project, index: Index
) -> None:
    index.attested.clear()
    error = locked.refused()
    assert f"{FIRST} has no attestation" in error.message
    done = locked.cli("--accept-publisher", "thing")
    assert done.returncode == 0, done.stderr
    assert "publisher" not in locked.path().read_text()


def test_a_name_that_is_not_locked_cannot_be_accepted(locked: Project) -> None:
    done = locked.cli("--accept-publisher", "thingy")
    assert done.returncode == 4
    assert "thingy cannot be accepted: it is in none of the locks" in done.stderr
    assert "did you mean thing?" in done.stderr


def wrong(index: Index, sigstore: Sigstore) -> dict[str, tuple[bytes, str]]:
    sha256 = index.sha256(FIRST)
    whole = json.loads(sigstore.provenance(FIRST, sha256))
    whole["attestation_bundles"][0]["publisher"]["repository"] = "claimed/by-the-index"
    return {
        "file": (sigstore.provenance(FIRST, "0" * 64), "is of another file"),
        "project": (sigstore.provenance("other-1.0-py3-none-any.whl", sha256), "another file"),
        "signer": (sigstore.provenance(FIRST, sha256, signer=STRANGER), "is not valid"),
        "claim": (json.dumps(whole).encode(), "is not valid"),
        "expired": (
            sigstore.provenance(FIRST, sha256, late=timedelta(hours=1)),
            "is not valid at validation time",
        ),
    }


@pytest.mark.parametrize("kind", ["file", "project", "signer", "claim", "expired"])
def test_an_attestation_that_proves_nothing_stops_the_lock(
    project: Project, index: Index, sigstore: Sigstore, kind: str
) -> None:
    index.attested[FIRST], said = wrong(index, sigstore)[kind]
    project.write("requirements: [thing]")
    error = project.refused()
    assert f"the attestation of {FIRST}" in error.message
    assert said in error.message


@pytest.mark.parametrize(
    "content",
    [
        b"<html>sign in",
        b"[" * 100_000,
        b'{"attestation_bundles": [{"publisher": {"kind": "GitHub"}}]}',
        b'{"attestation_bundles": [{"publisher": 7, "attestations": []}]}',
        b" " * (provenance.LARGEST + 1),
    ],
    ids=["HTML", "deep", "no attestations", "another form", "huge"],
)
def test_one_that_cannot_be_read_is_said_and_stops_where_there_was_one(
    project: Project, index: Index, sigstore: Sigstore, content: bytes
) -> None:
    index.attested[FIRST] = content
    project.write("requirements: [thing]")
    (result,) = project.results()
    assert result.lock
    assert f"the attestation of {FIRST} could not be read" in result.notes[0]
    attest(index, sigstore, FIRST)
    assert project.lock().entries[0].publishers == (OWNER,)
    index.wheel("thing", "2.0")
    index.attested[SECOND] = content
    (result,) = project.results(upgrade=["thing"])
    assert result.error
    assert f"the attestation of {SECOND} could not be read" in result.error.message


def test_without_the_library_the_file_is_compared_and_the_rest_is_said(
    project: Project, index: Index, sigstore: Sigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "_can_verify", lambda: False)
    index.attested[FIRST] = wrong(index, sigstore)["signer"][0]
    project.write("requirements: [thing]")
    (result,) = project.results()
    assert result.lock
    assert result.lock.entries[0].publishers == (OWNER,)
    (note,) = result.notes
    assert "1 new publisher(s) recorded as the index names them" in note
    assert not project.results()[0].notes, "only what is new"


def test_nothing_is_asked_twice(project: Project, index: Index, sigstore: Sigstore) -> None:
    attest(index, sigstore, FIRST)
    index.headers["ETag"] = '"1"'
    project.write("requirements: [thing]", runtimes="python3.12, python3.13")
    results = project.results()
    assert [one.lock.entries[0].publishers for one in results if one.lock] == [(OWNER,)] * 2
    assert sorted(index.ours) == [f"/integrity/{FIRST}", "/simple/thing/"]
    index.headers["Cache-Control"] = "max-age=600, public"
    index.ours.clear()
    assert all(one.lock for one in project.results())
    assert index.ours == ["/simple/thing/"], "the attestation is known"
    index.ours.clear()
    assert all(one.lock for one in project.results())
    assert not index.ours, "the page holds for ten minutes"


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("status", ["archived", "quarantined"])
def test_the_status_of_a_project_is_said(
    project: Project, index: Index, status: str, as_json: bool
) -> None:
    index.json = as_json
    index.status["thing"] = status
    project.write("requirements: [thing]")
    (result,) = project.results()
    assert result.lock
    assert result.notes[0].startswith(f"thing is marked as {status}")


def uploaded(index: Index, filename: str, days: float) -> None:
    index.uploaded[filename] = datetime.now(UTC) - timedelta(days=days)


@pytest.fixture
def young(index: Index) -> None:
    index.wheel("thing", "2.0")
    uploaded(index, FIRST, 30)
    uploaded(index, SECOND, 2)


@pytest.mark.usefixtures("young")
def test_a_cool_down_takes_older_versions(project: Project) -> None:
    project.write("requirements: [thing]", "cool-down: 7d")
    assert versions(project.lock()) == {"thing": "1.0"}
    project.write("requirements: [thing]", "cool-down: 36h")
    assert "cool-down changed since it was written" in project.cli("--check").stderr
    assert versions(project.lock(upgrade=True)) == {"thing": "2.0"}
    project.write(
        "requirements: [thing]", "cool-down: 7d", "cool-down-exceptions: {Thing: it fixes a hole}"
    )
    assert versions(project.lock(upgrade=True)) == {"thing": "2.0"}


@pytest.mark.usefixtures("young")
def test_what_was_locked_too_young_stops_the_lock(project: Project) -> None:
    project.write("requirements: [thing]")
    project.lock()
    project.write("requirements: [thing]", "cool-down: 7d")
    error = project.refused()
    assert f"{SECOND} was uploaded" in error.message
    assert "within the cool-down of layers.yaml, and the lock holds it" in error.message
    assert "--upgrade thing`" in (error.hint or "")
    assert "cool-down-exceptions" in (error.hint or "")
    assert versions(project.lock(upgrade=["thing"])) == {"thing": "1.0"}


@pytest.mark.usefixtures("young")
@pytest.mark.parametrize("requirement", ["thing==2.0", "plain"])
def test_a_cool_down_that_leaves_nothing_names_the_choice(
    project: Project, requirement: str
) -> None:
    project.write(f"requirements: [{requirement}]", "cool-down: 7d")
    error = project.refused()
    assert "uploaded within the `cool-down`" in (error.cause or "")
    assert "cool-down-exceptions" in (error.hint or "")


def test_a_project_whose_files_are_withheld_is_named(project: Project, index: Index) -> None:
    index.status["gone"] = "quarantined"
    project.write("requirements: [gone, plain]")
    error = project.refused()
    assert (error.cause or "").startswith("gone is marked as quarantined (no time)")


@pytest.mark.parametrize("page", ["another project", "broken", "huge"])
def test_a_page_that_cannot_be_read_is_said_and_changes_nothing(
    project: Project,
    index: Index,
    sigstore: Sigstore,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
) -> None:
    attest(index, sigstore, FIRST)
    project.write("requirements: [thing]")
    before = project.lock()
    if page == "huge":
        monkeypatch.setattr(pages, "LARGEST", 100)
    else:
        index.shown["thing"] = "{" if page == "broken" else index.json_page("plain")
    (result,) = project.results()
    assert result.lock == before
    assert "the index's page of thing could not be read" in result.notes[0]
