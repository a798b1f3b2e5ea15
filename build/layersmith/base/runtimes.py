"""The Lambda runtimes that a layer can be built for; everything true of them is in runtimes.toml.

LAYERSMITH_RUNTIMES names another table of the same form, for a runtime that this release does not
know yet.
"""

from __future__ import annotations

import datetime
import os
import re
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith.base import architectures
from layersmith.errors import ConfigError, closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UNZIPPED_LIMIT = 262_144_000
"""Bytes of a function's code and all its layers, unpacked (AWS Lambda quota, 250 MiB)."""

DIRECT_UPLOAD_LIMIT = 50 * 1024 * 1024
"""Bytes of a zip that can be sent in the request itself; larger ones go through S3 (AWS quota)."""

INIT_LIMIT = 10
"""Seconds that Lambda gives a function to initialize before it starts it anew (AWS Lambda developer
guide, Lambda execution environment lifecycle)."""

LAYERS_PER_FUNCTION = 5
"""Layers that one function can use (AWS Lambda quota)."""

VARIABLE = "LAYERSMITH_RUNTIMES"
"""Environment variable that names a table of runtimes to use instead of runtimes.toml."""

TABLE = Path(os.environ.get(VARIABLE) or Path(__file__).with_name("runtimes.toml"))
"""The table of runtimes of this run."""

PHASES = ("preview", "general", "deprecated")

NAME = re.compile(r"python3\.(?P<minor>\d+)")


@dataclass(frozen=True)
class IncidentalLibrary:
    """A library that is in the base image because something of AWS needs it.

    Attributes:
        package: Package of the operating system that brings it.
        source: Where it was found that functions may or may not rely on it.
        promised: Whether the source says that they may.
    """

    package: str
    source: str
    promised: bool = False


@dataclass(frozen=True)
class OperatingSystem:
    """What an operating system of Lambda offers to native files.

    Attributes:
        name: As the table calls it, ``al2023``.
        title: Its full name.
        glibc: Version of the C library as (major, minor).
        versions: Highest symbol version by prefix; one text, or one for each architecture.
        libraries: Sonames that the system promises.
        incidental: What is in its base image and not among ``libraries``, by soname.
        own: Sonames that it promises on one architecture.
    """

    name: str
    title: str
    glibc: tuple[int, int]
    versions: Mapping[str, str | Mapping[str, str]] = field(hash=False)
    libraries: frozenset[str]
    incidental: Mapping[str, IncidentalLibrary] = field(hash=False)
    own: Mapping[str, frozenset[str]] = field(hash=False)


@dataclass(frozen=True)
class ProvidedDistribution:
    """A distribution in a runtime's own folders.

    Attributes:
        name: Normalized name.
        version: Its version; see ``verified``.
        modules: Its top-level modules that a layer can hide.
        sdk: Whether it belongs to AWS's SDK, which layers leave out.
        together: Names of what goes into a layer together with it.
        verified: Whether the version was read in AWS's image.
        read: When the version was read.
    """

    name: str
    version: str
    modules: tuple[str, ...]
    sdk: bool
    together: tuple[str, ...]
    verified: bool
    read: datetime.date


@dataclass(frozen=True)
class ManagedLayer:
    """A layer that others keep up to date.

    Attributes:
        name: How its name begins, ``AWSSDKPandas``.
        arn: Its ARN, with what depends on region and runtime in angle brackets.
        worth_it: Distributions that make it worth to advise it.
        versions: Its distributions, normalized name to version.
        differing: Name of a runtime to the versions that are others there.
        source: Where the contents were read.
        date: When, in ISO 8601.
        unzipped: Bytes under /opt; None where nobody read them.
    """

    name: str
    arn: str
    worth_it: frozenset[str]
    versions: Mapping[str, str] = field(hash=False)
    differing: Mapping[str, Mapping[str, str]] = field(hash=False)
    source: str
    date: str
    unzipped: int | None = None

    @property
    def contents(self) -> frozenset[str]:
        """Normalized names of the distributions in it."""
        return frozenset(self.versions)

    def on(self, runtime: str) -> dict[str, str]:
        """Return its distributions on a runtime, normalized name to version."""
        return {**self.versions, **self.differing.get(runtime, {})}


