"""Compiles sources from standard input; run by an interpreter of the target's minor version.

Protocol, in both directions: a record is two lengths (big-endian, 4 bytes each), then a name and
its bytes. In: path and source. Out: path and .pyc, or path and nothing where the source does not
compile. The first record out is the interpreter's magic number. The one argument is the level of
optimization, as of ``python -O``.

The bytes must not depend on the machine. marshal marks every object that anybody else refers to
and shares objects by identity, so a plain dump changes with what the process did before. What it
wrote is therefore written again in a normal form, in which values are shared by being equal.
"""

from __future__ import annotations

import importlib.util
import marshal
import struct
import sys
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = struct.Struct(">II")
FLAG_REF = 0x80
UNCHECKED_HASH = (1).to_bytes(4, "little")
"""PEP 552: hash-based, source never checked."""

FIXED = {ord(kind): 0 for kind in "0NFTS."} | {ord("i"): 4, ord("g"): 8, ord("y"): 16}
"""Marshal types of a fixed size, and their bytes (CPython, Python/marshal.c)."""

SHORT, LONG, DIGITS = b"zZ", b"sutaA", ord("l")
"""Types with a length of one byte, of four bytes, and with a signed number of digits of two."""

MANY, SLICE_PARTS = {**dict.fromkeys(b"([<>", 4), ord(")"): 1, ord(":"): 0}, 3
"""Types that hold objects, and the bytes of their number; a slice always has three."""

CODE, REFERENCE = b"cr"
TAGS = [bytes((kind,)) for kind in range(256)]

CODE_NUMBERS, CODE_OBJECTS, CODE_TABLES = (5, 8, 2) if sys.version_info >= (3, 11) else (6, 8, 1)
"""Layout of a marshalled code object: numbers, objects, one more number, tables."""

INTERNED = {b"Z": b"z", b"A": b"a", b"t": b"u"}
"""Types of interned strings, and of the same strings when they are not."""

INTERNED_AS = {plain: interned for interned, plain in INTERNED.items()}

REFERENCE_SIZE = 5
"""Bytes of a reference; writing a smaller value again is not longer."""


class Node:
    """One object of a marshal stream: its own bytes, and the objects in it.

    Attributes:
        head: Bytes before the first inner object; the whole object where there are none.
        key: The same for equal values, interned or not. Code objects, and tuples that hold them,
            are never merged: they have none.
        inner: The objects in it, in order.
        middle: For code objects, the bytes between the objects and the tables.
    """

    __slots__ = ("head", "inner", "key", "middle")

    def __init__(
        self, head: bytes, key: bytes, inner: Sequence[Node] = (), middle: bytes = b""
    ) -> None:
        self.head = head
        self.key = key
        self.inner = inner
        self.middle = middle


def read(data: bytes) -> Node:  # noqa: C901 -- a class of short methods takes twice as long
    """Read a marshal stream (CPython, Python/marshal.c) into nodes, references resolved.

    Raises:
        ValueError: It has a type that is not known.
    """
    at = 0
    known: list[Node | None] = []

    def one() -> Node:
        nonlocal at
        kind = data[at]
        start = at = at + 1
        if kind & ~FLAG_REF == REFERENCE:
            at += 4
            node = known[int.from_bytes(data[start:at], "little")]
            assert node is not None
            return node
        place = -1
        if kind & FLAG_REF:
            kind &= ~FLAG_REF
            # An object is numbered before the objects in it.
            place = len(known)
            known.append(None)
        tag = TAGS[kind]
        if kind in SHORT:
            at += 1 + data[at]
        elif kind in LONG:
            at += 4 + int.from_bytes(data[at : at + 4], "little")
        elif kind in FIXED:
            at += FIXED[kind]
        elif kind == DIGITS:
            at += 4 + 2 * abs(int.from_bytes(data[at : at + 4], "little", signed=True))
        else:
            node = holder(kind, tag)
            if place >= 0:
                known[place] = node
            return node
        head = tag + data[start:at]
        node = Node(head, INTERNED[tag] + head[1:] if tag in INTERNED else head)
        if place >= 0:
            known[place] = node
        return node

    def holder(kind: int, tag: bytes) -> Node:
        nonlocal at
        start = at
        if kind == CODE:
            at += 4 * CODE_NUMBERS
            head, objects = tag + data[start:at], [one() for _ in range(CODE_OBJECTS)]
            line = data[at : at + 4]
            at += 4
            return Node(head, b"", objects + [one() for _ in range(CODE_TABLES)], line)
        if kind not in MANY:
            raise ValueError(f"unknown marshal type {chr(kind)!r}")
        at += MANY[kind]
        head = tag + data[start:at]
        count = int.from_bytes(head[1:], "little") if MANY[kind] else SLICE_PARTS
        inner = [one() for _ in range(count)]
        keys = [each.key for each in inner]
        return Node(head, head + b"".join(keys) if all(keys) else b"", inner)

    return one()


