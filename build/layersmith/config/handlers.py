"""Finds the handler of a function in its code, as Lambda's runtime client would look for it.

The client splits at the last dot, turns slashes into dots, and imports the module from the
function's folder (awslambdaric, bootstrap.py, `_get_handler`).
"""

from __future__ import annotations

import ast
from itertools import chain
from typing import TYPE_CHECKING

from layersmith import repeats
from layersmith.errors import closest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMPILED = (".pyc", ".so")
"""Suffixes of modules whose names cannot be read from a source."""


def problem(code: Path, handler: str) -> str | None:
    """Return why a handler is not found in a folder; None where it is, or cannot be judged.

    Args:
        code: The folder, which becomes /var/task.
        handler: Such as ``src/app.lambda_handler``, in a form that layers.yaml accepts.
    """
    module, _, name = handler.rpartition(".")
    path = code.joinpath(*module.replace("/", ".").split("."))
    source = next(filter(_is_file, (path / "__init__.py", path.with_name(f"{path.name}.py"))), None)
    if source is None:
        compiled = path.parent.glob(f"{path.name}.*") if path.parent.is_dir() else ()
        if any(one.suffix in COMPILED for one in compiled):
            return None
        return f"there is no {path.relative_to(code).as_posix()}.py in {code.name}{_near(code)}"
    try:
        tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None  # The proof says what the runtime's own Python makes of it.
    names = set(_defined(tree.body))
    if name in names or names & {"*", "__getattr__"}:
        return None
    close = closest(name, names)
    hint = f"; did you mean {module}.{close}?" if close else ""
    return f"{source.relative_to(code).as_posix()} does not define {name}{hint}"


def _is_file(path: Path) -> bool:
    repeats.saw(path)
    return path.is_file()


def _near(code: Path) -> str:
    """Name the functions that look like handlers: those that take an event and a context."""
    found = []
    for path in sorted(chain(code.glob("*.py"), code.glob("*/*.py"))):
        try:
            body = ast.parse(path.read_bytes()).body
        except (OSError, SyntaxError, ValueError):
            continue
        module = path.relative_to(code).with_suffix("").as_posix()
        found += [
            f"{module}.{one.name}"
            for one in body
            if isinstance(one, ast.FunctionDef)
            and len(one.args.args) == 2
            and one.args.args[0].arg in {"event", "_event"}
        ]
    return f"; `handler` may be {' or '.join(found[:3])}" if found else ""


def _defined(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements of a module bind, ``*`` for what an import hides."""
    for one in body:
        match one:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield one.name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in names)
            case _:
                yield from _bound(one)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Yield what assignments bind, and what stands in the blocks of if, try, with and loops."""
    for part in ast.iter_child_nodes(statement):
        if isinstance(part, ast.stmt):
            yield from _defined([part])
        elif isinstance(part, ast.ExceptHandler | ast.match_case):
            yield from _defined(part.body)
        else:
            yield from (
                node.id
                for node in ast.walk(part)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            )
