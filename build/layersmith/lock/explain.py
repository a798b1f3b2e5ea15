"""Says what an index has that a target cannot use, why uv found no solution, and what to do."""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from layersmith.base import architectures
from layersmith.base.runtimes import RUNTIMES, marker_environment
from layersmith.errors import LockError
from layersmith.lock import resolver
from layersmith.lock import tags as wheeltags
from layersmith.lock.document import CONFIG
from layersmith.lock.resolver import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layersmith.lock.document import Lock
    from layersmith.lock.inputs import LockInputs
    from layersmith.lock.resolver import File, Offer
    from layersmith.plan import Target

NO_SOLUTION = "No solution found"
"""How uv begins where versions, names or files are at fault rather than a machine."""

_CAUSES = (
    (
        r"lack of valid authentication|\b401\b|\b403\b",
        "the package index asks for a login, or refuses the one that it was given",
        "correct it in the index URL, UV_INDEX_<NAME>_USERNAME and _PASSWORD, a keyring or netrc",
    ),
    (
        r"was not found in the package registry|not found in the provided package",
        "a name is misspelt, or the configured index does not have it",
        "check the name; a private index is configured in uv's configuration",
    ),
    (
        r"`exclude-newer`",
        "what fits was uploaded within the `cool-down`, or the index gives no time of upload",
        "request an older version, or list it under `cool-down-exceptions` with the reason",
    ),
    (
        r"[Ff]ailed to parse:? `?\S*(?:uv|pyproject)\.toml",
        "uv's configuration cannot be read",
        "correct the file that uv names",
    ),
    (
        r"No space left on device",
        "the disk of uv's cache or of the temporary folder is full",
        "free some space, or set UV_CACHE_DIR or TMPDIR to a larger disk",
    ),
    (
        r"no answer within \d+ s",
        "an sdist takes that long to build its metadata, or the index does not answer",
        "request versions that have wheels, or run the command again with -v to see what uv does",
    ),
    (
        r"invalid peer certificate|UnknownIssuer|certificate (?:verify|has expired)",
        "the certificate of the package index is not trusted here",
        "name the bundle with the issuer in SSL_CERT_FILE, or set `system-certs = true` for uv",
    ),
    (
        r"error sending request|dns error|[Cc]onnection|timed out|Failed to fetch",
        "the package index cannot be reached",
        "check the network and uv's index configuration, then run the command again",
    ),
    (
        r"Failed to build `[^`]*\s@\s+file:",
        "the metadata of a local package is only known after running its build, which fails",
        "declare its dependencies statically under [project] (PEP 621), or repair its build",
    ),
    (
        r"Failed to build|build backend",
        "no wheel of a distribution fits, and its sdist does not build",
        "request a version that has a wheel; uv shows what the build said",
    ),
    (
        r"requires Python|does not satisfy Python",
        "a requirement asks for another version of Python than the runtime's",
        "request a version that supports the runtime, or choose another runtime",
    ),
    (
        r"was yanked",
        "a version that would fit was yanked from the index",
        "request a version that was not yanked; `==` takes a yanked one all the same",
    ),
    (
        r"there is no version of|only .* available",
        "no version is within what is asked for",
        "relax the requirement or constraint that uv names",
    ),
    (
        r"depends? on|you require",
        "two requirements ask for versions that exclude each other",
        "relax one of the requirements or constraints that uv names",
    ),
)
"""What uv says, the likely cause and what to do; the first that matches."""

MAX_NAMED = 12
"""Wheels of one version that a message names in full."""

_LACKING = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+) has no (?:usable )?wheels")

_LACKING_HINT = re.compile(r"`([A-Za-z0-9][A-Za-z0-9._-]*)` \(v([^)\s]+)\)")

_NOT_BUILT = re.compile(r"Failed to build `([A-Za-z0-9][A-Za-z0-9._-]*)==")

_NOT_FOUND = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) was not found in the package registry")

INSTEAD = Path(__file__).with_name("instead.toml")


class LikelyCause(NamedTuple):
    """What a text of uv means."""

    cause: str | None
    hint: str


UNKNOWN = LikelyCause(None, "uv's own words are all that is known of it; -v shows more of them")