def write(root: Node) -> bytes:
    """Return nodes as a marshal stream in one normal form: equal values are written once."""
    counts: dict[bytes, int] = {}
    interned: set[bytes] = set()
    _count([root], counts, interned)
    numbers: dict[bytes, int] = {}
    out: list[bytes] = []

    def put(nodes: Sequence[Node]) -> None:
        """Write values, or references to those that were written before."""
        for node in nodes:
            key, head = node.key, node.head
            shared = len(key) > REFERENCE_SIZE and counts[key] > 1
            if shared and key in numbers:
                out.append(b"r" + numbers[key].to_bytes(4, "little"))
                continue
            if key in interned:
                head = INTERNED_AS.get(head[:1], head[:1]) + head[1:]
            if shared:
                numbers[key] = len(numbers)
                head = TAGS[head[0] | FLAG_REF] + head[1:]
            out.append(head)
            split = CODE_OBJECTS if node.middle else len(node.inner)
            if node.inner:
                put(node.inner[:split])
            if node.middle:
                out.append(node.middle)
                put(node.inner[split:])

    put([root])
    return b"".join(out)


def _count(nodes: Sequence[Node], counts: dict[bytes, int], interned: set[bytes]) -> None:
    """Count how often every value is there, and note which strings are interned anywhere."""
    for node in nodes:
        key = node.key
        if key:
            seen = counts[key] = counts.get(key, 0) + 1
            if node.head[:1] in INTERNED:
                interned.add(key)
            if seen > 1:
                continue
        if node.inner:
            _count(node.inner, counts, interned)


def compile_source(path: str, source: bytes, optimize: int = 0, place: str = "/opt/") -> bytes:
    """Return the .pyc of a source (PEP 552, unchecked-hash).

    Args:
        path: Path below ``place``, which tracebacks will show.
        source: The source.
        optimize: 1 leaves out asserts, 2 docstrings as well.
        place: Where the runtime has it, with a slash at the end.
    """
    code = compile(source, place + path, "exec", dont_inherit=True, optimize=optimize)
    body = write(read(marshal.dumps(code)))
    marshal.loads(body)  # noqa: S302 -- it was written three lines above
    return importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source) + body


def send(name: bytes, content: bytes) -> None:
    """Write a record to standard output."""
    sys.stdout.buffer.write(HEAD.pack(len(name), len(content)) + name + content)


def main() -> None:
    """Compile every source of standard input."""
    optimize, place = int(sys.argv[1]), sys.argv[2]
    # What a package's source makes the compiler warn of is not the builder's business.
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(20_000)
    stdin = sys.stdin.buffer
    send(b"", importlib.util.MAGIC_NUMBER)
    while len(head := stdin.read(HEAD.size)) == HEAD.size:
        name_size, size = HEAD.unpack(head)
        name, source = stdin.read(name_size), stdin.read(size)
        try:
            result = compile_source(name.decode("utf-8"), source, optimize, place)
        except (SyntaxError, ValueError, RecursionError):
            # Templates and sources of other Pythons: they cannot be imported here either.
            result = b""
        send(name, result)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
