"""The licence of a distribution: as an SPDX expression where that is certain, and with its texts.

Certain are a License-Expression (PEP 639), a field License that is an expression or the full name
of a licence, and a single classifier that stands for one licence. Anything else stays a name:
nothing is inferred from "BSD License".
"""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from layersmith.assemble.tree import PREFIX
from layersmith.base import damage, legacy

if TYPE_CHECKING:
    from email.message import Message

    from layersmith.assemble.wheel import Wheel

TABLE = Path(__file__).with_name("licenses.toml")

LEGAL = re.compile(r"(licen[cs]e|copying|copyright|notice|authors|patents)", re.IGNORECASE)
"""Names of files in .dist-info that hold terms, where METADATA does not list them: as setuptools
and wheel take them (`license-files` by default)."""

IDENTIFIER = re.compile(r"(?!LicenseRef-)[A-Za-z0-9.-]+")
"""One licence of SPDX's list, in an expression that is canonical."""

VAGUE = frozenset({"license", "licence", "the", "of", "v", "or", "later", "public", "software"})
"""Words of a field that do not tell which licence it means."""

LONGEST = 100
"""Characters of a field License that may be a name; longer ones hold the text of a licence."""

LARGEST_TEXT = 1 << 20
"""Bytes of one licence text; the largest known, of numpy and pyarrow, have up to 120 kB."""


@dataclass(frozen=True)
class License:
    """What the metadata of a distribution says of its terms.

    Attributes:
        expression: SPDX expression; None where there is none that is certain.
        names: What it says where that is not an expression; empty where it says nothing.
        options: All expressions that ``names`` may stand for; empty where that is not known.
    """

    expression: str | None = None
    names: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def shown(self) -> str | None:
        """The expression, or the names; None where it says nothing."""
        return self.expression or ", ".join(self.names) or None


@dataclass(frozen=True)
class LicenseText:
    """A file with terms.

    Attributes:
        path: Below python/.
        text: Its text; None where it is too large to be one.
    """

    path: str
    text: str | None


def canonical(text: str) -> str | None:
    """Return an SPDX expression as SPDX writes it; None for what is not one."""
    try:
        return canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return None


def of(metadata: Message) -> License:
    """Return the licence that METADATA gives."""
    said = " ".join(str(metadata.get("License-Expression") or "").split())
    if said:
        expression = canonical(said)
        return License(expression) if expression else License(names=(said,))
    field, classifiers = _field(metadata), _classifiers(metadata)
    expression = _certain(field, classifiers)
    if expression:
        return License(expression)
    names = tuple(dict.fromkeys((*([field] if field else []), *classifiers)))
    options = [_options(name) for name in names]
    known = {one for found in options for one in found} if all(options) else set()
    return License(names=names, options=tuple(sorted(known)))


def _certain(field: str | None, classifiers: tuple[str, ...]) -> str | None:
    """Return the expression that the field and the classifiers agree on, or None."""
    named = _named(field)
    classified = {one for one in map(_classified, classifiers) if one}
    if named:
        return named if classified <= {*re.split(r"[\s()]+", named)} else None
    # Whether several classifiers mean all of them or any is not known (PEP 639).
    if len(classifiers) != 1 or len(classified) != 1:
        return None
    (only,) = classified
    known = {*_words(classifiers[0]), *_words(only)}
    return only if field is None or _words(field) & known - VAGUE else None


def _options(name: str) -> list[str]:
    """Return all that a name may stand for; nothing where that is not known."""
    certain = _named(name) or _classified(name)
    found: list[str] = _table()["ambiguous"].get(_plain(name), [])
    return [certain] if certain else found


def _words(text: str) -> set[str]:
    return {*re.findall(r"[a-z]+", text.lower())}


def texts(wheel: Wheel) -> list[LicenseText]:
    """Return the files with terms of a wheel, by path.

    Raises:
        BuildError: A member of the wheel is damaged.
    """
    folder = f"{PREFIX}{wheel.dist_info}/"
    listed = {str(name) for name in wheel.metadata.get_all("License-File") or []}
    found = []
    for entry in wheel.entries:
        inner = entry.path.removeprefix(folder)
        if inner == entry.path or inner.endswith((".pyc", ".json")):
            continue
        if not (inner.startswith("licenses/") or inner in listed or LEGAL.match(inner)):
            continue
        with damage.told(wheel.path.name):
            small = entry.size <= LARGEST_TEXT
            text = legacy.decode(entry.source.read()) if small else None
        found.append(LicenseText(f"{wheel.dist_info}/{inner}", text))
    return sorted(found, key=lambda one: one.path)


def _field(metadata: Message) -> str | None:
    said = str(metadata.get("License") or "").strip()
    usable = said and "\n" not in said and len(said) <= LONGEST and said.upper() != "UNKNOWN"
    return said if usable else None


def _classifiers(metadata: Message) -> tuple[str, ...]:
    """Return what classifiers name, without those that only stand above others."""
    lines = [str(one) for one in metadata.get_all("Classifier") or []]
    named = [line.rpartition("::")[2].strip() for line in lines if line.startswith("License ::")]
    return tuple(name for name in named if name not in {"OSI Approved", "DFSG approved"})


def _named(field: str | None) -> str | None:
    if field is None:
        return None
    found: str | None = canonical(field) or _table()["names"].get(_plain(field))
    return found


def _plain(name: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[,\"']|\bthe\b", " ", name.lower())).strip()


def _classified(name: str) -> str | None:
    found: str | None = _table()["classifiers"].get(name)
    return found


@functools.cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads(TABLE.read_text("utf-8"))
