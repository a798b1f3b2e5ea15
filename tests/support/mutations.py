"""Damages files the way disks, editors, merges and strangers do, from a seeded generator."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

ODD = (
    *(
        b"\0",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\r",
        b"\n\n",
        b"'",
        b'"',
        b",",
        b"#",
        b"\\",
        b"=",
        b";",
    ),
    *(b"\xff" * 8, b"\0" * 8, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"PK\1\2", b"PK\5\6"),
    *(
        b"[" * 3000,
        b'{"a":' * 3000,
        b"(" * 3000,
        b"9" * 5000,
        b"1e999",
        b"NaN",
        b"../",
        b"@ file:///x",
    ),
)
"""What readers stumble over: NUL, half of a surrogate, line ends, limits, magic numbers, depth
beyond Python's recursion limit, numbers beyond what int() reads."""

VALUES: Sequence[Any] = (
    None,
    True,
    -1,
    2**70,
    1.5,
    "",
    "\0",
    "../x",
    "\udc80",
    "x" * 300,
    [],
    [[]],
    {},
    {"": 0},
)
"""What stands in the place of a value of JSON."""


def damage(content: bytes, rng: random.Random) -> bytes:
    """Return a file with one to three damages."""
    for _ in range(rng.randint(1, 3)):
        content = rng.choice(_WAYS)(content, rng)
    return content


def damage_json(content: bytes, rng: random.Random) -> bytes:
    """Return JSON that still is JSON, with one value replaced, dropped or renamed."""
    document = json.loads(content)
    places = list(_places(document))
    if not places:
        return damage(content, rng)
    holder, key = rng.choice(places)
    way = rng.randrange(3)
    if way == 0 or isinstance(holder, list):
        holder[key] = rng.choice(VALUES)
    elif way == 1:
        del holder[key]
    else:
        holder[f"{key}x"] = holder.pop(key)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def damage_member(content: bytes, rng: random.Random) -> bytes:
    """Return a zip that is whole, with one member damaged before it was packed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info: archive.read(info) for info in archive.infolist()}
    chosen = rng.choice(list(members))
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for info, body in members.items():
            archive.writestr(info, damage(body, rng) if info is chosen else body)
    return memory.getvalue()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place of a document that holds a value: what holds it, and its key."""
    items: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [found for key, below in items for found in ((value, key), *_places(below))]


def _flip(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content) or 1)
    return content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _drop(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start + rng.choice((1, 2, 4, 16, 64)) :]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start : start + rng.choice((1, 8, 64, 512))] + content[start:]


def _insert(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.choice(ODD) + content[place:]


def _overwrite(content: bytes, rng: random.Random) -> bytes:
    place, odd = rng.randrange(len(content) + 1), rng.choice(ODD)[:8]
    return content[:place] + odd + content[place + len(odd) :]


def _line(content: bytes, rng: random.Random) -> bytes:
    """Move one line to the place of another."""
    lines = content.split(b"\n")
    lines.insert(rng.randrange(len(lines)), lines.pop(rng.randrange(len(lines))))
    return b"\n".join(lines)


def _end(content: bytes, rng: random.Random) -> bytes:
    """Damage the last bytes, where a zip has its directory."""
    start = max(0, len(content) - 400)
    return content[:start] + _flip(content[start:], rng)


_WAYS: Sequence[Callable[[bytes, random.Random], bytes]] = (
    *(_flip, _flip, _cut, _drop, _repeat, _insert, _insert, _overwrite, _line, _end, _end),
)
