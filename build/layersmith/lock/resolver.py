"""Asks uv: resolves requirements for a target's platform and lists the files of versions.

The interpreter that runs this is passed on, so that uv does not search for one, and none is
downloaded; markers and wheel tags are those of the target because its platform and Python version
are given. uv reads its own configuration (indexes, credentials, certificates) as usual.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from layersmith import process
from layersmith.base import uv
from layersmith.lock.document import CONFIG

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from packaging.requirements import Requirement

    from layersmith.lock.inputs import LocalPackage, LockInputs
    from layersmith.plan import Target

__all__ = [
    "Unresolvable",
    "every_offer",
    "offers",
    "resolve",
    "sdist",
    "solve",
]

TIMEOUT = 600.0
"""Seconds that one call of uv may take; it may have to build the metadata of an sdist."""

STATIC = frozenset({"name", "version", "requires-python", "dependencies"})
"""Keys of [project] that a resolution follows from, apart from optional dependencies."""

OLDEST_PYTHON = "3.8"
"""A Python below all that are of interest, to see the wheels for each of them."""


def resolve(
    target: Target,
    inputs: LockInputs,
    root: Path,
    *,
    preferences: Sequence[Pin] = (),
    from_source: Collection[str] = (),
    without: Sequence[str] = (),
) -> list[Pin]:
    """Resolve the requirements of a target, local packages left out of the result.

    Args:
        target: The target; wheels and markers are judged for it.
        inputs: What it is made of.
        root: Folder in which uv looks for its configuration.
        preferences: Versions to keep where they still fit.
        from_source: Distributions taken as sdists; all others must have a wheel.
        without: More constraints (PEP 508), such as versions to pass over.

    Raises:
        Unresolvable: There is no solution.
    """
    with _scratch() as folder:
        requirements = folder / "requirements.in"
        requirements.write_text("\n".join(_input_lines(inputs, folder)) + "\n", "utf-8")
        constraints = folder / "constraints.txt"
        constraints.write_text("\n".join([*inputs.constraints, *without]) + "\n", "utf-8")
        output = folder / "resolved.txt"
        output.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in preferences), "utf-8")
        _compile(
            [requirements, "--constraints", constraints, "--output-file", output],
            [
                *("--annotation-style", "line"),
                *_for_target(target, {*from_source, *inputs.packages}),
                # uv keeps what a build told until pyproject.toml or setup.py changes.
                *(word for name in inputs.packages for word in ("--refresh-package", name)),
            ],
            root,
            target.settings.environment,
        )
        return pins(output.read_text("utf-8"), inputs.packages)


def solve(target: Target, inputs: LockInputs, root: Path) -> list[Offer]:
    """Resolve a target from wheels alone and list their files, in one call; nothing is preferred.

    Args:
        target: The target; wheels and markers are judged for it.
        inputs: What it is made of; it holds no local package.
        root: Folder in which uv looks for its configuration.

    Raises:
        Unresolvable: There is no solution, or none without an sdist.
    """
    with _scratch() as folder:
        constraints = folder / "constraints.txt"
        constraints.write_text("\n".join(inputs.constraints) + "\n", "utf-8")
        options = ["--constraints", str(constraints), *_for_target(target, ())]
        return _export(inputs.requirements, options, root, deps=True)


def offers(
    target: Target,
    pins: Iterable[tuple[str, str]],
    root: Path,
    *,
    from_source: Collection[str] = (),
) -> list[Offer]:
    """List what the target can use of exact versions.

    Args:
        target: The target.
        pins: Names and versions.
        root: Folder in which uv looks for its configuration.
        from_source: Distributions taken as sdists.

    Raises:
        Unresolvable: The index does not offer one of them for the target.
    """
    lines = [f"{name}=={version}" for name, version in pins]
    return _export(lines, _for_target(target, from_source), root)


def every_offer(target: Target, requirements: Iterable[Requirement], root: Path) -> list[Offer]:
    """List the newest versions that fit requirements, with all files for any platform.

    A name comes more than once where its newest version asks for a newer Python.

    Args:
        target: The target; versions that ask for an older Python than its are not considered.
        requirements: Requirements; their markers and extras are ignored.
        root: Folder in which uv looks for its configuration.

    Raises:
        Unresolvable: No version of one of them fits, whatever the platform.
    """
    version = target.runtime.python_version
    lines = [
        f"{one.name}{one.specifier}; python_full_version >= '{version}'" for one in requirements
    ]
    # Wheels for a Python below this version are left out of uv's answer; the lines' own markers
    # see to it that no version is asked to run on it.
    return _export(lines, ["--universal", "--python-version", OLDEST_PYTHON], root)


def sdist(name: str, version: str, python_version: str, root: Path) -> File | None:
    """Return the sdist of one version, or None where the index has only wheels of it.

    Raises:
        Unresolvable: The index does not offer that version for ``python_version``.
    """
    options = ["--universal", "--python-version", python_version]
    found = _export([f"{name}=={version}"], options, root)
    files = (file for offer in found for file in offer.files)
    return next((file for file in files if not file.is_wheel), None)


def _input_lines(inputs: LockInputs, scratch: Path) -> Iterator[str]:
    yield from inputs.requirements
    for name, package in inputs.packages.items():
        extras = f"[{','.join(inputs.extras[name])}]" if inputs.extras.get(name) else ""
        place = _described(package, scratch) if package.depends_statically else package.folder
        yield f"{name}{extras} @ {place.as_uri()}"


def _described(package: LocalPackage, scratch: Path) -> Path:
    """Return a folder that says what a package depends on, so that its build is not run for that.

    uv runs it even where the version alone is dynamic, which a checkout without git cannot tell.
    """
    project = {"name": package.name, "version": "0", **package.metadata}
    optional = project.pop("optional-dependencies", {})
    lines = [f"{key} = {json.dumps(project[key])}" for key in project if key in STATIC]
    lines += ["[project.optional-dependencies]"]
    lines += [f"{json.dumps(extra)} = {json.dumps(wanted)}" for extra, wanted in optional.items()]
    folder = scratch / "packages" / package.name
    folder.mkdir(parents=True)
    # Texts and lists of texts are written alike in JSON and TOML.
    (folder / "pyproject.toml").write_text("\n".join(["[project]", *lines, ""]), "utf-8")
    return folder


def _for_target(target: Target, from_source: Collection[str]) -> list[str]:
    return [
        "--python-platform",
        uv.platform(target.runtime, target.architecture),
        "--python-version",
        target.runtime.python_version,
        "--only-binary",
        ":all:",
        *(word for name in sorted(from_source) for word in ("--no-binary", name)),
    ]


def _export(lines: list[str], options: list[str], root: Path, *, deps: bool = False) -> list[Offer]:
    if not lines:
        return []
    with _scratch() as folder:
        requirements, output = folder / "pins.in", folder / "pylock.toml"
        requirements.write_text("\n".join(lines) + "\n", "utf-8")
        how = ["--format", "pylock.toml", *([] if deps else ["--no-deps"])]
        _compile([requirements, "--output-file", output], [*how, *options], root)
        return read_offers(tomllib.loads(output.read_text("utf-8")), folder)


def _compile(
    words: list[str | Path],
    options: list[str],
    root: Path,
    environment: Mapping[str, str] | None = None,
) -> None:
    try:
        uv.compile_pins(*words, *options, cwd=root, timeout=TIMEOUT, env=environment)
    except process.CommandFailed as failed:
        raise Unresolvable(without_logins(failed.output)) from None


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="layersmith-lock-") as folder:
        yield Path(folder).resolve()


_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?:\s*;[^#]*)?(?:\s+# via (?P<via>.*))?"
)
_DIRECT = re.compile(r"(?P<name>[A-Za-z0-9._-]+) @ (?P<url>\S+)")
_LOGIN = re.compile(r"(://)[^/@\s]+@")


class Unresolvable(Exception):
    """uv found no solution.

    Args:
        explanation: All that uv said, without logins.
    """

    def __init__(self, explanation: str) -> None:
        super().__init__(explanation)
        self.explanation = explanation


@dataclass(frozen=True)
class Pin:
    """One distribution of a resolution; ``via`` are the normalized names that ask for it."""

    name: str
    version: str
    via: tuple[str, ...]


@dataclass(frozen=True)
class File:
    """A wheel or sdist that an index offers.

    Attributes:
        filename: Name of the file.
        url: Where it is; without a login.
        sha256: SHA-256 in hex, or None where the index gives none.
        size: Bytes, or None where the index does not say.
    """

    filename: str
    url: str
    sha256: str | None
    size: int | None

    @property
    def is_wheel(self) -> bool:
        """Whether it is a wheel."""
        return self.filename.endswith(".whl")


@dataclass(frozen=True)
class Offer:
    """A version that an index offers.

    Attributes:
        name: Normalized name of the distribution.
        version: The version.
        marker: Marker (PEP 508) of the Pythons that it was chosen for; None for all.
        files: Its files.
    """

    name: str
    version: str
    marker: str | None
    files: tuple[File, ...]


def pins(text: str, local: Collection[str]) -> list[Pin]:
    """Read a resolution in the format of a requirements file, annotated line by line.

    Args:
        text: What uv wrote.
        local: Normalized names of the local packages, which are left out.

    Raises:
        Unresolvable: A distribution was asked for by its URL.
    """
    found: list[Pin] = []
    for line in text.splitlines():
        if pin := _PIN.fullmatch(line.strip()):
            name = canonicalize_name(pin["name"])
            found.append(Pin(name, pin["version"], _via(pin["via"])))
        elif (direct := _DIRECT.match(line)) and canonicalize_name(direct["name"]) not in local:
            raise Unresolvable(f"{direct['name']} is a direct reference; an index is needed")
    return found


def _via(text: str | None) -> tuple[str, ...]:
    """Return who asks, from an annotation such as ``boto3, -r /tmp/x/requirements.in``."""
    names = set()
    for word in (text or "").split(", "):
        if word.startswith("-r "):
            names.add(CONFIG)
        elif word and not word.startswith("-c "):
            names.add(canonicalize_name(word.split(" ")[0]))
    return tuple(sorted(names))


def read_offers(pylock: dict[str, Any], folder: Path) -> list[Offer]:
    """Read a pylock.toml (PEP 751).

    Args:
        pylock: Its content.
        folder: Where it lies; paths in it are relative to that.
    """
    return [
        Offer(
            canonicalize_name(package["name"]),
            package["version"],
            package.get("marker"),
            tuple(_files(package, folder)),
        )
        for package in pylock.get("packages", [])
        if "version" in package
    ]


def without_logins(text: str) -> str:
    """Return ``text`` with the user and password of every URL left out."""
    return _LOGIN.sub(r"\1", text)


def _files(package: dict[str, Any], folder: Path) -> Iterator[File]:
    sdist = [package["sdist"]] if "sdist" in package else []
    for item in [*package.get("wheels", []), *sdist]:
        url = item.get("url") or (folder / item["path"]).resolve().as_uri()
        yield File(
            filename=item.get("name") or unquote(urlsplit(url).path.rpartition("/")[2]),
            url=without_logins(url),
            sha256=item.get("hashes", {}).get("sha256"),
            size=item.get("size"),
        )
