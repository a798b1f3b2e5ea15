"""CHANGELOG.md in the form of Keep a Changelog 1.1.0, one section a release of a layer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layersmith.base import damage
from layersmith.errors import ShipError

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from layersmith.ship.release.bumps import ReleaseChange

HEADER = """# Changelog

All notable changes of the tool and of the layers. A layer has its own semantic version; its
sections are named for its tag.
"""

_SECTION = re.compile(r"^## \[(?!Unreleased\])", re.MULTILINE)


def read(path: Path) -> str:
    """Return a changelog; empty where there is none yet.

    Raises:
        ShipError: It is not UTF-8.
    """
    with damage.told(path.name, ShipError, kind="changelog", hint="save it as UTF-8"):
        text = path.read_bytes().decode() if path.is_file() else ""
        if "\0" in text:  # UTF-16 without a mark decodes, too
            raise ValueError("it holds zero bytes")
    return text


def section(tag: str, day: date, found: list[ReleaseChange], *, forced: str | None) -> str:
    """Return the section of one release.

    Args:
        tag: Its tag, ``chromadb-vector-v1.2.0``.
        day: Its date, in UTC.
        found: What changed.
        forced: Why the bump is smaller than the changes ask for, where it is.
    """
    lines = [f"## [{tag}] - {day.isoformat()}", ""]
    if forced:
        lines += [f"The version was chosen by hand: {forced}", ""]
    lines += [f"- {change.text}" for change in found] or ["- First release."]
    return "\n".join([*lines, ""])


def add(text: str, new: str) -> str:
    """Return the changelog with a section put above the newest one, in the line ends it has.

    Args:
        text: The changelog; empty where there is none yet.
        new: The section.
    """
    text = text or HEADER
    end = "\r\n" if "\r\n" in text else "\n"
    new = new.replace("\n", end)
    newest = _SECTION.search(text)
    if newest is None:
        return f"{text.rstrip()}{end}{end}{new}"
    return f"{text[: newest.start()]}{new}{end}{text[newest.start() :]}"


def body(text: str, tag: str) -> str:
    """Return what a changelog says of a release, without the heading.

    Args:
        text: The changelog.
        tag: Tag of the release.

    Raises:
        ShipError: It has no section of that name.
    """
    for part in _SECTION.split(text)[1:]:
        name, _, rest = part.partition("]")
        if name == tag:
            return rest.partition("\n")[2].replace("\r\n", "\n").strip()
    raise ShipError(
        f"the changelog has no section {tag}",
        cause="its pull request is not merged, or the merge is not pulled",
        hint="`git pull` and try again; `release LAYER --pull-request` makes the section",
    )
