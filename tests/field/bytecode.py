"""Measures what each choice of bytecode makes of a layer: its size, and the start of its work.

Nothing is locked, downloaded or pruned again: the layer is taken apart, and archived once more with
the functions of the build.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.assemble import archive, bytecode, wheel
from layersmith.assemble.tree import Entry, Tree
from layersmith.base import uv
from layersmith.config.models import BytecodeMode
from layersmith.errors import ProofError
from layersmith.prove import twin
from layersmith.prove.models import FunctionSpec

from tests.field.sets import Choice, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.base.runtimes import Runtime
    from layersmith.prove.runners import Runner

DEFAULT = "unchecked-hash"
CHOICES = {
    "none": (BytecodeMode.NONE, 0),
    DEFAULT: (BytecodeMode.UNCHECKED_HASH, 0),
    "only": (BytecodeMode.ONLY, 0),
    "only, optimize: 2": (BytecodeMode.ONLY, 2),
}
"""Name in the tables -> `bytecode` and `optimize`."""

STARTS = 3
"""Fresh processes a choice, one choice after the other, so that a busy moment meets all of them."""

PATH = re.compile(r"(?:/[\w.@+-]+){2,}")
"""A path of the build machine, which the kept results do not show."""

TIMEOUT = 60.0
MEMORY = 3008
PYTHON = (".py", ".pyc")


def measure(
    layer: Path, manifest: Manifest, runtime: Runtime, code: Path, runner: Runner | None
) -> dict[str, Choice]:
    """Return what every choice makes of a layer that was built with the default.

    Args:
        layer: The zip.
        manifest: Its manifest.
        runtime: Its runtime.
        code: Folder of a function with the handler ``handler.handler`` that does the work.
        runner: What starts it: an open host runner of its runtime; None measures sizes only.
    """
    with tempfile.TemporaryDirectory(prefix="layersmith-choices-") as made:
        folder = Path(made)
        written = write(layer, manifest, runtime, folder)
        sizes = {name: path.stat().st_size for name, path in written.items()}
        if runner is None:
            return {name: Choice(zipped=size) for name, size in sizes.items()}
        try:
            opts = _unpacked(manifest, written, runner, folder)
        except ProofError as problem:
            said = f"not started: {problem}"
            return {name: Choice(zipped=size, said=said) for name, size in sizes.items()}
        found: dict[str, list[float | str]] = {name: [] for name in opts}
        for _ in range(STARTS):
            for name, opt in opts.items():
                if not any(isinstance(one, str) for one in found[name]):
                    found[name].append(_start(runner, code, opt))
    return {name: _choice(sizes[name], found[name]) for name in sizes}


def kind(manifest: Manifest) -> Kind:
    """Return which kind of layer this is."""
    if any(one.name in {"boto3", "botocore"} for one in manifest.dropped):
        return "with boto3"
    return "native" if any(one.native for one in manifest.distributions) else "pure Python"


def write(layer: Path, manifest: Manifest, runtime: Runtime, folder: Path) -> dict[str, Path]:
    """Write the zip of every choice but the default, which the layer itself is."""
    files, compiled = _taken_apart(layer, manifest)
    found = dict.fromkeys(CHOICES, layer)
    for number, (name, (mode, optimize)) in enumerate(CHOICES.items()):
        if name == DEFAULT:
            continue
        tree = Tree({entry.path: entry for entry in files})
        if mode is not BytecodeMode.NONE:
            made = _compiled(files, runtime, optimize) if optimize else compiled
            bytecode.merge(tree, made, mode)
        wheel.correct_records(tree, {})
        found[name] = folder / f"choice-{number}.zip"
        with found[name].open("wb") as stream:
            archive.write(stream, tree.sorted(), workers=1)
    return found


def _taken_apart(layer: Path, manifest: Manifest) -> tuple[list[Entry], list[Entry]]:
    """Return the files of a layer but its bytecode, and that."""
    infos = wheel.directory(layer)
    executable = {info.filename for info in infos if info.external_attr >> 16 & 0o111}
    owners = {record.path: record.distribution for record in manifest.files}
    entries = [
        Entry(path, member, owners[path], path in executable)
        for path, member in wheel.locate(layer, infos).items()
    ]
    compiled = [entry for entry in entries if "/__pycache__/" in entry.path]
    return [entry for entry in entries if "/__pycache__/" not in entry.path], compiled


def _compiled(files: Sequence[Entry], runtime: Runtime, optimize: int) -> list[Entry]:
    """Compile sources by content: the cache then serves all sets that have them."""
    sources = [entry for entry in files if entry.path.endswith(".py")]
    tree = Tree({one.path: one.with_content(one.source.read()) for one in sources})
    bytecode.add(tree, runtime, BytecodeMode.UNCHECKED_HASH, optimize)
    return [entry for entry in tree if entry.path.endswith(".pyc")]


def plain(site: Path, runtime: Runtime) -> None:
    """Compile a plain installation as an installer would, with the target's interpreter.

    The bytecode is never stale, so that its start is as warm as a layer's.
    """
    interpreter = uv.interpreter(runtime.minor)
    assert interpreter is not None
    command: list[str | Path] = [interpreter, "-m", "compileall", "-q"]
    command += ["--invalidation-mode", "unchecked-hash", "-s", site.parent, "-p", "/opt", site]
    # Templates and sources of other Pythons do not compile, which it reports on stdout.
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def _unpacked(
    manifest: Manifest, written: Mapping[str, Path], runner: Runner, folder: Path
) -> dict[str, Path]:
    """Return a folder for every choice, the layer's twin with the Python files of the choice."""
    whole = folder / "twin"
    twin.make(written[DEFAULT], manifest, runner.runtime, runner.architecture, whole)
    found = {DEFAULT: whole}
    for number, (name, path) in enumerate(written.items()):
        if name != DEFAULT:
            found[name] = folder / f"opt-{number}"
            ignored = shutil.ignore_patterns(*(f"*{end}" for end in PYTHON))
            shutil.copytree(whole, found[name], copy_function=os.link, ignore=ignored)
            with zipfile.ZipFile(path) as archived:
                python = [one for one in archived.namelist() if one.endswith(PYTHON)]
                archived.extractall(found[name], python)
    return found


def _start(runner: Runner, code: Path, opt: Path) -> float | str:
    """Return the milliseconds from the start to the end of the work, or the error."""
    spec = FunctionSpec("handler.handler", code, (opt,), memory=MEMORY, timeout=TIMEOUT)
    with runner.start(spec) as function:
        if function.init.error:
            return str(function.init.error)
        answer = function.invoke({})
        return str(answer.error) if answer.error else function.init.duration_ms + answer.duration_ms


def _choice(zipped: int, starts: Sequence[float | str]) -> Choice:
    errors = [one for one in starts if isinstance(one, str)]
    if errors:
        return Choice(zipped=zipped, works=False, said=PATH.sub("...", errors[0])[:500])
    ms = statistics.median(one for one in starts if isinstance(one, float))
    return Choice(zipped=zipped, works=True, ms=round(ms, 1))
