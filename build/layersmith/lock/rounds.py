"""From requirements to one file a distribution, in as many rounds with uv as that takes.

uv resolves with wheels alone. Two things have to be found out on the way: which distributions
exist as sdists alone, and, where uv knows the target's glibc only roughly, which versions need a
newer one than the target has.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from layersmith import cache, console
from layersmith.errors import BuildError, LockError
from layersmith.lock import configuration, explain, resolver, wheelstore, yanked
from layersmith.lock.resolver import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layersmith.lock.inputs import LockInputs
    from layersmith.lock.resolver import File, Offer
    from layersmith.plan import Target

MAX_ROUNDS = 60
"""Rounds until it is given up. Each rules out a version or allows an sdist; numpy, which raised
its glibc floor long ago, needs about twenty on Amazon Linux 2."""

MAX_LISTED = 5
"""Versions that a message lists."""

_NO_WHEEL = re.compile(r"Wheels are required for `([^`]+)`")
"""uv's hint for a distribution without a wheel that any platform of the kind could use."""


def resolution_of(
    target: Target, inputs: LockInputs, root: Path, kept: Sequence[tuple[str, str]]
) -> Resolution:
    """Resolve a target and choose the one file of each distribution that it uses.

    Args:
        target: The target.
        inputs: What it is made of.
        root: Folder in which uv looks for its configuration.
        kept: Names and versions to keep where they still fit.

    Raises:
        LockError: There is no solution, a distribution has no file that the target can use, or
            uv is configured to resolve differently.
    """
    configuration.refuse_deciding(root, inputs.constraints, inputs.overrides)
    known = _Known(set(target.settings.build))
    for _ in range(MAX_ROUNDS):
        offers = _round(target, inputs, root, kept, known)
        if offers is None:
            continue
        found = [offer for offer in offers if offer.folder is None]
        found = [_allowed(target, offer, inputs.hashes.get(offer.name)) for offer in found]
        _refuse_unwanted_sdists(target, found, inputs, root, known)
        files = {offer.name: _file(target, offer, root, known) for offer in found}
        misfits = [offer for offer in found if files[offer.name] is None]
        if not misfits:
            chosen = [(o, _sealed(file)) for o in found if (file := files[o.name]) is not None]
            folders = {o.name: o.folder for o in offers if o.folder is not None}
            return Resolution(chosen, folders)
        known.ruled_out += [(offer.name, offer.version) for offer in misfits]
    raise LockError(
        f"no solution within {MAX_ROUNDS} rounds with uv",
        target=target.identifier,
        cause=f"too many versions do not fit: {_listed(known.ruled_out[-5:])}",
        hint="constrain these distributions to versions with wheels for the target",
    )


@dataclass(frozen=True)
class Resolution:
    """What a target resolves to.

    Attributes:
        chosen: Each distribution of an index with the one file that the target uses.
        folders: Local packages by normalized name, absolute.
    """

    chosen: list[tuple[Offer, File]]
    folders: dict[str, Path]

    def members(self, inputs: LockInputs, root: Path) -> dict[str, str]:
        """Return the local packages that ``inputs`` does not list: name to relative folder."""
        return {
            name: Path(os.path.relpath(folder, root.resolve())).as_posix()
            for name, folder in sorted(self.folders.items())
            if name not in inputs.packages
        }


@dataclass
class _Known:
    """What the rounds found out so far.

    Attributes:
        asked: Distributions that layers.yaml wants from their sdist.
        found_out: Distributions that exist as sdists alone, as far as uv's wheels go.
        ruled_out: Names and versions whose wheels do not fit the target.
        first: What uv said when it first found no solution.
        announced: Distributions whose metadata may have to be built, as the user was told.
    """

    asked: set[str]
    found_out: set[str] = field(default_factory=set)
    ruled_out: list[tuple[str, str]] = field(default_factory=list)
    first: str = ""
    announced: set[str] = field(default_factory=set)

    @property
    def from_source(self) -> set[str]:
        """Distributions to take as sdists."""
        return self.asked | self.found_out


def _round(
    target: Target, inputs: LockInputs, root: Path, kept: Sequence[tuple[str, str]], known: _Known
) -> list[Offer] | None:
    """Ask uv once; None where it said which distributions have no wheel at all."""
    _announce(target, inputs, known)
    try:
        return resolver.resolve(
            target,
            inputs,
            root,
            preferences=kept,
            from_source=known.from_source,
            without=[f"{name}!={version}" for name, version in known.ruled_out],
        )
    except Unresolvable as problem:
        known.first = known.first or problem.explanation
        named = map(canonicalize_name, _NO_WHEEL.findall(problem.explanation))
        lacking = [name for name in dict.fromkeys(named) if name not in known.from_source]
        if not lacking:
            said = _said(problem.explanation, known.first, known.ruled_out)
            blamed = [pin for pin in known.ruled_out if pin[0] in problem.explanation]
            raise explain.refusal(target, said, root, blamed) from None
        known.found_out |= _to_allow(target, inputs, root, lacking)
        return None


