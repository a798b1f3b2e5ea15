"""The digest of everything that decides the bytes of an artifact.

Two machines with the same digest write the same zip; a target whose digest has not changed is not
built again.
"""

from __future__ import annotations

import functools
import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import __version__, cache
from layersmith.assemble import files
from layersmith.base import runtimes, uv
from layersmith.config.models import BytecodeMode
from layersmith.crossbuild import folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.plan import Target

SHIPPING = {"budgets", "regions", "principals", "align", "smoke", "storage", "recipes", "extends"}
"""Settings that do not reach the zip or its manifest, but by what recipes do."""


DECIDING = ("assemble", "audit", "base", "crossbuild", "liteblas", "lock")
"""Rooms whose code decides what is in a layer, or whether it is written at all."""


def of_target(target: Target, lock_digest: str, root: Path, folders: Sequence[str]) -> str:
    """Return the SHA-256 in hex over the inputs of ``target``.

    Args:
        target: What is built.
        lock_digest: SHA-256 of its lock file.
        root: Folder of layers.yaml.
        folders: Its local packages, relative to ``root``.

    Raises:
        BuildError: A local package, or what `files` names, is missing or cannot be read.
    """
    settings = target.settings
    facts = {
        "target": target.stem,
        "lock": lock_digest,
        "settings": settings.model_dump(mode="json", exclude=SHIPPING),
        "packages": packages(folders, root),
        "stubs": {
            name: cache.sha256_folder(target.stub_folder(name, root)) for name in settings.stubs
        },
        "recipes": [use.model_dump(mode="json") for use in target.recipes.uses],
        "files": files.digests(target, root),
        "beside": sorted(files.provided(target, root)),
        "bytecode": has_interpreter(target),
        "tools": tools(target),
        "code": _code_digest(),
    }
    if target.function:
        facts["handler"] = target.function.handler
    return cache.sha256_bytes(json.dumps(facts, sort_keys=True).encode())


def packages(folders: Sequence[str], root: Path) -> dict[str, str]:
    """Return local packages, each with the SHA-256 of its sources.

    Raises:
        BuildError: One of them cannot be read.
    """
    return {path: folder.digest(root / path) for path in folders}


def has_interpreter(target: Target) -> bool:
    """Whether bytecode is wanted and can be compiled on this machine."""
    if target.settings.bytecode is BytecodeMode.NONE:
        return False
    return uv.interpreter(target.runtime.minor) is not None


@functools.cache
def _deflate_version() -> str:
    return version("deflate")


def tools(target: Target) -> dict[str, str]:
    """Return the versions of the tools that decide the bytes."""
    found = {"layersmith": __version__, "deflate": _deflate_version()}
    if target.settings.bytecode is not BytecodeMode.NONE:
        found["bytecode"] = target.runtime.bytecode_tag
    return found


@functools.cache
def _code_digest() -> str:
    """Digest of the code that assembles and judges layers, so that a change builds them anew."""
    rooms = Path(__file__).parents[1]
    sources = sorted(
        path
        for room in DECIDING
        for path in (rooms / room).rglob("*")
        if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts
    )
    # Of the recipes' own folder only the code: what a recipe does to a target is among its facts.
    sources += sorted((rooms / "recipes").glob("*.py"))
    lines = [f"{path.relative_to(rooms)} {cache.sha256_file(path)}" for path in sources]
    if not runtimes.TABLE.is_relative_to(rooms):
        lines.append(f"runtimes {cache.sha256_file(runtimes.TABLE)}")
    return cache.sha256_bytes("\n".join(lines).encode())
