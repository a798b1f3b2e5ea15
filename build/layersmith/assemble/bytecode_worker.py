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

HEAD = struct.Struct(">II")
FLAG_REF = 0x80
UNCHECKED_HASH = (1).to_bytes(4, "little")
"""PEP 552: hash-based, source never checked."""

FIXED = {**dict.fromkeys("0NFTS.", 0), "i": 4, "g": 8, "y": 16}
"""Marshal types of a fixed size, and their bytes (CPython, Python/marshal.c)."""

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
        inner: The objects in it, in order.
        middle: For code objects, the bytes between the objects and the tables.
    """

    __slots__ = ("head", "inner", "key", "middle")

    def __init__(self, head: bytes, inner: tuple[Node, ...] = (), middle: bytes = b"") -> None:
        self.head = head
        self.inner = inner
        self.middle = middle
        # Equal values have equal keys, interned or not. Code objects, and tuples that hold them,
        # are never merged: they have none.
        merged = not middle and all(one.key for one in inner)
        first = head[:1]
        plain = INTERNED.get(first, first) + head[1:]
        self.key: bytes = plain + b"".join(one.key for one in inner) if merged else b""


class Reader:
    """Reads a marshal stream (CPython, Python/marshal.c) into nodes, references resolved."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.known: list[Node | None] = []

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self) -> int:
        """Read a number of four bytes."""
        return int.from_bytes(self.take(4), "little", signed=True)

    def read(self) -> Node:
        """Read one object and everything in it."""
        kind = self.take(1)[0]
        name = chr(kind & ~FLAG_REF)
        if name == "r":
            node = self.known[self.number()]
            assert node is not None
            return node
        place = len(self.known)
        if kind & FLAG_REF:
            # An object is numbered before the objects in it.
            self.known.append(None)
        node = self.body(name)
        if kind & FLAG_REF:
            self.known[place] = node
        return node

    def body(self, name: str) -> Node:
        """Read what follows the type of an object."""
        start = self.at
        tag = name.encode()
        if name == "c":
            numbers = self.take(4 * CODE_NUMBERS)
            objects = self.many(CODE_OBJECTS)
            line = self.take(4)
            return Node(tag + numbers, objects + self.many(CODE_TABLES), line)
        if name in "([<>":
            count = self.number()
            return Node(tag + count.to_bytes(4, "little"), self.many(count))
        if name == ")":
            count = self.take(1)[0]
            return Node(tag + bytes([count]), self.many(count))
        if name == ":":
            return Node(tag, self.many(3))
        if name in FIXED:
            self.take(FIXED[name])
        elif name == "l":
            self.take(2 * abs(self.number()))
        elif name in "sutaA":
            self.take(self.number())
        elif name in "zZ":
            self.take(self.take(1)[0])
        else:
            raise ValueError(f"unknown marshal type {name!r}")
        return Node(tag + self.data[start : self.at])

    def many(self, count: int) -> tuple[Node, ...]:
        """Read several objects."""
        return tuple(self.read() for _ in range(count))


class Writer:
    """Writes nodes as a marshal stream in one normal form: equal values are written once."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.counts: dict[bytes, int] = {}
        self.interned: set[bytes] = set()
        self.numbers: dict[bytes, int] = {}
        self.out = bytearray()

    def run(self) -> bytes:
        """Return the stream."""
        self.count(self.root)
        self.write(self.root)
        return bytes(self.out)

    def count(self, node: Node) -> None:
        """Count how often every value is there, and note which strings are interned anywhere."""
        key = node.key
        if key:
            self.counts[key] = self.counts.get(key, 0) + 1
        if node.head[:1] in INTERNED:
            self.interned.add(key)
        if not key or self.counts[key] == 1:
            for one in node.inner:
                self.count(one)

    def write(self, node: Node) -> None:
        """Write a value, or a reference to it where it was written before."""
        key = node.key
        shared = len(key) > REFERENCE_SIZE and self.counts[key] > 1
        if shared and key in self.numbers:
            self.out += b"r" + self.numbers[key].to_bytes(4, "little")
            return
        head = node.head
        if key in self.interned:
            head = INTERNED_AS.get(head[:1], head[:1]) + head[1:]
        if shared:
            self.numbers[key] = len(self.numbers)
            head = bytes([head[0] | FLAG_REF]) + head[1:]
        self.out += head
        split = CODE_OBJECTS if node.middle else len(node.inner)
        for one in node.inner[:split]:
            self.write(one)
        self.out += node.middle
        for one in node.inner[split:]:
            self.write(one)


def compile_source(path: str, source: bytes, optimize: int = 0, place: str = "/opt/") -> bytes:
    """Return the .pyc of a source (PEP 552, unchecked-hash).

    Args:
        path: Path below ``place``, which tracebacks will show.
        source: The source.
        optimize: 1 leaves out asserts, 2 docstrings as well.
        place: Where the runtime has it, with a slash at the end.
    """
    code = compile(source, place + path, "exec", dont_inherit=True, optimize=optimize)
    body = Writer(Reader(marshal.dumps(code)).read()).run()
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