def _allowed(target: Target, offer: Offer, hashes: Sequence[str] | None) -> Offer:
    """Return a distribution with the files that a requirements file allows."""
    if hashes is None:
        return offer
    files = tuple(file for file in offer.files if file.sha256 in hashes)
    if not files:
        raise LockError(
            f"none of the hashes for {offer.name} in the requirements file is that of a file of"
            f" {offer.name} {offer.version} for the target",
            target=target.identifier,
            cause="the hashes are of another version or platform, or the index has other files",
            hint="export the requirements again with the hashes of all files of a version",
        )
    return replace(offer, files=files)


def _sealed(file: File) -> File:
    """Return a file with its SHA-256: the archive of a git requirement is made for it."""
    if not urlsplit(file.url).scheme.startswith("git+"):
        return file
    try:
        content = wheelstore.pack_commit(
            file.url, file.filename.removesuffix(wheelstore.COMMIT_SUFFIX)
        )
        sha256 = cache.sha256_bytes(content)
        wheelstore.admit(sha256, file.filename, content)
    except BuildError as problem:
        raise LockError(problem.message, cause=problem.cause, hint=problem.hint) from None
    return replace(file, sha256=sha256, size=len(content))


def _file(target: Target, offer: Offer, root: Path, known: _Known) -> File | None:
    """Return the file of a distribution; None where no wheel fits the target."""
    if offer.direct:
        (file,) = offer.files
        if file.is_wheel and explain.fitting(target, offer.files) is None:
            raise explain.no_wheel(target, offer.name, offer.version, root)
        return file
    if offer.name in known.asked:
        return _sdist(offer.files)
    if offer.name in known.found_out:
        every = tuple(explain.exact_files(target, offer.name, offer.version, root))
        sound = yanked.without(target, replace(offer, files=every), root, or_sdist=True)
        return explain.fitting(target, sound) or _sdist(offer.files)
    return explain.fitting(target, yanked.without(target, offer, root))


def _sdist(files: Iterable[File]) -> File | None:
    return next((file for file in files if not file.is_wheel), None)


def _announce(target: Target, inputs: LockInputs, known: _Known) -> None:
    """Say what uv may have to build to learn its metadata: that can take minutes."""
    dynamic = {name for name, one in inputs.packages.items() if not one.depends_statically}
    names = (known.from_source | dynamic) - known.announced
    known.announced |= names
    if names:
        console.info(
            f"{target.identifier}: uv reads the metadata of {', '.join(sorted(names))} from"
            " sources, and builds it where it is not static"
        )


def _to_allow(target: Target, inputs: LockInputs, root: Path, lacking: Sequence[str]) -> set[str]:
    """Return what to take from sdists next, of all that uv names.

    uv names what could lead to a solution, and so, too, what merely asks for a version without a
    wheel: older versions of it may be sdists. What has no wheel for the target comes first.
    """
    bare = {name for name in lacking if not explain.has_wheel(target, name, inputs, root)}
    if bare:
        return bare
    asked = {canonicalize_name(Requirement(line).name) for line in inputs.requirements}
    return {next((name for name in lacking if name not in asked), lacking[0])}


def _refuse_unwanted_sdists(
    target: Target, offers: Sequence[Offer], inputs: LockInputs, root: Path, known: _Known
) -> None:
    """Refuse what has wheels for other platforms: its sdist would have to be compiled.

    What stays out of the layer is let through; nothing of it will be built.
    """
    left_out = {*target.settings.excludes, *target.settings.stubs, *target.provided}
    for offer in offers:
        if offer.name not in known.found_out or offer.name in left_out:
            continue
        # The newest version counts, although its wheels were ruled out before.
        misfits = [version for name, version in known.ruled_out if name == offer.name]
        version = max([offer.version, *misfits], key=Version)
        files = explain.exact_files(target, offer.name, version, root)
        if any(file.is_wheel for file in files) and not explain.fitting(target, files):
            via = _askers(target, inputs, offers, root).get(offer.name, ())
            raise explain.no_wheel(target, offer.name, version, root, via=via, said=known.first)


def _askers(
    target: Target, inputs: LockInputs, offers: Sequence[Offer], root: Path
) -> dict[str, tuple[str, ...]]:
    pins = [(offer.name, offer.version) for offer in offers]
    try:
        return resolver.graph(target, inputs, pins, root).askers
    except Unresolvable:
        return {}


def _said(last: str, first: str, without: Sequence[tuple[str, str]]) -> str:
    """Return what uv said, from the round that tells most.

    Once sdists were allowed, uv may stumble over an ancient one; why it had to go that far is
    what it said first.
    """
    if last != first and "Failed to" in last and "build" in last:
        last = f"{first}\n\nits sdist does not build either:\n{last}"
    if without:
        last += f"\n\nnot for the target's glibc and ruled out before: {_listed(without)}"
    return last


def _listed(pins: Sequence[tuple[str, str]]) -> str:
    named = [f"{name} {version}" for name, version in pins[:MAX_LISTED]]
    more = len(pins) - len(named)
    return ", ".join([*named, *([f"and {more} more"] if more else [])])
