"""What uv answers: resolutions, and the files of versions. Reads both; starts nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from layersmith.assemble.lock.lockfile import CONFIG

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

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


def offers(pylock: dict[str, Any], folder: Path) -> list[Offer]:
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
