"""Finds libraries that Python code loads by name: ctypes' find_library and CDLL, cffi's dlopen.

No DT_NEEDED tells of them, so a wheel of pure Python can need half a desktop. What is looked for
are constants: in the call, in a call of a function of the same module that makes it, and names with
``.so`` anywhere in such a module.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from layersmith import cache
from layersmith.assemble import wheel as wheels
from layersmith.assemble.bill import bundled
from layersmith.assemble.tree import WheelMember, stored_wheel
from layersmith.audit import policy
from layersmith.audit.findings import Finding, Severity
from layersmith.audit.packages import TESTS
from layersmith.base import legacy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from layersmith.audit.content import Content

TABLE = Path(__file__).with_name("by_name.toml")

LOADERS = frozenset({"find_library", "CDLL", "PyDLL", "LoadLibrary", "dlopen"})
"""Functions of ctypes, ctypes.util and cffi that load a library, or find the file of one."""

MENTIONED = re.compile(rb"find_library|CDLL|PyDLL|LoadLibrary|dlopen")

SHORT_STRING = re.compile(rb"[zZ\xfa\xda](.)", re.DOTALL)
"""Code and length of a short string in marshal's format (CPython, Python/marshal.c)."""

SONAME = re.compile(r"^lib(?P<stem>[\w.+-]+?)\.so(?:\.\d+)*$")
"""Name of a library for Linux without a folder; one with a folder is looked for elsewhere."""

OTHER_SYSTEM = re.compile(r"\.(?:dll|dylib|framework)$", re.IGNORECASE)
"""Names of files that only Windows or macOS load."""

EXAMPLES = TESTS | {"examples", "_examples", "example", "docs"}
"""Folders whose code no function runs."""

PLATFORM = {"platform": "linux", "name": "posix", "system": "Linux"}
"""What sys.platform, os.name and platform.system() are on Lambda."""


@dataclass
class Wanted:
    """A library that code loads by name.

    Attributes:
        names: Names it is tried under, without ``lib`` and ``.so``; those of files first.
        soname: Name of its file for Linux, where the code has it.
    """

    names: list[str]
    soname: str | None