@dataclass(frozen=True)
class Runtime:
    """One Lambda runtime.

    Attributes:
        name: As AWS spells it, ``python3.13``.
        minor: Minor version of CPython, 13.
        system: Its operating system.
        image: AWS's base image, without its digest.
        bytecode: Magic number of .pyc files; None where it is not known.
        removed: Modules that this minor version dropped from the standard library.
        added: Modules that it has first.
        provides: Distributions in the runtime's own folders.
        managed: Managed layers that can be used with it.
        suite: Release of Debian that has this Python; None where none has.
        preview: Whether AWS calls it a preview.
        deprecated: Day from which it is deprecated; None where AWS names none.
        no_create: Day from which Lambda refuses new functions.
        no_update: Day from which Lambda refuses to change functions.
    """

    name: str
    minor: int
    system: OperatingSystem
    image: str
    bytecode: int | None = None
    removed: frozenset[str] = frozenset()
    added: frozenset[str] = frozenset()
    provides: tuple[ProvidedDistribution, ...] = ()
    managed: tuple[ManagedLayer, ...] = ()
    suite: str | None = None
    preview: bool = False
    deprecated: datetime.date | None = None
    no_create: datetime.date | None = None
    no_update: datetime.date | None = None

    @property
    def glibc(self) -> tuple[int, int]:
        """Version of the C library as (major, minor)."""
        return self.system.glibc

    @property
    def python_version(self) -> str:
        """Version of Python as resolvers take it, ``3.13``."""
        return f"3.{self.minor}"

    @property
    def tag(self) -> str:
        """Interpreter tag of wheels (PEP 425), ``cp313``."""
        return f"cp3{self.minor}"

    @property
    def bytecode_tag(self) -> str:
        """Tag in the names of .pyc files (PEP 3147), ``cpython-313``."""
        return f"cpython-3{self.minor}"

    @property
    def bytecode_magic(self) -> int:
        """Magic number of .pyc files, the first two bytes of a file, little-endian.

        Raises:
            ConfigError: The table does not have it.
        """
        if self.bytecode is None:
            raise ConfigError(
                f"the bytecode of {self.name} is not known",
                cause=f"{TABLE.name} has no `bytecode` for it, as with a Python that is not final",
                hint="set `bytecode: none` for the layer, and leave .pyc files out of it",
            )
        return self.bytecode

    @property
    def provided(self) -> frozenset[str]:
        """Normalized names of what it brings and a layer leaves out unless told otherwise."""
        return frozenset(one.name for one in self.provides if one.sdk)

    def left_out(self, kept: Iterable[str]) -> dict[str, ProvidedDistribution]:
        """Return by name what a layer leaves to the runtime.

        Args:
            kept: Normalized names of ``keep-provided``; what goes with them is kept, too.
        """
        names = set(kept)
        stays = names | {
            more for one in self.provides if one.name in names for more in one.together
        }
        return {one.name: one for one in self.provides if one.sdk and one.name not in stays}

    @property
    def provided_modules(self) -> dict[str, str]:
        """Top-level module -> distribution, for what it brings."""
        return {module: one.name for one in self.provides for module in one.modules}

    def phase(self, today: datetime.date) -> str:
        """Return ``preview``, ``general`` or ``deprecated``; the last from its day on."""
        if self.deprecated is not None and today >= self.deprecated:
            return "deprecated"
        return "preview" if self.preview else "general"

    def uv_platform(self, architecture: str) -> str:
        """Return the platform of wheel tags (PEP 600), ``aarch64-manylinux_2_34``."""
        major, minor = self.glibc
        return f"{architectures.get(architecture).wheel}-manylinux_{major}_{minor}"


