"""Puts back what built-in rules and recipes removed and what is left of a layer needs.

Modules that it imports, .pyi files that its lazy loaders read, and data that it names next to
them. What is put back may need more in turn; a module that nobody refers to stays away. What the
recipe of a distribution removed is put back for other distributions alone: the recipe knows what
its own does without.
"""

from __future__ import annotations

import posixpath
import re
from collections import deque
from typing import TYPE_CHECKING

from layersmith.assemble.prune import references
from layersmith.assemble.tree import PREFIX, Exemption
from layersmith.base import modules

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from layersmith.assemble.prune.rules import Gone
    from layersmith.assemble.tree import Entry, Tree

TAKES_NAMES = re.compile(
    rb"import_module|__import__|__getattr__|[(,]\s*__(?:name|package)__\s*[,)]"
)
"""Sources in which a single word may be the name of a module."""


def rescue(tree: Tree, gone: Mapping[str, Gone]) -> None:
    """Put back modules that the files in ``tree`` import, and their stubs and data.

    Args:
        tree: The layer, already pruned.
        gone: What may be put back, by path.
    """
    lost = _Lost(tree, gone)
    if not lost.any:
        return
    read = (".py", ".so") if lost.owned else (".py",)
    waiting = deque(
        entry
        for entry in tree
        if entry.path.endswith(read) and not modules.GRAFTED.search(entry.path)
    )
    while waiting:
        waiting.extend(lost.needed_by(waiting.popleft()))


class _Lost:
    """What is not in a layer and could be.

    Attributes:
        any: Whether there is anything.
        owned: Distribution, package and token to the modules that its recipe removed.
    """

    def __init__(self, tree: Tree, gone: Mapping[str, Gone]) -> None:
        self._tree = tree
        self._gone = dict(gone)
        self._modules: dict[str, list[str]] = {}
        self._stubs = {path for path in gone if path.endswith(".pyi")}
        self._data: dict[str, list[str]] = {}
        self._tokens: set[str] = set()
        self.owned: dict[tuple[str, str, str], list[str]] = {}
        for path, one in gone.items():
            name = module_of(path)
            if name is None:
                for folder in _folders(path):
                    self._data.setdefault(folder, []).append(path)
            elif path not in self._stubs:
                self._modules.setdefault(name, []).append(path)
                if one.but_for is None:
                    self._tokens.add(one.token)
                else:
                    key = (one.but_for, name.partition(".")[0], one.token)
                    self.owned.setdefault(key, []).append(path)
        left = {folder for entry in tree for folder in _folders(entry.path)}
        self._empty = self._data.keys() - left
        self._packages = {package for _, package, _ in self.owned}
        self._mentions = _Mentions(self._tokens)
        self.any = bool(self._modules or self._stubs)

    def needed_by(self, entry: Entry) -> Iterator[Entry]:
        """Put back what a file needs, and yield that: it may need more."""
        rescued = entry.path in self._tree.kept
        stub = f"{entry.path.removesuffix('.py')}.pyi"
        if not (rescued or self._modules or stub in self._stubs):
            return
        content = entry.source.read()
        if entry.path.endswith(".so"):
            yield from self._named_by_binary(entry, content)
            return
        if not self._may_need(entry, content):
            return
        found = references.read(
            content,
            module_of(entry.path) or "",
            package=posixpath.basename(entry.path).startswith("__init__."),
            strings=not rescued,
            attributes=bool(self.owned),
        )
        folders = {posixpath.dirname(entry.path)} if rescued else set()
        if found.stub:
            yield from self._restore(stub, entry, f"a lazy loader in {entry.inner} reads it")
        for module in sorted({part for name in found.names for part in _prefixes(name)}):
            folders.update(self._empty.intersection([PREFIX + module.replace(".", "/")]))
            for path in self._modules.get(module, ()):
                yield from self._restore(path, entry, f"{entry.inner} imports {module}")
        for folder in sorted(folders):
            for path in self._data.get(folder, ()):
                parts = path.removeprefix(folder).strip("/").encode().split(b"/")
                if all(part in content for part in parts):
                    yield from self._restore(path, entry, f"{entry.inner} names it")

    def _named_by_binary(self, entry: Entry, content: bytes) -> Iterator[Entry]:
        """Put back what compiled code names: by its dotted name, or in texts of its own."""
        for owner, package, token in self._owned_by_others(entry, content):
            dotted, words = f"{package}.{token}".encode(), (package.encode(), token.encode())
            if dotted in content or all(b"\0%b\0" % word in content for word in words):
                for path in self.owned[owner, package, token]:
                    yield from self._restore(path, entry, f"{entry.inner} names {token}")

    def _owned_by_others(self, entry: Entry, content: bytes) -> list[tuple[str, str, str]]:
        """Return keys of ``owned`` that a file may need: it looks for each package once.

        A library of 25 MB is searched in 10 ms, and a recipe removes a hundred modules.
        """
        named = {package for package in self._packages if package.encode() in content}
        return [key for key in self.owned if key[1] in named and key[0] != entry.distribution]

    def _may_need(self, entry: Entry, content: bytes) -> bool:
        """Whether it pays to parse a file: most mention nothing that is gone."""
        return (
            entry.path in self._tree.kept
            or not self._tokens.isdisjoint(entry.inner.split("/"))
            or (b"__file__" in content and f"{entry.path.removesuffix('.py')}.pyi" in self._stubs)
            or self._mentions.are_in(content)
            or any(
                re.search(rb"\b%b\b" % token.encode(), content)
                for _, _, token in self._owned_by_others(entry, content)
            )
        )

    def _restore(self, path: str, entry: Entry, reason: str) -> Iterator[Entry]:
        """Put back a file for the sake of an entry, unless the recipe of its distribution knows."""
        one = self._gone.get(path)
        if one is None:
            return
        if one.but_for != entry.distribution or entry.path in self._tree.kept:
            del self._gone[path]
            self._tree.restore(one.owners, Exemption(one.rule, reason))
            if path.endswith((".py", ".pyi")):
                yield self._tree.entries[path]


