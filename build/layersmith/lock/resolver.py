"""Asks uv: resolves requirements for a target's platform and lists the files of versions.

The interpreter that runs this is passed on, so that uv does not search for one, and none is
downloaded; markers and wheel tags are those of the target because its platform and Python version
are given. Of uv's own configuration it is given what says where packages come from.
"""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
import threading
import tomllib
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from layersmith import cache, process
from layersmith.base import damage, origins, toml, uv
from layersmith.base.runtimes import marker_environment
from layersmith.errors import LockError
from layersmith.lock import configuration, wheelstore
from layersmith.lock.document import CONFIG
from layersmith.lock.requirements import at_commit, direct

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from layersmith.lock.inputs import LocalPackage, LockInputs
    from layersmith.plan import Target

Found = TypeVar("Found")
Key = TypeVar("Key")

__all__ = [
    "Unresolvable",
    "answered",
    "batches",
    "every_offer",
    "graph",
    "offers",
    "once",
    "resolve",
    "sdist",
    "shared",
]

TIMEOUT = 600.0
"""Seconds that one call of uv may take; it may have to build the metadata of an sdist."""

STATIC = frozenset({"requires-python", "dependencies", "optional-dependencies"})
"""Keys of [project] that a resolution follows from."""

OLDEST_PYTHON = "3.8"
"""A Python below all that are of interest, to see the wheels for each of them."""

_PYLOCK = ("--format", "pylock.toml")
_UNIVERSAL = ("--no-deps", "--universal", "--python-version")

_UV_LOCK_VERSION = 1
"""Version of uv.lock; revisions of one version stay readable (uv's documentation, Lockfile)."""

_GRAPH_MARKERS = (
    "implementation_name",
    "os_name",
    "platform_machine",
    "platform_python_implementation",
    "platform_system",
    "python_full_version",
    "sys_platform",
)
"""What uv is told of the target when it writes the graph."""


@dataclass
class _Answers:
    """What was asked in a run, and what uv answered; who asks the same at the same time waits."""

    known: dict[str, Future[Any]] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def of(self, question: str, ask: Callable[[], Found]) -> Found:
        """Return the answer to a question, asked once; what has no solution has none again."""
        with self.guard:
            first = question not in self.known
            answer = self.known.setdefault(question, Future())
        if first:
            try:
                answer.set_result(ask())
            except BaseException as problem:
                if not isinstance(problem, Unresolvable):
                    del self.known[question]
                answer.set_exception(problem)
        found: Found = answer.result()
        return found


_answers: _Answers | None = None


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """Ask uv nothing twice while the block runs: all threads share its answers."""
    global _answers  # noqa: PLW0603 -- threads of a pool have no context of their own
    before, _answers = _answers, _answers or _Answers()
    try:
        yield
    finally:
        _answers = before


def once(question: Any, ask: Callable[[], Found]) -> Found:
    """Return the answer to a question, from this run's answers where they are shared.

    Args:
        question: All that the answer depends on, as JSON-ready data.
        ask: What finds it.
    """
    if _answers is None:
        return ask()
    return _answers.of(json.dumps(question, sort_keys=True, default=str), ask)


def answered(question: Any) -> bool:
    """Whether this run has the answer to a question already."""
    if _answers is None:
        return False
    answer = _answers.known.get(json.dumps(question, sort_keys=True, default=str))
    return answer is not None and answer.done()


def batches(named: Mapping[Key, str]) -> list[list[Key]]:
    """Return what is asked for in as few groups as have no name twice.

    Args:
        named: What is asked for, with the name of its distribution.
    """
    found: list[dict[str, Key]] = []
    for one, name in named.items():
        group = next((group for group in found if name not in group), None)
        if group is None:
            found.append(group := {})
        group[name] = one
    return [list(group.values()) for group in found]