def likely_cause(explanation: str) -> LikelyCause:
    """Return the likely cause of what uv said; no cause where it is not known."""
    for pattern, cause, hint in _CAUSES:
        if re.search(pattern, explanation):
            return LikelyCause(cause, hint)
    return UNKNOWN


def fitting(target: Target, files: Iterable[File]) -> File | None:
    """Return the wheel that the target would use, or None."""
    by_name = {file.filename: file for file in files if file.is_wheel}
    best = wheeltags.best(by_name, target.runtime, target.architecture)
    return by_name[best] if best else None


def platform_text(target: Target) -> str:
    """Return ``python3.13 on aarch64-manylinux_2_34``."""
    return f"{target.runtime.name} on {target.uv_platform}"


def wheels_text(target: Target, files: Iterable[File]) -> str:
    """Name the wheels among ``files``: ``cp312, cp313: win32, win_amd64``.

    Where there are many, only those for the target's own interpreter are named in full, or else
    those for its machine.
    """
    platforms: dict[str, set[str]] = {}
    for file in files:
        if file.is_wheel and file.filename.count("-") >= 4:
            python, abi, platform = file.filename.removesuffix(".whl").split("-")[-3:]
            tag = python if abi in {python, "none"} else f"{python}-{abi}"
            platforms.setdefault(tag, set()).add(platform)
    if sum(map(len, platforms.values())) > MAX_NAMED and target.runtime.tag in platforms:
        mine = platforms.pop(target.runtime.tag)
        others = ", ".join(sorted(platforms, key=_natural))
        also = f"; and for {others}" if others else ""
        return f"{target.runtime.tag}: {', '.join(sorted(mine))}{also}"
    if sum(map(len, platforms.values())) > MAX_NAMED:
        machine = architectures.get(target.architecture).wheel
        mine_only = {
            tag: {name for name in names if name.endswith(machine) and "manylinux" in name}
            for tag, names in platforms.items()
        }
        platforms = {tag: names for tag, names in mine_only.items() if names} or platforms
    groups: dict[str, list[str]] = {}
    for tag in sorted(platforms, key=_natural):
        groups.setdefault(", ".join(sorted(platforms[tag])), []).append(tag)
    return "; ".join(f"{', '.join(tags)}: {names}" for names, tags in groups.items())


def _natural(text: str) -> list[tuple[str, int]]:
    return [(word, int(number or 0)) for word, number in re.findall(r"(\D+)(\d*)", text)]


def passed_over(target: Target, lock: Lock, inputs: LockInputs, root: Path) -> list[str]:
    """Say which newest versions the lock does not hold because the target cannot use them.

    Versions that requirements, constraints or the present lock hold back are not mentioned.

    Args:
        target: The target.
        lock: Its lock.
        inputs: What the lock was resolved from.
        root: Folder in which uv looks for its configuration.
    """
    wanted = _wanted(target, lock, inputs)
    try:
        offers = resolver.every_offer(target, wanted, root)
    except Unresolvable:
        # uv answers for all or for none: one name without any file must not hide the others.
        offers = [offer for one in wanted for offer in _offers_of(target, one, root)]
    locked = {entry.name: Version(entry.version) for entry in lock.entries}
    newer = [offer for offer in offers if Version(offer.version) > locked[offer.name]]
    newest = {(offer.name, _is_for(target, offer)): offer for offer in sorted(newer, key=_order)}
    notes = (_why_not(target, offer, locked[offer.name]) for offer in newest.values())
    return [note for note in notes if note]


def ask_ahead(found: Iterable[tuple[Target, Lock, LockInputs]], root: Path) -> None:
    """Ask for all targets of a Python at once what `passed_over` needs to know.

    Args:
        found: Targets of one runtime, with their locks and what these were resolved from.
        root: Folder in which uv looks for its configuration.
    """
    wanted: dict[str, str] = {}
    for target, lock, inputs in found:
        wanted |= {str(one): one.name for one in _wanted(target, lock, inputs)}
        here = target
    for batch in resolver.batches(wanted):
        _ask(here, [Requirement(one) for one in batch], root)


