"""Chroma's filters on metadata, for stores that are not Chroma.

What Chroma takes and these stores cannot do is refused, and what they take means the same as in
Chroma: 1 and 1.0 are equal and true is neither, ``$ne`` and ``$nin`` also find records without the
key, and integers are compared with the whole part of a number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from vector_common.errors import BadRequest

Scalar = str | int | float | bool
Operator = Literal["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"]

EQUALITY = ("$eq", "$ne")
ORDER = ("$gt", "$gte", "$lt", "$lte")
MEMBERSHIP = ("$in", "$nin")
MAX_CONDITIONS = 200
"""Comparisons and values in one filter, together."""
MAX_DEPTH = 16
"""Of ``$and`` and ``$or`` in each other."""

_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class MetadataComparison:
    """A key compared with values: one, or those of ``$in`` and ``$nin``."""

    key: str
    operator: Operator
    values: tuple[Scalar, ...]

    @property
    def numbers(self) -> list[int | float]:
        """The values if they are numbers."""
        return [v for v in self.values if isinstance(v, int | float) and not isinstance(v, bool)]


@dataclass(frozen=True, slots=True)
class MetadataCombination:
    """Two filters or more, of which all (``$and``) or one (``$or``) must hold."""

    operator: Literal["$and", "$or"]
    parts: tuple[Filter, ...]


Filter = MetadataComparison | MetadataCombination


def parse_where(raw: object) -> Filter:
    """Read a filter as Chroma writes it.

    Raises:
        BadRequest: Chroma would refuse it, or only a session can do it.
    """
    budget = [MAX_CONDITIONS]
    return _filter(raw, "where", 0, budget)


def _filter(raw: object, place: str, depth: int, budget: list[int]) -> Filter:
    if not isinstance(raw, Mapping) or len(raw) != 1:
        raise BadRequest(f"{place}: must be an object with exactly one key")
    ((key, value),) = raw.items()
    if not isinstance(key, str):
        raise BadRequest(f"{place}: its key must be a string")
    if key in {"$and", "$or"}:
        if not isinstance(value, list) or len(value) < 2:
            raise BadRequest(f"{place}.{key}: must be an array of at least two filters")
        if depth >= MAX_DEPTH:
            raise BadRequest(f"{place}: is nested deeper than {MAX_DEPTH}")
        parts = [
            _filter(part, f"{place}.{key}[{number}]", depth + 1, budget)
            for number, part in enumerate(value)
        ]
        return MetadataCombination(cast("Literal['$and', '$or']", key), tuple(parts))
    if key.startswith(("$", "#")):
        raise BadRequest(f"{place}.{key[:40]}: only a session's server can filter by this")
    return _comparison(key, value, f"{place}.{key[:40]}", budget)


def _comparison(key: str, raw: object, place: str, budget: list[int]) -> MetadataComparison:
    operator, operand = "$eq", raw
    if isinstance(raw, Mapping):
        if len(raw) != 1:
            raise BadRequest(f"{place}: must have exactly one operator")
        ((operator, operand),) = raw.items()
    known = (*EQUALITY, *ORDER, *MEMBERSHIP)
    if operator not in known:
        raise BadRequest(f"{place}: {operator!r:.40} must be one of {', '.join(known)}")
    values = operand if operator in MEMBERSHIP else [operand]
    alike = isinstance(values, list) and len({type(value) for value in values}) == 1
    if not alike:
        raise BadRequest(f"{place}.{operator}: must be an array of values of one type")
    budget[0] -= len(cast("list[Any]", values))
    if budget[0] < 0:
        raise BadRequest(f"where: compares with more than {MAX_CONDITIONS} values")
    for value in cast("list[Any]", values):
        _check(value, operator, f"{place}.{operator}")
    return MetadataComparison(key, cast("Operator", operator), tuple(cast("list[Any]", values)))


def _check(value: object, operator: str, place: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if operator in ORDER and not number:
        raise BadRequest(f"{place}: must be a number")
    if not isinstance(value, str | int | float):
        raise BadRequest(f"{place}: must be a string, a number or a boolean")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRequest(f"{place}: must be a finite number")
    if isinstance(value, int) and value not in _INT64:
        raise BadRequest(f"{place}: must be an int64")
    if isinstance(value, str) and ("\0" in value or not _is_utf8(value)):
        raise BadRequest(f"{place}: has a character that cannot be stored")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