def resolve(
    target: Target,
    inputs: LockInputs,
    root: Path,
    *,
    preferences: Iterable[tuple[str, str]] = (),
    from_source: Collection[str] = (),
    without: Sequence[str] = (),
) -> list[Offer]:
    """Resolve the requirements of a target and list the files of each distribution, in one call.

    Args:
        target: The target; wheels and markers are judged for it.
        inputs: What it is made of.
        root: Folder in which uv looks for its configuration.
        preferences: Names and versions to keep where they still fit.
        from_source: Distributions taken as sdists; all others must have a wheel.
        without: More constraints (PEP 508), such as versions to pass over.

    Raises:
        LockError: uv's answer lacks what was asked for, or cannot be understood.
        Unresolvable: There is no solution.
    """
    home = [inputs.home] if inputs.home else []
    folders = [root, *home, *(package.folder for package in inputs.packages.values())]
    elsewhere = configuration.from_elsewhere(folders)
    urls = direct(inputs.requirements)
    sources = {name for name, url in urls.items() if not urlsplit(url).path.endswith(".whl")}
    options = _for_target(target, {*from_source, *inputs.packages, *elsewhere, *sources})
    options += _before(cutoff(target), target.settings.cool_down_exceptions)
    # uv keeps what a build told until pyproject.toml or setup.py changes.
    options += [word for name in inputs.packages for word in ("--refresh-package", name)]
    kept, environment = list(preferences), target.settings.environment
    constraints = [*inputs.constraints, *without]

    def ask() -> list[Offer]:
        with _scratch() as described:
            return _export(
                list(_input_lines(inputs, described)),
                options,
                root,
                constraints=constraints,
                overrides=inputs.overrides,
                preferences=kept,
                sources=inputs.sources,
                environment=environment,
            )

    question = [*_facts(inputs), options, root, constraints, kept, environment]
    found = once(["resolve", *question], ask)
    for offer in found:
        if offer.direct and offer.name not in urls:
            raise LockError(
                f"{offer.name} comes from a URL or git repository that layers.yaml does not name",
                target=target.identifier,
                cause="[tool.uv.sources] of a local package, or a constraint, names it",
                hint=f"list `{offer.name} @ {offer.files[0].url}` under `requirements`",
            )
    names = {offer.name for offer in found}
    for name in _asked(target, inputs):
        if name not in names:
            raise LockError(
                f"uv's answer does not hold {name}, which was asked for",
                target=target.identifier,
                cause="a setting of uv leaves it out, or this version of uv is not supported",
                hint="look for uv's variables (UV_*) in the environment",
            )
    return found


class Edges(NamedTuple):
    """How a resolution hangs together.

    Attributes:
        askers: Normalized name to the names that ask for it, sorted; ``layers.yaml`` for the layer.
        indexes: Normalized name to the URL of the index that it is from, without a login.
    """

    askers: dict[str, tuple[str, ...]]
    indexes: dict[str, str]


def _facts(inputs: LockInputs) -> list[Any]:
    """Return what a resolution follows from, but for target and index, as JSON-ready data."""
    packages = {name: [one.folder, one.metadata] for name, one in inputs.packages.items()}
    return [inputs.requirements, packages, inputs.extras, inputs.overrides, inputs.sources]


def graph(
    target: Target,
    inputs: LockInputs,
    pins: Iterable[tuple[str, str]],
    root: Path,
    *,
    hashes: Sequence[str] = (),
) -> Edges:
    """Return who asks for each distribution of a resolution, from the graph in a uv.lock.

    Args:
        target: The target, for which markers are judged.
        inputs: What the resolution was made from.
        pins: The names and versions that were chosen.
        root: Folder in which uv looks for its configuration.
        hashes: SHA-256 of the file of each. What files require never changes, so that the answer
            is kept in the cache, unless a local package has to be built to tell it.

    Raises:
        Unresolvable: uv finds no solution with these versions.
    """
    environment = marker_environment(target.runtime, target.architecture)
    chosen = [f"{name}=={version}" for name, version in pins]
    variables = target.settings.environment
    indexes = [
        process.without_logins(str(one["url"]))
        for one in origins.of(root).settings.get("index", ())
    ]
    question = ["graph", *_facts(inputs), chosen, list(hashes), environment, variables, indexes]
    stays = hashes and all(one.depends_statically for one in inputs.packages.values())
    text = json.dumps(question, sort_keys=True, default=str)
    path = cache.section("graphs") / f"{cache.sha256_bytes(text.encode())}.json"
    if stays and (known := _kept_graph(path)) is not None:
        return known
    found = once([*question, root], lambda: _graph(inputs, chosen, root, environment, variables))
    if stays:
        cache.write_text(path, json.dumps(found))
    return found