def _ask(target: Target, wanted: list[Requirement], root: Path) -> None:
    """Ask for all; where uv has no answer for all, for halves of them."""
    try:
        resolver.every_offer(target, wanted, root)
    except Unresolvable:
        half = len(wanted) // 2
        for part in (wanted[:half], wanted[half:]) if half else ():
            _ask(target, part, root)


def _wanted(target: Target, lock: Lock, inputs: LockInputs) -> list[Requirement]:
    asked = _asked(target, inputs)
    return [Requirement(f"{one.name}{asked.get(one.name, '')}") for one in lock.entries]


def _order(offer: Offer) -> tuple[str, Version]:
    return offer.name, Version(offer.version)


def _offers_of(target: Target, requirement: Requirement, root: Path) -> list[Offer]:
    try:
        return resolver.every_offer(target, [requirement], root)
    except Unresolvable:
        return []


def has_wheel(target: Target, name: str, inputs: LockInputs, root: Path) -> bool:
    """Whether the newest version that layers.yaml allows has a wheel for the target.

    Args:
        target: The target.
        name: Normalized name.
        inputs: What the lock is resolved from.
        root: Folder in which uv looks for its configuration.
    """
    wanted = Requirement(f"{name}{_asked(target, inputs).get(name, '')}")
    return any(fitting(target, offer.files) for offer in _offers_of(target, wanted, root))


def _asked(target: Target, inputs: LockInputs) -> dict[str, SpecifierSet]:
    """Return what layers.yaml itself asks of each distribution, markers judged for the target."""
    environment = _environment(target)
    found: dict[str, SpecifierSet] = {}
    for line in [*inputs.requirements, *inputs.constraints]:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            found[name] = found.get(name, SpecifierSet()) & requirement.specifier
    return found


def _is_for(target: Target, offer: Offer) -> bool:
    """Whether a version takes the target's Python."""
    return not offer.marker or Marker(offer.marker).evaluate(_environment(target))


def _environment(target: Target) -> dict[str, str]:
    return {**marker_environment(target.runtime, target.architecture), "extra": ""}


def _why_not(target: Target, offer: Offer, locked: Version) -> str | None:
    newer = f"{offer.name} {offer.version} is newer than {locked} but"
    if not _is_for(target, offer):
        asks = str(offer.marker).replace("python_full_version", "Python").replace("'", "")
        return f"{newer} asks for {asks}"
    if fitting(target, offer.files):
        return None
    wheels = wheels_text(target, offer.files)
    exist = f"wheels exist for {wheels}" if wheels else "it has no wheel at all"
    return f"{newer} has no wheel for {platform_text(target)}; {exist}"


def refusal(
    target: Target, explanation: str, root: Path, without: Iterable[tuple[str, str]] = ()
) -> LockError:
    """Make the error for a resolution that failed: uv's explanation whole, then ours.

    Args:
        target: The target.
        explanation: What uv said.
        root: Folder in which uv looks for its configuration.
        without: Names and versions to blame that were ruled out before uv was asked.
    """
    lacking = [*_LACKING.findall(explanation), *_LACKING_HINT.findall(explanation), *without]
    newest: dict[str, str] = {}
    for name, version in lacking:
        known = newest.setdefault(canonicalize_name(name), version)
        newest[canonicalize_name(name)] = max(known, version, key=Version)
    found = {pin: exact_files(target, *pin, root) for pin in newest.items()}
    found = {pin: files for pin, files in found.items() if _misfit(target, files)}
    texts = [_lacks(target, *pin, files) for pin, files in found.items()]
    cause, hint = likely_cause(explanation)
    if texts:
        every = [file for files in found.values() for file in files]
        cause, hint = "; ".join(texts), _or_compile(target, every)
    names = [*newest, *_NOT_BUILT.findall(explanation), *_NOT_FOUND.findall(explanation)]
    indented = "\n".join(f"    {line}" if line else "" for line in explanation.splitlines())
    what = "the requirements do not resolve for"
    if NO_SOLUTION not in explanation and cause is None:
        what = "uv failed on the requirements for"
    return LockError(
        f"{what} {platform_text(target)}. uv says:\n{indented}",
        target=target.identifier,
        cause=cause,
        hint="; ".join([*_instead(target, names, root), hint]),
    )