def check(
    content: Content, known: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[Finding]:
    """Yield the libraries that are loaded by name and that would not be found.

    Args:
        content: The layer.
        known: Distribution to the libraries that its recipe names, each with what brings it;
            sources may put their names together.
    """
    said: set[tuple[str | None, str]] = set()
    for path in content.files:
        for wanted in _loaded(content, path):
            owner = content.owner(path)
            key = (owner, wanted.names[0])
            if key in said or _there(content, wanted.names):
                continue
            if not _of_extra(content, owner, wanted.names):
                said.add(key)
                yield _missing(content, path, wanted)
    for distribution, libraries in (known or {}).items():
        for soname, brings in libraries.items():
            stems = _stems([soname]) or [soname]
            if (distribution, stems[0]) not in said and not _there(content, stems):
                yield _named_by_recipe(content, distribution, soname, brings)


def _named_by_recipe(content: Content, distribution: str, soname: str, brings: str) -> Finding:
    return Finding(
        code="LIBRARY-MISSING",
        severity=Severity.WARNING,
        distribution=distribution,
        what=f"{distribution} loads {soname} by name, and neither the layer nor"
        f" {content.runtime.name} has it ({brings})",
        cause="the recipe of the distribution names it: it comes from the system, not from a wheel",
        next=f"put {soname} and what it needs into lib/ of a layer, or accept the finding "
        "if that code is never used",
    )


def _loaded(content: Content, path: str) -> list[Wanted]:
    if not path.endswith((".py", ".pyc")) or "/__pycache__/" in path:
        return []
    if EXAMPLES.intersection(path.lower().split("/")[:-1]):
        return []
    source = content.files[path].source
    if path.endswith(".py") and isinstance(source, WheelMember) and stored_wheel(source):
        return _of_wheel(source.wheel).get(source.offset, [])
    raw = source.read()
    if not MENTIONED.search(raw):
        return []
    if path.endswith(".py"):
        return libraries(legacy.decode(raw))
    return _merged([text] for text in _constants(raw))


@functools.cache
def _of_wheel(path: Path) -> dict[int, list[Wanted]]:
    """Return what each source in a wheel of the store loads, by where its bytes begin there.

    To read all sources of a layer takes a fifth of a build whose wheels are there already, so the
    few that load something are cached under the wheel's SHA-256.
    """
    cached = (
        cache.cache_root()
        / "by-name"
        / cache.reader_digest(Path(__file__), TABLE)
        / f"{path.parent.name}.json"
    )
    try:
        said: list[Any] = json.loads(cached.read_bytes())
        return {offset: [Wanted(*one) for one in loaded] for offset, loaded in said}
    except (OSError, ValueError, TypeError):
        found = {}
        for name, member in wheels.locate(path, wheels.directory(path)).items():
            raw = member.read() if name.endswith(".py") else b""
            if MENTIONED.search(raw) and (loaded := libraries(legacy.decode(raw))):
                found[member.offset] = loaded
        listed = [(at, [(one.names, one.soname) for one in all_]) for at, all_ in found.items()]
        cache.write_text(cached, json.dumps(listed))
        return found


def _constants(code: bytes) -> Iterator[str]:
    """Yield the names of libraries among the short strings of bytecode (marshal, TYPE_SHORT_ASCII).

    Sources that are gone (`bytecode: only`) tell no more: bytecode of another Python cannot be
    read, and the length of a string stands before it.
    """
    for found in SHORT_STRING.finditer(code):
        text = code[found.end() : found.end() + found[1][0]]
        if SONAME.match(name := text.decode("latin-1")):
            yield name


def libraries(source: str) -> list[Wanted]:
    """Return the libraries that a module loads by name on Linux.

    Args:
        source: Text of the module; what is not Python loads nothing.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    nodes = list(_on_linux(tree))
    loaders = LOADERS | {
        node.name
        for node in nodes
        if isinstance(node, ast.FunctionDef)
        and node.args.args + ([node.args.vararg] if node.args.vararg else [])
        and any(_called(inner) in LOADERS for inner in ast.walk(node))
    }
    groups = [
        [text for argument in call.args for text in _given(argument)]
        for call in nodes
        if isinstance(call, ast.Call) and _called(call) in loaders
    ]
    groups += [[text] for text in map(_text, nodes) if text and SONAME.match(text)]
    return _merged(groups)


def _merged(groups: Iterable[list[str]]) -> list[Wanted]:
    """Return each library once, with all its names."""
    found: list[Wanted] = []
    for group in groups:
        names = _stems(group)
        if not names:
            continue
        soname = next(filter(SONAME.match, group), None)
        known = next((one for one in found if not set(one.names).isdisjoint(names)), None)
        if known is None:
            found.append(Wanted(names, soname))
        else:
            known.names += [name for name in names if name not in known.names]
            known.soname = max(known.soname or "", soname or "", key=len) or None
    return found


def _stems(texts: list[str]) -> list[str]:
    files = [found["stem"] for text in texts if (found := SONAME.match(text))]
    plain = [
        text.removeprefix("lib")
        for text in texts
        if re.fullmatch(r"[\w.+-]+", text)
        and not SONAME.match(text)
        and not OTHER_SYSTEM.search(text)
    ]
    return [one for one in dict.fromkeys([*files, *plain]) if one not in table().other_systems]


def _on_linux(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and what is below it, without branches for other systems."""
    yield node
    for name, value in ast.iter_fields(node):
        if isinstance(node, ast.If | ast.IfExp) and _skips(node.test, name):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _on_linux(child)


def _skips(test: ast.expr, block: str) -> bool:
    return block in {"body", "orelse"} and _holds(test) is (block == "orelse")


def _holds(test: ast.expr) -> bool | None:
    """Return what a question about the platform is answered on Lambda; None for other questions."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _holds(test.operand)
        return None if inner is None else not inner
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Attribute):
        actual = _actual(test.func.value)
        if test.func.attr == "startswith" and actual and test.args:
            return any(actual.startswith(text) for text in _texts(test.args[0]))
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        actual, said = _actual(test.left), _texts(test.comparators[0])
        if actual and said and isinstance(test.ops[0], ast.Eq | ast.In):
            return actual in said
        if actual and said and isinstance(test.ops[0], ast.NotEq | ast.NotIn):
            return actual not in said
    return None


def _actual(node: ast.expr) -> str | None:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return PLATFORM["system"] if node.func.attr == "system" else None
    if isinstance(node, ast.Attribute) and node.attr in {"platform", "name"}:
        owner = getattr(node.value, "id", "")
        return PLATFORM[node.attr] if owner in {"sys", "os"} else None
    return None


def _texts(node: ast.AST) -> list[str]:
    return [text for text in map(_text, ast.walk(node)) if text]


def _given(argument: ast.expr) -> list[str]:
    """Return the constants of an argument, which may be a list of names; no parts of a path."""
    if isinstance(argument, ast.Tuple | ast.List):
        return [text for one in argument.elts for text in _given(one)]
    text = _text(argument)
    return [text] if text else []


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _called(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    name: str | None = getattr(node.func, "attr", getattr(node.func, "id", None))
    return name


def _there(content: Content, names: list[str]) -> bool:
    rules = policy.of(content.runtime, content.architecture)
    known = {path.rsplit("/", 1)[-1] for path in content.files if ".so" in path}
    known |= rules.libraries | set(content.beside)
    return any(one.startswith((f"lib{name}.so", f"{name}.so")) for one in known for name in names)


def _of_extra(content: Content, owner: str | None, names: list[str]) -> bool:
    """Whether an extra brings modules that the library is linked to, as psycopg[binary] does.

    Its wheel bundles the library under a name that nobody looks for; the modules take the place of
    those that would.
    """
    distribution = content.distributions.get(owner or "")
    offered = {
        canonicalize_name(found[0])
        for line in (distribution.requires if distribution else ())
        if "extra" in line and (found := re.match(r"[\w.-]+", line))
    }
    wanted = {f"lib{name}" for name in names}
    return any(
        bundled.HASHED.search(path)
        and bundled.stem(path) in wanted
        and content.owner(path) in offered
        for path in content.files
        if ".so" in path
    )


def _missing(content: Content, path: str, wanted: Wanted) -> Finding:
    known = table().libraries
    row: dict[str, str] = next((known[name] for name in wanted.names if name in known), {})
    soname = wanted.soname or row.get("soname") or f"lib{wanted.names[0]}.so"
    systems = (("amazon", content.runtime.system.title), ("debian", "Debian"))
    packages = [f"{row[key]} of {system}" for key, system in systems if key in row]
    brings = f" (package {', '.join(packages)})" if packages else ""
    incidental = soname in policy.of(content.runtime, content.architecture).incidental
    return Finding(
        code="LIBRARY-MISSING",
        severity=Severity.WARNING,
        path=path,
        distribution=content.owner(path),
        what=f"{path} loads {soname} by name, and "
        + (
            "nobody promises the copy of the base image to functions"
            if incidental
            else f"neither the layer nor {content.runtime.name} has it"
        )
        + brings,
        cause="the distribution takes the library from the system, and its wheel does not bring it",
        next=f"put {soname} and what it needs into lib/ of a layer, or accept the finding "
        "if that code is never used",
    )


@dataclass(frozen=True)
class KnownLibraries:
    """What by_name.toml says.

    Attributes:
        libraries: Name without ``lib`` and ``.so`` -> soname and the packages that bring it.
        other_systems: Names that are asked for on Windows or macOS only.
    """

    libraries: dict[str, dict[str, str]]
    other_systems: frozenset[str]


@functools.cache
def table() -> KnownLibraries:
    """Return what is known of libraries that code loads by name."""
    found = tomllib.loads(TABLE.read_text("utf-8"))
    return KnownLibraries(found["libraries"], frozenset(found["other-systems"]))
