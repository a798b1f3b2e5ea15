"""Reads requirements files as pip, pip-tools, poetry and uv write them.

Requirements, hashes, constraints and nested files are used. Options that say something else are
refused with the place where it belongs: a lock that passes over one would hold other files.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from layersmith.config.values import judge_url
from layersmith.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_COMMENT = re.compile(r"(^|\s+)#.*$")
_NESTED = re.compile(
    r"(?:(?P<more>-r|--requirement)|-c|--constraint)(?:[ =]\s*|(?<=-[rc]))(?P<file>\S.*)"
)
_PER_REQUIREMENT = re.compile(r"\s(--[a-z-]+)[ =]\s*(\S+)")
_FOLDER = re.compile(
    r"(?:(?:-e|--editable)[ =]*)?(?P<path>[.~/]\S*|file:\S*|[A-Za-z]:\\\S*|(?!-|\S*:)\S+/)"
)

_EGG = re.compile(
    r"(?:(?:-e|--editable)[ =]*)?(?P<url>git\+[^#\s]+)#egg=(?P<name>[\w.\[\],-]+)"
    r"(?:&(?P<more>subdirectory=\S+))?"
)
"""pip's older way to write ``name @ git+https://...``."""

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Marks at the start of a file; that of UTF-32 begins with that of UTF-16."""

_IGNORED = {"--require-hashes", "--prefer-binary"}
"""Options that change nothing: a lock holds hashes anyway, and wheels come before sdists."""

INDEXES = "uv's configuration: [[tool.uv.index]] of pyproject.toml, or uv.toml"
_BUILD = "`build` of layers.yaml"
_BELONGS = {
    "-i": INDEXES,
    "--index-url": INDEXES,
    "--extra-index-url": INDEXES,
    "--no-index": INDEXES,
    "-f": "`find-links` of uv's configuration",
    "--find-links": "`find-links` of uv's configuration",
    "--trusted-host": "`allow-insecure-host` of uv's configuration",
    "--no-binary": _BUILD,
    "--config-settings": _BUILD,
    "-C": _BUILD,
    "--global-option": _BUILD,
    "--pre": "the requirement itself, e.g. name>=2.0rc1",
}
"""Options of pip's file format and where layersmith takes what they say."""