def module_of(path: str) -> str | None:
    """Return the dotted name under which a file of a layer is imported, or None."""
    stem, suffix = posixpath.splitext(path.removeprefix(PREFIX))
    if suffix == ".so":
        extension = modules.module_name(path)
        stem = posixpath.join(posixpath.dirname(stem), extension.module) if extension else ""
    elif suffix not in {".py", ".pyi"}:
        return None
    name = stem.removesuffix("/__init__").replace("/", ".")
    return name if all(part.isidentifier() for part in name.split(".")) else None


class _Mentions:
    """Tells sources that may refer to one of ``tokens``: fast, so that few need to be parsed.

    Every pattern begins with a word, which makes the search ten times as fast.
    """

    def __init__(self, tokens: Collection[str]) -> None:
        words = [token.encode() for token in sorted(tokens)]
        one = rb"\b(?:%b)\b" % b"|".join(words)
        self._words = words
        self._plain = [
            re.compile(rb"import(?:[^\n]*?|\s*\([^)]*?)%b" % one),
            re.compile(rb"from[ \t]+[\w.]*?%b[\w.]*[ \t]+import" % one),
            re.compile(rb"__all__[^\])]*[\"']%b[\"']" % one),
            *(
                re.compile(rb"W(?:(?<=\.W)[\w.:]*|(?<=[\"']W)[.:][\w.:]+)[\"']".replace(b"W", word))
                for word in words
            ),
        ]
        self._quoted = [b"'%b'" % word for word in words] + [b'"%b"' % word for word in words]

    def are_in(self, content: bytes) -> bool:
        """Whether a source has to be parsed to tell what it refers to."""
        if not any(word in content for word in self._words):
            return False
        if any(pattern.search(content) for pattern in self._plain):
            return True
        return any(word in content for word in self._quoted) and bool(TAKES_NAMES.search(content))


def _folders(path: str) -> Iterator[str]:
    """Yield every folder above a path."""
    while folder := posixpath.dirname(path):
        yield folder
        path = folder


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
