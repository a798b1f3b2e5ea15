"""Who published what is locked, as the index attests it (PEP 740).

An attestation says that a publisher, such as a workflow of a repository, uploaded a file with a
name and a hash. The lock keeps the publisher, so that another one, or none, is noticed the next
time. Name and hash are always compared; the signature is where the extra ``supply`` is installed.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import importlib.util
import itertools
import json
import logging
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from layersmith.base import http, uv
from layersmith.base.damage import RAISED
from layersmith.errors import LockError
from layersmith.lock import pages
from layersmith.lock.pages import Page

if TYPE_CHECKING:
    from collections.abc import Collection
    from concurrent.futures import Future
    from pathlib import Path

    from layersmith.lock.document import Lock, LockEntry
    from layersmith.lock.pages import Pages
    from layersmith.plan import Target

LARGEST = 4_000_000
"""Bytes of the largest provenance object that is read; an attestation has about 5,000."""

_KINDS = {"GitHub", "GitLab", "Google", "CircleCI"}
_NAMED_BY = (
    *("repository", "workflow", "workflow_filepath", "environment"),
    *("email", "project_id", "pipeline_definition_id"),
)
"""What publishers are known by (documentation of the index's attestations, Publishers)."""

_NO_VERSIONS = re.compile(r"there are no versions of ([A-Za-z0-9][A-Za-z0-9._-]*)")

_STATUSES = {
    "archived": "its owners do not expect to update it; look for a replacement",
    "quarantined": "the index considers it unsafe; do not use it before it is cleared",
    "deprecated": "its owners name another project in its stead",
}
"""Status of a project (PEP 792) to what it means."""


class Refuted(Exception):
    """An attestation is not of the file that it is offered for, or its signature is not valid."""


def add(
    new: Lock, old: Lock | None, target: Target, pages: Pages, accepted: Collection[str] = ()
) -> tuple[Lock, list[str]]:
    """Return a lock with who published each file, and what the user should know.

    Args:
        new: The new lock, with the index of each entry.
        old: The lock before, if there is one.
        target: Its target.
        pages: What asks for the pages of projects.
        accepted: Normalized names whose publisher may change, or be lost.

    Raises:
        LockError: A publisher is another than before, an attestation is missing that was there
            before, or one is not of the file.
        ConfigError: uv's configuration cannot be read.
    """
    judge = _Judge(pages, accepted)
    before = {entry.name: entry for entry in old.entries} if old else {}
    asked = [
        _Question(entry, before.get(entry.name))
        for entry in new.entries
        if urlsplit(entry.index).scheme in {"http", "https"}
    ]
    pages.ask((one.entry.index, one.entry.name) for one in asked)
    for one in asked:  # all are asked for before the first answer is waited for
        judge.look(one)
    settled = {one.entry.name: judge.settled(one) for one in asked}
    if judge.stops:
        raise _stopped(judge.stops, target)
    entries = [settled.get(entry.name, entry) for entry in new.entries]
    if judge.unverified:
        judge.notes.append(
            f"{judge.unverified} new publisher(s) recorded as the index names them; with the extra"
            " `supply` installed, signatures are verified"
        )
    return replace(new, entries=entries), judge.notes


def withheld(explanation: str, root: Path, pages: Pages) -> str:
    """Say which projects have no files for a reason that the index gives; empty where none has.

    Args:
        explanation: What uv said when it found no solution.
        root: Folder in which uv looks for its configuration.
        pages: What asks for the pages of projects.
    """
    names = dict.fromkeys(map(canonicalize_name, _NO_VERSIONS.findall(explanation)))
    found = []
    for name, index in itertools.product(names, uv.indexes(root) if names else ()):
        with contextlib.suppress(http.RequestFailed):
            found += _status(name, pages.of(index, name))
    return "; ".join(found)


def _status(name: str, page: Page) -> list[str]:
    """Say the status of a project (PEP 792), unless it is active."""
    if page.status == pages.ACTIVE:
        return []
    means = _STATUSES.get(page.status, "the index does not call it active")
    reason = f" ({page.reason})" if page.reason else ""
    return [f"{name} is marked as {page.status}{reason}: {means}"]


@dataclass
class _Question:
    """Who published one file.

    Attributes:
        entry: The file.
        before: The entry of the same distribution in the lock before.
        page: What the index says of the project.
        attestation: Who published the file, if that is asked for.
        trouble: Why there is no answer.
    """

    entry: LockEntry
    before: LockEntry | None
    page: Page = field(default_factory=Page)
    attestation: Future[tuple[str, ...]] | None = None
    trouble: str = ""

    @property
    def known(self) -> tuple[str, ...]:
        """The publishers in the lock before."""
        return self.before.publishers if self.before else ()

    @property
    def is_known(self) -> bool:
        """Whether the lock before has the publishers of this very file."""
        return (
            bool(self.known)
            and self.before is not None
            and self.before.sha256 == (self.entry.sha256)
        )


@dataclass
class _Judge:
    """Compares publishers.

    Attributes:
        pages: What asks the indexes.
        accepted: Normalized names whose publisher may change.
        stops: Name of a distribution, and why its file is not taken.
        notes: What the user should know.
        unverified: Number of new publishers whose signature was not checked.
    """

    pages: Pages
    accepted: Collection[str]
    stops: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unverified: int = 0

    def look(self, one: _Question) -> None:
        """Wait for the page of a project, and begin to ask for the attestation if it is new."""
        entry = one.entry
        try:
            one.page = self.pages.of(entry.index, entry.name)
        except http.RequestFailed as problem:
            one.trouble = f"the index's page of {entry.name} could not be read: {problem}"
        listed = one.page.files.get(entry.filename)
        if listed and listed.provenance and not one.is_known:
            ask = functools.partial(_attested, entry, listed.provenance, self.pages)
            one.attestation = self.pages.once((listed.provenance, entry.sha256), ask)

    def settled(self, one: _Question) -> LockEntry:
        """Return an entry with its publishers; what is wrong with them becomes a stop."""
        entry = one.entry
        self.notes += _status(entry.name, one.page)
        listed = one.page.files.get(entry.filename)
        if one.is_known and (one.trouble or (listed and listed.provenance)):
            self.notes += [f"{one.trouble}; its publisher stays as recorded"] if one.trouble else []
            return replace(entry, publishers=one.known)
        publishers: tuple[str, ...] = ()
        try:
            publishers = one.attestation.result() if one.attestation else ()
        except http.RequestFailed as problem:
            one.trouble = f"the attestation of {entry.filename} could not be read: {problem}"
        except Refuted as problem:
            if entry.name not in self.accepted:
                self.stops.append((entry.name, str(problem)))
            return entry
        if one.known and publishers != one.known and entry.name not in self.accepted:
            self.stops.append((entry.name, _change(one, publishers)))
        elif one.trouble:
            self.notes.append(f"{one.trouble}; its publisher is not recorded")
        self.unverified += bool(publishers) and not _can_verify()
        return replace(entry, publishers=publishers)


def _change(one: _Question, publishers: tuple[str, ...]) -> str:
    version = one.before.version if one.before else ""
    was = f"{one.entry.name} {version} was published by {'; '.join(one.known)}"
    if one.trouble:
        return f"{was}, and {one.trouble}"
    if not publishers:
        return f"{was}, and {one.entry.filename} has no attestation of who published it"
    return f"{was}, and {one.entry.filename} by {'; '.join(publishers)}"


def _stopped(stops: list[tuple[str, str]], target: Target) -> LockError:
    names = " ".join(sorted({name for name, _ in stops}))
    return LockError(
        "; ".join(text for _, text in stops),
        target=target.identifier,
        cause="the project moved or publishes in another way, or somebody else uploaded the file",
        hint="ask the project whether the change is its own; then accept it with `nox -s lock --"
        f" --accept-publisher {names}`, or keep the version before by an entry under `constraints`",
    )


@functools.cache
def _can_verify() -> bool:
    """Whether the extra ``supply`` is installed."""
    return importlib.util.find_spec("pypi_attestations") is not None


def _attested(entry: LockEntry, url: str, pages: Pages) -> tuple[str, ...]:
    """Return the publishers of a file.

    Raises:
        RequestFailed: The index does not give the provenance, or it is not readable.
        Refuted: It is of another file, or its signature is not valid.
    """
    content = http.ask(pages.client, url, who="index", most=LARGEST)
    found = publishers_in(content, entry.filename, entry.sha256)
    if _can_verify():
        verify(content, entry.filename, entry.sha256)
    return found


def publishers_in(content: bytes, filename: str, sha256: str) -> tuple[str, ...]:
    """Return the publishers that a provenance object (PEP 740) names, sorted.

    Args:
        content: The object.
        filename: Name of the file that it is of.
        sha256: SHA-256 of that file, in hex.

    Raises:
        RequestFailed: It is not readable.
        Refuted: An attestation in it is of another file.
    """
    found = set()
    try:
        for bundle in json.loads(content)["attestation_bundles"]:
            found.add(_publisher(bundle["publisher"]))
            statements = [
                json.loads(base64.b64decode(one["envelope"]["statement"], validate=True))
                for one in bundle["attestations"]
            ]
            subjects = [subject for one in statements for subject in one["subject"]]
            wrong = next((one for one in subjects if not _is_of(one, filename, sha256)), None)
            if wrong or not subjects:
                found_name = f"{wrong['name']!r}" if wrong else "nothing"
                raise Refuted(f"the attestation of {filename} is of another file: {found_name}")
    except RAISED as problem:
        raise http.RequestFailed(f"it is not readable: {type(problem).__name__}") from None
    return tuple(sorted(found))


def _publisher(said: dict[str, Any]) -> str:
    kind = said["kind"] if said["kind"] in _KINDS else quote(str(said["kind"]))
    details = [(key, said[key]) for key in _NAMED_BY if said.get(key)]
    return " ".join([kind, *(f"{key}={quote(str(value), safe='/@:+')}" for key, value in details)])


def _is_of(subject: dict[str, Any], filename: str, sha256: str) -> bool:
    return subject["digest"].get("sha256") == sha256 and _same(subject["name"], filename)


def _same(one: str, other: str) -> bool:
    """Whether two names are of one file: case and separators may differ."""
    for parse in (parse_wheel_filename, parse_sdist_filename):
        try:
            return parse(one) == parse(other)
        except (InvalidWheelFilename, InvalidSdistFilename):
            continue
    return one == other


def verify(content: bytes, filename: str, sha256: str) -> None:
    """Check the signatures of a provenance object with the keys that come with the library.

    Nothing is asked of a network: the public keys of Sigstore are part of its library.

    Args:
        content: The object.
        filename: Name of the file that it is of.
        sha256: SHA-256 of that file, in hex.

    Raises:
        Refuted: A signature is not valid, or not by the publisher.
    """
    from pydantic import ValidationError  # noqa: PLC0415 -- start-up time: seldom needed
    from pypi_attestations import (  # noqa: PLC0415 -- see above
        AttestationError,
        Distribution,
        Provenance,
    )
    from sigstore.errors import Error as SigstoreError  # noqa: PLC0415 -- see above

    # It warns of what is wanted here: that its keys are not fetched anew.
    logging.getLogger("sigstore._internal.tuf").setLevel(logging.ERROR)
    try:
        distribution = Distribution(name=filename, digest=sha256)
        for bundle in Provenance.model_validate_json(content).attestation_bundles:
            for attestation in bundle.attestations:
                attestation.verify(bundle.publisher, distribution, offline=True)
    except ValidationError as problem:
        what = problem.errors()[0]["msg"]
        raise Refuted(f"the attestation of {filename} cannot be verified: {what}") from None
    except (AttestationError, SigstoreError, ValueError, OSError) as problem:
        said = " ".join(str(problem).split())
        raise Refuted(f"the attestation of {filename} is not valid: {said}") from None
