"""Compiles sources from standard input; run by an interpreter of the target's minor version.

Protocol, in both directions: a record is two lengths (big-endian, 4 bytes each), then a name and
its bytes. In: path and source. Out: path and .pyc, or path and nothing where the source does not
compile. The first record out is the interpreter's magic number.

The bytes must not depend on the machine. marshal marks every object that anybody else refers to,
so a plain dump changes with what the process did before; marks that nothing uses are therefore
taken out and the references counted anew.
"""

from __future__ import annotations

import importlib.util
import marshal
import struct
import sys
import warnings
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = struct.Struct(">II")
FLAG_REF = 0x80
UNCHECKED_HASH = (1).to_bytes(4, "little")
"""PEP 552: hash-based, source never checked."""

FIXED = {**dict.fromkeys("0NFTS.", 0), "i": 4, "g": 8, "y": 16}
"""Marshal types of a fixed size, and their bytes (CPython, Python/marshal.c)."""

CODE_NUMBERS, CODE_OBJECTS, CODE_TABLES = (5, 8, 2) if sys.version_info >= (3, 11) else (6, 8, 1)
"""Layout of a marshalled code object: numbers, objects, one more number, tables."""


class Normalizer:
    """Rewrites a marshal stream without references that nobody uses.

    Args:
        data: What ``marshal.dumps`` returned for a code object.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.marks: list[int] = []
        """Where an object is marked as one that others may refer to; its index is its number."""
        self.uses: list[tuple[int, int]] = []
        """Where a reference is, and the number of the object that it means."""

    def run(self) -> bytes:
        """Return the stream in its one normal form."""
        self.walk()
        if self.at != len(self.data):
            raise ValueError("trailing bytes in a marshal stream")
        used = {index for _, index in self.uses}
        out = bytearray(self.data)
        number: dict[int, int] = {}
        for index, place in enumerate(self.marks):
            if index in used:
                number[index] = len(number)
            else:
                out[place] &= ~FLAG_REF
        for place, index in self.uses:
            out[place : place + 4] = number[index].to_bytes(4, "little")
        return bytes(out)

    def number(self) -> int:
        """Read a number of four bytes."""
        value = int.from_bytes(self.data[self.at : self.at + 4], "little", signed=True)
        self.at += 4
        return value

    def walk(self) -> None:
        """Read one object and everything in it."""
        kind = self.data[self.at]
        if kind & FLAG_REF:
            self.marks.append(self.at)
        self.at += 1
        name = chr(kind & ~FLAG_REF)
        if name in FIXED:
            self.at += FIXED[name]
        elif name in self.READERS:
            self.READERS[name](self)
        else:
            raise ValueError(f"unknown marshal type {name!r}")

    def many(self, count: int) -> None:
        """Read several objects."""
        for _ in range(count):
            self.walk()

    def _long(self) -> None:
        digits = self.number()
        self.at += 2 * abs(digits)

    def _string(self) -> None:
        size = self.number()
        self.at += size

    def _short_string(self) -> None:
        self.at += 1 + self.data[self.at]

    def _reference(self) -> None:
        self.uses.append((self.at, self.number()))

    def _small_tuple(self) -> None:
        count = self.data[self.at]
        self.at += 1
        self.many(count)

    def _sequence(self) -> None:
        self.many(self.number())

    def _slice(self) -> None:
        self.many(3)

    def _code(self) -> None:
        self.at += 4 * CODE_NUMBERS
        self.many(CODE_OBJECTS)
        self.at += 4
        self.many(CODE_TABLES)

    READERS: ClassVar[dict[str, Callable[[Normalizer], None]]] = {
        "l": _long,
        **dict.fromkeys("sutaA", _string),
        **dict.fromkeys("zZ", _short_string),
        "r": _reference,
        ")": _small_tuple,
        **dict.fromkeys("([<>", _sequence),
        ":": _slice,
        "c": _code,
    }


def compile_source(path: str, source: bytes) -> bytes:
    """Return the .pyc of a source (PEP 552, unchecked-hash).

    Args:
        path: Path below /opt, which tracebacks will show.
        source: The source.
    """
    code = compile(source, "/opt/" + path, "exec", dont_inherit=True, optimize=0)
    body = Normalizer(marshal.dumps(code)).run()
    marshal.loads(body)  # noqa: S302 -- it was written three lines above
    return importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source) + body


def send(name: bytes, content: bytes) -> None:
    """Write a record to standard output."""
    sys.stdout.buffer.write(HEAD.pack(len(name), len(content)) + name + content)


def main() -> None:
    """Compile every source of standard input."""
    # What a package's source makes the compiler warn of is not the builder's business.
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(20_000)
    stdin = sys.stdin.buffer
    send(b"", importlib.util.MAGIC_NUMBER)
    while len(head := stdin.read(HEAD.size)) == HEAD.size:
        name_size, size = HEAD.unpack(head)
        name, source = stdin.read(name_size), stdin.read(size)
        try:
            result = compile_source(name.decode("utf-8"), source)
        except (SyntaxError, ValueError, RecursionError):
            # Templates and sources of other Pythons: they cannot be imported here either.
            result = b""
        send(name, result)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