def _kept_graph(path: Path) -> Edges | None:
    """Return a graph of the cache; None where there is none, or it is damaged."""
    try:
        askers, indexes = json.loads(path.read_bytes())
        return Edges(
            {str(name): tuple(map(str, who)) for name, who in askers.items()},
            {str(name): str(url) for name, url in indexes.items()},
        )
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def _graph(
    inputs: LockInputs,
    chosen: Sequence[str],
    root: Path,
    environment: Mapping[str, str],
    variables: Mapping[str, str],
) -> Edges:
    here = " and ".join(f"{key} == '{environment[key]}'" for key in _GRAPH_MARKERS)
    settings = {
        "sources": inputs.sources,
        "constraint-dependencies": list(chosen),
        "override-dependencies": inputs.overrides,
        "environments": [here],
    }
    with _scratch() as folder:
        lines = list(_input_lines(inputs, folder))
        _, *config = _write_project(folder, lines, root, settings)
        try:
            uv.lock_project(folder, *config, timeout=TIMEOUT, env=variables)
        except process.CommandFailed as failed:
            raise Unresolvable(process.without_logins(failed.output)) from None
        return _answer(folder / "uv.lock", lambda answer: read_graph(answer, environment))


def offers(
    target: Target,
    requirements: Sequence[str],
    root: Path,
    *,
    from_source: Collection[str] = (),
    asked: Mapping[Path, Collection[str]] | None = None,
    sources: Mapping[str, Any] | None = None,
) -> list[Offer]:
    """List what the target can use of the newest versions that fit, without their dependencies.

    Args:
        target: The target.
        requirements: Names and versions (PEP 508).
        root: Folder in which uv looks for its configuration.
        from_source: Distributions taken as sdists.
        asked: The names that the folder of each local package asks for itself: its
            [tool.uv.sources] holds for them.
        sources: What [tool.uv.sources] says of what the layer itself asks for.

    Raises:
        Unresolvable: The index does not offer one of them for the target.
    """
    known = dict(sources or {})
    for folder, names in (asked or {}).items():
        known |= configuration.sources(folder, names)
    options = ["--no-deps", *_for_target(target, from_source)]
    question = ["offers", list(requirements), options, root, known]
    return once(question, lambda: _export(requirements, options, root, sources=known))


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
    here = f"python_full_version >= '{version}'"
    lines = {
        f"{one.name}{one.specifier}; {here}": canonicalize_name(one.name) for one in requirements
    }
    new = [line for line in lines if not answered(["every", line, root])]
    # Wheels for a Python below this version are left out of uv's answer; the lines' own markers
    # see to it that no version is asked to run on it.
    found = once(["all", new, root], lambda: _export(new, [*_UNIVERSAL, OLDEST_PYTHON], root))

    def of_one(line: str) -> list[Offer]:
        return [offer for offer in found if offer.name == lines[line]]

    return [
        offer
        for line in lines
        for offer in once(["every", line, root], functools.partial(of_one, line))
    ]


def sdist(name: str, version: str, python_version: str, root: Path) -> File | None:
    """Return the sdist of one version, or None where the index has only wheels of it.

    Raises:
        Unresolvable: The index does not offer that version for ``python_version``.
    """
    found = _export([f"{name}=={version}"], [*_UNIVERSAL, python_version], root)
    files = (file for offer in found for file in offer.files)
    return next((file for file in files if not file.is_wheel), None)


def _asked(target: Target, inputs: LockInputs) -> Iterator[str]:
    """Yield the normalized names that a resolution must hold."""
    environment = {**marker_environment(target.runtime, target.architecture), "extra": ""}
    for line in inputs.requirements:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield canonicalize_name(requirement.name)
    yield from inputs.packages


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
    known = {key: value for key, value in package.metadata.items() if key in STATIC}
    folder = scratch / "packages" / package.name
    folder.mkdir(parents=True)
    content = {"project": {"name": package.name, "version": "0", **known}}
    (folder / "pyproject.toml").write_text(toml.dumps(content), "utf-8")
    return folder


def cutoff(target: Target) -> datetime | None:
    """Return the time after which no file may have been uploaded; None without a cool-down."""
    age = target.settings.cool_down
    # Whole minutes: targets of one run ask uv the same question.
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return now - age if age else None


def _before(latest: datetime | None, exceptions: Iterable[str]) -> list[str]:
    """Return uv's options for a cool-down."""
    if latest is None:
        return []
    freed = (f"{canonicalize_name(name)}=false" for name in sorted(exceptions))
    words = ["--exclude-newer", latest.isoformat(timespec="seconds")]
    return [*words, *(word for one in freed for word in ("--exclude-newer-package", one))]