@dataclass(frozen=True)
class RuntimeTable:
    """What runtimes.toml holds, read.

    Attributes:
        default: Name of the runtime for verbs that are told none.
        runtimes: By name, the oldest first.
        managed: Managed layers by name.
        aliases: Symbol versions without a number, and the one that stands for them.
    """

    default: str
    runtimes: dict[str, Runtime]
    managed: dict[str, ManagedLayer]
    aliases: dict[str, str]


def load(path: Path) -> RuntimeTable:
    """Read a table of runtimes.

    Raises:
        ConfigError: It is missing, is not TOML, or an entry lacks a key or names what is not there.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
        return _table(data)
    except KeyError as problem:
        raise ConfigError(
            f"{path}: {problem.args[0]!r} is missing", hint="compare it with base/runtimes.toml"
        ) from problem
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as problem:
        raise ConfigError(
            f"the table of runtimes {path} cannot be read",
            cause=str(problem),
            hint=f"correct it, or unset {VARIABLE}",
        ) from problem


def _table(data: dict[str, Any]) -> RuntimeTable:
    systems = {name: _system(name, row) for name, row in data["os"].items()}
    provided = {name: _provided(row) for name, row in data["provided"].items()}
    managed = {name: _managed(name, row) for name, row in data.get("managed", {}).items()}
    found = [_runtime(name, row, systems, provided, managed) for name, row in _entries(data)]
    runtimes = {one.name: one for one in sorted(found, key=lambda one: one.minor)}
    default = data["default"]
    if default not in runtimes:
        raise ValueError(f"the default {default} has no entry")
    return RuntimeTable(default, runtimes, managed, data.get("symbol-aliases", {}))


def _entries(data: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    entries: dict[str, dict[str, Any]] = data["runtimes"]
    return entries.items()


def _system(name: str, row: dict[str, Any]) -> OperatingSystem:
    major, minor = row["glibc"].split(".")
    return OperatingSystem(
        name=name,
        title=row["title"],
        glibc=(int(major), int(minor)),
        versions=row["versions"],
        libraries=frozenset(row["libraries"]),
        incidental={one: IncidentalLibrary(**told) for one, told in row["incidental"].items()},
        own={machine: frozenset(row["own"][machine]) for machine in architectures.NAMES},
    )


def _provided(row: dict[str, Any]) -> tuple[ProvidedDistribution, ...]:
    return tuple(
        ProvidedDistribution(
            name=name,
            version=one["version"],
            modules=tuple(one.get("modules", ())),
            sdk=one.get("sdk", False),
            together=tuple(one.get("with", ())),
            verified=row["verified"],
            read=row["read"],
        )
        for name, one in sorted(row["distributions"].items())
    )


def _managed(name: str, row: dict[str, Any]) -> ManagedLayer:
    return ManagedLayer(
        name=name,
        arn=row["arn"],
        worth_it=frozenset(row["worth-it"]),
        versions=row["distributions"],
        differing=row.get("on", {}),
        source=row["source"],
        date=row["date"].isoformat(),
        unzipped=row.get("unzipped"),
    )


def _runtime(
    name: str,
    row: dict[str, Any],
    systems: dict[str, OperatingSystem],
    provided: dict[str, tuple[ProvidedDistribution, ...]],
    managed: dict[str, ManagedLayer],
) -> Runtime:
    matched = NAME.fullmatch(name)
    if matched is None:
        raise ValueError(f"{name} is not the name of a Python runtime, such as python3.13")
    if row["phase"] not in PHASES[:2]:
        raise ValueError(f"the phase of {name} is neither preview nor general")
    return Runtime(
        name=name,
        minor=int(matched["minor"]),
        system=systems[row["os"]],
        image=row["image"],
        bytecode=row.get("bytecode"),
        removed=frozenset(row.get("removed", ())),
        added=frozenset(row.get("added", ())),
        provides=provided[row["provided"]],
        managed=tuple(managed[one] for one in row.get("managed", ())),
        suite=row.get("stand-in"),
        preview=row["phase"] == "preview",
        deprecated=row.get("deprecated"),
        no_create=row.get("no-create"),
        no_update=row.get("no-update"),
    )


_LOADED = load(TABLE)

RUNTIMES = _LOADED.runtimes
"""The runtimes by name, the oldest first."""

DEFAULT = _LOADED.default
"""Name of the runtime for verbs that work on one and are told none."""

MANAGED = _LOADED.managed
"""The managed layers by how their names begin."""

SYMBOL_ALIASES = _LOADED.aliases
"""Symbol versions without a number, and the one that stands for them."""


def get(name: str) -> Runtime:
    """Return the runtime called ``name``.

    Raises:
        ConfigError: There is no such runtime. One whose digits are the same is suggested, and
            never another version of Python.
    """
    if name in RUNTIMES:
        return RUNTIMES[name]
    supported = f"supported: {', '.join(RUNTIMES)}"
    oldest = next(iter(RUNTIMES.values()))
    found = NAME.fullmatch(name)
    if found and int(found["minor"]) < oldest.minor:
        raise ConfigError(
            f"the runtime {name} is not supported",
            cause=f"the oldest supported runtime is {oldest.name}",
            hint=supported,
        )
    meant = next((known for known in RUNTIMES if _digits(known) == _digits(name)), None)
    if meant is None and not (found and len(found["minor"]) <= 2):
        # No version of Python at all: a slip of the finger.
        meant = closest(name, RUNTIMES, cutoff=0.8)
    raise ConfigError(
        f"unknown runtime {name!r}", hint=f"did you mean {meant}?" if meant else supported
    )


def _digits(name: str) -> str:
    return re.sub(r"\D", "", name)


def stdlib(runtime: Runtime) -> frozenset[str]:
    """Return the top-level modules of its standard library, whatever interpreter asks."""
    known = set(sys.stdlib_module_names)
    for one in RUNTIMES.values():
        here = one.minor <= runtime.minor
        known |= one.added if here else one.removed
        known -= one.removed if here else one.added
    return frozenset(known)


def managed_layer(name: str) -> ManagedLayer | None:
    """Return a managed layer, by the beginning of its name or of the name in its ARN."""
    wanted = name.rsplit(":layer:", 1)[-1].lower()
    return next((one for one in MANAGED.values() if wanted.startswith(one.name.lower())), None)


def notices(names: Iterable[str], today: datetime.date | None = None) -> list[str]:
    """Return a sentence with the dates for each deprecated runtime among ``names``.

    Args:
        names: Names of runtimes, in any order and number.
        today: The day to judge by; the present one by default.
    """
    day = today or datetime.datetime.now(datetime.UTC).date()
    asked = set(names)
    return [
        _notice(one)
        for one in RUNTIMES.values()
        if one.name in asked and one.phase(day) == "deprecated"
    ]


def _notice(runtime: Runtime) -> str:
    ends = [
        f"{what} from {when}"
        for what, when in (
            ("no function can be created", runtime.no_create),
            ("none can be updated", runtime.no_update),
        )
        if when is not None
    ]
    refused = f": {' and '.join(ends)} on" if ends else ""
    return f"AWS has deprecated {runtime.name} since {runtime.deprecated}{refused}"


def marker_environment(runtime: Runtime, architecture: str) -> dict[str, str]:
    """Return the environment in which a target's markers are judged (PEP 508), never the host's.

    The micro version and the kernel are those that AWS may change under a layer, so they are
    given their lowest values: a marker that depends on them is a mistake.
    """
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{runtime.python_version}.0",
        "os_name": "posix",
        "platform_machine": architectures.get(architecture).wheel,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{runtime.python_version}.0",
        "python_version": runtime.python_version,
        "sys_platform": "linux",
    }