@dataclass
class RequirementsText:
    """What a requirements file holds, with the files it names.

    Attributes:
        requirements: Requirements (PEP 508) in their order.
        constraints: The lines of the files that it names with ``-c``.
        hashes: Normalized name to the SHA-256 hashes, in hex, of which a file must have one.
        files: The file and those it names, resolved.
        folders: Local folders that it asks for; each is a problem.
    """

    requirements: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    hashes: dict[str, set[str]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


def read(path: Path, root: Path) -> RequirementsText:
    """Read a requirements file and the files it names with ``-r`` and ``-c``.

    Args:
        path: The file.
        root: Folder of layers.yaml; a file outside it is refused.

    Raises:
        LockError: A file is missing or outside ``root``, or lines are not understood; all of
            them are in one report.
    """
    found, problems = attempt(path, root)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        listed = "\n".join(
            f"  {one.message}" + (f" ({one.hint})" if one.hint else "") for one in problems
        )
        raise LockError(f"{path.name} has {len(problems)} problems:\n{listed}", parts=problems)
    return found


def attempt(path: Path, root: Path) -> tuple[RequirementsText, list[LockError]]:
    """Read a requirements file as `read` does; return what is understood, and the problems."""
    reader = _RequirementsReader(root.resolve())
    reader.file(path, ())
    return reader.found, reader.problems


class _RequirementsReader:
    """Reads one file after the other and goes on after a problem."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.found = RequirementsText()
        self.problems: list[LockError] = []

    def file(self, path: Path, above: tuple[Path, ...], *, constraint: bool = False) -> None:
        """Read a file; ``above`` are the files that led to it."""
        if "\0" in str(path):
            what = f"{path.name!r} is not the name of a file: it holds a NUL character"
            self.problems.append(LockError(what))
            return
        path = path.resolve()
        try:
            text = self._text(path, above)
        except LockError as problem:
            self.problems.append(problem)
            return
        self.found.files.append(path)
        for number, line in _logical_lines(text):
            try:
                if nested := _NESTED.fullmatch(line):
                    below = constraint or nested["more"] is None
                    self.file(path.parent / nested["file"], (*above, path), constraint=below)
                else:
                    self._line(line, constraint=constraint)
            except LockError as problem:
                name = path.relative_to(self.root).as_posix()
                problem.message = f"{name}:{number}: {problem.message}"
                problem.place = (name, number, None)
                self.problems.append(problem)

    def _text(self, path: Path, above: tuple[Path, ...]) -> str:
        if not path.is_relative_to(self.root):
            raise LockError(
                f"{path.name} lies outside the folder of layers.yaml",
                hint="have layers.yaml in a folder that holds both files",
            )
        name = path.relative_to(self.root).as_posix()
        if path in above:
            raise LockError(f"{name} includes itself")
        try:
            return _decoded(path.read_bytes())
        except (OSError, ValueError) as error:
            raise LockError(
                f"{name} cannot be read: {error}", hint="save it as UTF-8 text"
            ) from None

    def _line(self, line: str, *, constraint: bool) -> None:
        if egg := _EGG.fullmatch(line):
            line = f"{egg['name']} @ {egg['url']}{'#' + egg['more'] if egg['more'] else ''}"
        if folder := _FOLDER.fullmatch(line):
            self.found.folders.append(folder["path"])
        _refuse_options(line)
        hashes, text = set(), line
        if found := _PER_REQUIREMENT.search(line):
            hashes, text = _hashes(line[found.start() :]), line[: found.start()].strip()
        requirement = _requirement(text)
        (self.found.constraints if constraint else self.found.requirements).append(text)
        if hashes:
            name = canonicalize_name(requirement.name)
            self.found.hashes.setdefault(name, set()).update(hashes)


def _decoded(content: bytes) -> str:
    encoding = next((name for mark, name in _ENCODINGS if content.startswith(mark)), "utf-8")
    text = content.decode(encoding)
    if "\0" in text:
        raise ValueError("it holds NUL characters, as UTF-16 without a byte order mark does")
    return text


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, with continuation lines joined."""
    pending, start = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        start = start if pending else number
        pending += line
        if pending.endswith("\\") and not _COMMENT.match(line):
            pending = pending[:-1] + " "
            continue
        content, pending = _COMMENT.sub("", pending).strip(), ""
        if content and content not in _IGNORED:
            yield start, content
    content = _COMMENT.sub("", pending).strip()
    if content and content not in _IGNORED:
        yield start, content


def _refuse_options(line: str) -> None:
    if folder := _FOLDER.fullmatch(line):
        _refuse_path(folder["path"])
    if line.startswith("-"):
        option = re.split(r"[\s=]", line, maxsplit=1)[0]
        belongs = _BELONGS.get(option)
        raise LockError(
            f"the option {option} is not used here",
            hint=f"it belongs in {belongs}" if belongs else "remove it",
        )


def _refuse_path(path: str) -> None:
    if path.endswith((".whl", ".tar.gz", ".zip")):
        raise LockError(
            f"{path} is a file, and a lock names files of an index",
            hint="give its folder to uv as `find-links`, and require it by name and version",
        )
    raise LockError(
        f"{path} is a local folder, not a requirement",
        hint=f"list it under `packages` of layers.yaml: packages: [{path}]",
    )


def _hashes(text: str) -> set[str]:
    """Return the SHA-256 hashes after a requirement."""
    found = set()
    for option, value in _PER_REQUIREMENT.findall(text):
        if option != "--hash":
            _refuse_options(option)
        algorithm, _, digest = value.partition(":")
        if algorithm == "sha256" and re.fullmatch(r"[0-9a-f]{64}", digest):
            found.add(digest)
        elif algorithm not in {"sha384", "sha512"}:
            raise LockError(f"{value!r} is not a SHA-256, e.g. --hash=sha256:0123...")
    if not found:
        raise LockError(
            "the hashes hold no SHA-256, and an index names files by that",
            hint="export the requirements with SHA-256 hashes",
        )
    return found


def _requirement(text: str) -> Requirement:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as problem:
        reason = str(problem).splitlines()[0]
        raise LockError(f"{text!r} is not a requirement (PEP 508): {reason}") from None
    try:
        judge_url(requirement)
    except ValueError as problem:
        raise LockError(str(problem)) from None
    return requirement


def direct(lines: Iterable[str]) -> dict[str, str]:
    """Return the URLs that requirements name: normalized name to URL."""
    found = (Requirement(line) for line in lines)
    return {canonicalize_name(one.name): one.url for one in found if one.url}


def at_commit(url: str, commit: str) -> str:
    """Return the URL of a git repository (``git+https://...``) at one commit.

    Args:
        url: The URL; a revision in it is replaced.
        commit: Hash of the commit.
    """
    place, _, fragment = url.partition("#")
    scheme, _, rest = place.partition("://")
    # A revision follows an @ in the path; one before the path belongs to a user name.
    host, _, path = rest.partition("/")
    subdirectory = parse_qs(fragment).get("subdirectory")
    end = f"#subdirectory={subdirectory[0]}" if subdirectory else ""
    return f"{scheme}://{host}/{path.partition('@')[0]}@{commit}{end}"