def _for_target(target: Target, from_source: Collection[str]) -> list[str]:
    return [
        "--python-platform",
        uv.python_platform(target.runtime, target.architecture),
        "--python-version",
        target.runtime.python_version,
        "--only-binary",
        ":all:",
        *(word for name in sorted(from_source) for word in ("--no-binary", name)),
    ]


def _export(
    lines: Sequence[str],
    options: Sequence[str],
    root: Path,
    *,
    constraints: Iterable[str] = (),
    overrides: Iterable[str] = (),
    preferences: Iterable[tuple[str, str]] = (),
    sources: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[Offer]:
    """Resolve requirements into a pylock.toml (PEP 751) and read it."""
    if not lines:
        return []
    with _scratch() as folder:
        if sources is None:
            names = {canonicalize_name(Requirement(line).name) for line in lines}
            sources = configuration.sources(root, names)
        project, *config = _write_project(folder, lines, root, {"sources": sources})
        constrained, output = folder / "constraints.txt", folder / "pylock.toml"
        constrained.write_text("".join(f"{line}\n" for line in constraints), "utf-8")
        overridden = folder / "overrides.txt"
        overridden.write_text("".join(f"{line}\n" for line in overrides), "utf-8")
        kept = [{"name": name, "version": version} for name, version in preferences]
        if kept:
            known = {"lock-version": "1.0", "created-by": "layersmith", "packages": kept}
            output.write_text(toml.dumps(known), "utf-8")
        files = ("--constraints", constrained, "--overrides", overridden)
        words = [project, *files, "--output-file", output, *config]
        try:
            uv.compile_pins(
                *words, *_PYLOCK, *options, cwd=folder, timeout=TIMEOUT, env=environment
            )
        except process.CommandFailed as failed:
            raise Unresolvable(process.without_logins(failed.output)) from None
        return _answer(output, lambda answer: read_offers(answer, folder))


def _answer(path: Path, read: Callable[[dict[str, Any]], Found]) -> Found:
    """Read what uv wrote; one that was ended while it wrote is an error."""
    with damage.told(path.name, LockError, cause="uv was ended while it wrote its answer"):
        return read(tomllib.loads(path.read_text("utf-8")))


def _write_project(
    folder: Path, lines: Sequence[str], root: Path, settings: Mapping[str, Any]
) -> tuple[str | Path, ...]:
    """Write a project that depends on ``lines``; return it and the options for its configuration.

    The Pythons that it supports only have to include the one that runs this and the target's:
    options and ``environments`` say for which of them uv resolves.
    """
    project = {
        "name": canonicalize_name(CONFIG),
        "version": "0",
        "requires-python": f">={OLDEST_PYTHON}",
        "dependencies": list(lines),
    }
    known = origins.settings(root)
    # An entry of `sources` may only name an index that the same file declares.
    found = {**settings, "index": known.get("index", [])}
    path, config = folder / "pyproject.toml", folder / "uv.toml"
    path.write_text(toml.dumps({"project": project, "tool": {"uv": found}}), "utf-8")
    config.write_text(toml.dumps(known), "utf-8")
    return path, "--config-file", config


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="layersmith-lock-") as folder:
        yield Path(folder).resolve()


class Unresolvable(Exception):
    """uv found no solution.

    Args:
        explanation: All that uv said, without logins.
    """

    def __init__(self, explanation: str) -> None:
        super().__init__(explanation)
        self.explanation = explanation


@dataclass(frozen=True)
class File:
    """A wheel or sdist that an index offers.

    Attributes:
        filename: Name of the file.
        url: Where it is; without a login.
        sha256: SHA-256 in hex, or None where the index gives none.
        size: Bytes, or None where the index does not say.
        uploaded: When it was uploaded (PEP 700), or None where the index does not say.
    """

    filename: str
    url: str
    sha256: str | None
    size: int | None
    uploaded: datetime | None = None

    @property
    def is_wheel(self) -> bool:
        """Whether it is a wheel."""
        return self.filename.endswith(".whl")


@dataclass(frozen=True)
class Offer:
    """A version that an index offers, or a local package.

    Attributes:
        name: Normalized name of the distribution.
        version: The version; empty for a local package.
        marker: Marker (PEP 508) of the Pythons that it was chosen for; None for all.
        files: Its files; none for a local package.
        folder: Folder of a local package.
        commit: Commit of a git requirement; its one file is an archive that is made of it.
        direct: Whether it was asked for by its URL.
    """

    name: str
    version: str
    marker: str | None
    files: tuple[File, ...]
    folder: Path | None = None
    commit: str = ""
    direct: bool = False