def no_wheel(
    target: Target,
    name: str,
    version: str,
    root: Path,
    *,
    via: Iterable[str] = (),
    said: str = "",
) -> LockError:
    """Make the error for a distribution that has wheels, but none for the target.

    Args:
        target: The target.
        name: Its normalized name.
        version: The version that would be taken.
        root: Folder in which uv looks for its configuration.
        via: Who asks for it.
        said: What uv said when it looked for wheels alone.
    """
    files = exact_files(target, name, version, root)
    who = ", ".join(one for one in via if one != CONFIG)
    asked = f", and {who} asks for it" if who else ""
    indented = "".join(f"\n    {line}" for line in said.splitlines())
    return LockError(
        f"{name} {version} has no wheel for {platform_text(target)}{asked}"
        + (f". uv says:{indented}" if said and who else ""),
        target=target.identifier,
        cause=_wheels_exist(target, files),
        hint="; ".join([*_instead(target, [name], root), _or_compile(target, files, name)]),
    )


def _misfit(target: Target, files: list[File]) -> bool:
    """Whether there are wheels, and none for the target."""
    return any(file.is_wheel for file in files) and fitting(target, files) is None


def _lacks(target: Target, name: str, version: str, files: list[File]) -> str:
    exist = _wheels_exist(target, files)
    return f"{name} {version} has no wheel for {platform_text(target)}; {exist}"


def _wheels_exist(target: Target, files: list[File]) -> str:
    """Name the wheels, and the glibc that those for the target's machine need."""
    names = [file.filename for file in files if file.is_wheel]
    floor = wheeltags.glibc_floor(names, target.runtime, target.architecture)
    needs = ""
    if floor is not None and floor > target.runtime.glibc:
        system = target.runtime.system
        needs = (
            f"; the one for {target.runtime.tag} on {target.architecture} needs glibc"
            f" {_dotted(floor)}, and {system.title} of {target.runtime.name} has"
            f" {_dotted(system.glibc)}"
        )
    return f"wheels exist for {wheels_text(target, files)}{needs}"


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _or_compile(target: Target, files: list[File], name: str = "it") -> str:
    """Say which runtimes could use wheels, and what else is left to do."""
    names = [file.filename for file in files if file.is_wheel]
    systems = {_system(tag) for name_ in names for tag in name_[:-4].rpartition("-")[2].split(".")}
    if len(names) == len(files) and len(systems) == 1 and None not in systems:
        return (
            f"nothing of {name} is made for Linux: where only another system needs it, add the"
            f" marker `; sys_platform == '{systems.pop()}'` to the requirement"
        )
    fit = [
        runtime.name
        for runtime in RUNTIMES.values()
        if wheeltags.best(names, runtime, target.architecture)
    ]
    choose = f"choose a runtime that can use it ({', '.join(fit)}), " if fit else ""
    return (
        f"{choose}request another version that has one, or list {name} under `build:` to compile it"
    )


def _system(tag: str) -> str | None:
    """Return what sys.platform is on the system of a wheel's platform tag; None for Linux."""
    known = {"win": "win32", "macosx": "darwin"}
    return next((name for start, name in known.items() if tag.startswith(start)), None)


@functools.cache
def _alternatives() -> dict[str, dict[str, str]]:
    with INSTEAD.open("rb") as stream:
        return tomllib.load(stream)


def _instead(target: Target, names: Iterable[str], root: Path) -> Iterator[str]:
    """Say what to ask for instead, where the index has a wheel of it for the target."""
    for name in dict.fromkeys(map(canonicalize_name, names)):
        row = _alternatives().get(name)
        if row is None:
            continue
        offers = _offers_of(target, Requirement(row["instead"]), root)
        if any(fitting(target, offer.files) for offer in offers):
            yield f"ask for {row['instead']} instead of {name} ({row['why']})"


def exact_files(target: Target, name: str, version: str, root: Path) -> list[File]:
    """Return every file of one version, for any platform; empty where it is not available."""
    requirement = Requirement(f"{name}=={version}")
    return [file for offer in _offers_of(target, requirement, root) for file in offer.files]