def read_offers(pylock: Mapping[str, Any], folder: Path) -> list[Offer]:
    """Read a pylock.toml (PEP 751).

    Args:
        pylock: Its content.
        folder: Where it lies; paths in it are relative to that.

    Raises:
        LockError: It holds something that is not understood.
    """
    if pylock.get("lock-version") != "1.0":
        raise _not_understood(f"a pylock.toml of version {pylock.get('lock-version')}")
    return [_offer(package, folder) for package in pylock.get("packages", [])]


def _offer(package: Mapping[str, Any], folder: Path) -> Offer:
    try:
        name, marker = canonicalize_name(package["name"]), package.get("marker")
        if "directory" in package:
            place = (folder / package["directory"]["path"]).resolve()
            return Offer(name, "", marker, (), place)
        if "vcs" in package or "archive" in package:
            return _direct(name, package)
        files = tuple(_files(package, folder))
        if not files:
            raise KeyError("wheels")
        return Offer(name, package["version"], marker, files)
    except (KeyError, TypeError, AttributeError):
        raise _not_understood(f"the entry {dict(package)}") from None


def _direct(name: str, package: Mapping[str, Any]) -> Offer:
    version, marker = package["version"], package.get("marker")
    if "archive" in package:
        archive = package["archive"]
        url = urlsplit(archive["url"])._replace(fragment="")
        if "subdirectory" in archive:
            raise KeyError("subdirectory")
        filename = unquote(url.path.rpartition("/")[2])
        file = File(
            filename, process.without_logins(url.geturl()), archive["hashes"]["sha256"], None
        )
        return Offer(name, version, marker, (file,), direct=True)
    vcs = package["vcs"]
    if vcs["type"] != "git":
        raise KeyError(vcs["type"])
    subdirectory = f"#subdirectory={vcs['subdirectory']}" if "subdirectory" in vcs else ""
    where = at_commit(f"git+{vcs['url']}{subdirectory}", vcs["commit-id"])
    file = File(f"{name.replace('-', '_')}-{version}{wheelstore.COMMIT_SUFFIX}", where, None, None)
    return Offer(name, version, marker, (file,), commit=vcs["commit-id"], direct=True)


def _not_understood(what: str) -> LockError:
    return LockError(
        f"uv's answer holds {process.without_logins(what)}, which is not understood",
        cause="this version of uv writes something that layersmith does not know",
        hint="install the version of uv that layersmith names; `uv --version` tells yours",
    )


def read_graph(lock: Mapping[str, Any], environment: Mapping[str, str]) -> Edges:
    """Read who asks for whom, and which index it is from, from a uv.lock.

    Args:
        lock: Its content.
        environment: Environment in which markers are judged.

    Raises:
        LockError: It is of another version than the one that is understood.
    """
    if lock.get("version") != _UV_LOCK_VERSION:
        raise _not_understood(f"a uv.lock of version {lock.get('version')}")
    found: dict[str, set[str]] = {}
    indexes: dict[str, str] = {}
    project = canonicalize_name(CONFIG)
    for package in lock.get("package", []):
        asker = CONFIG if package["name"] == project else package["name"]
        if "registry" in (source := package.get("source", {})):
            indexes[package["name"]] = process.without_logins(source["registry"])
        optional = package.get("optional-dependencies", {}).values()
        for edge in (
            *package.get("dependencies", []),
            *(one for group in optional for one in group),
        ):
            marker = edge.get("marker")
            if marker is None or Marker(marker).evaluate({**environment, "extra": ""}):
                found.setdefault(edge["name"], set()).add(asker)
    return Edges({name: tuple(sorted(who)) for name, who in found.items()}, indexes)


def _files(package: Mapping[str, Any], folder: Path) -> Iterator[File]:
    sdist = [package["sdist"]] if "sdist" in package else []
    for item in [*package.get("wheels", []), *sdist]:
        url = item.get("url") or (folder / item["path"]).resolve().as_uri()
        yield File(
            filename=item.get("name") or unquote(urlsplit(url).path.rpartition("/")[2]),
            url=process.without_logins(url),
            sha256=item.get("hashes", {}).get("sha256"),
            size=item.get("size"),
            uploaded=_moment(item.get("upload-time")),
        )


def _moment(value: object) -> datetime | None:
    """Return a time of uv's answer, which has a zone (PEP 751)."""
    return value if isinstance(value, datetime) and value.tzinfo else None
