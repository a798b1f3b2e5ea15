"""Makes one target: collect, prune, strip, bytecode; then RECORD, archive and describe.

The two halves are apart because the audit stands between them: `prepare` makes the tree, the
audit judges it, and only then `finish` writes anything.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, TYPE_CHECKING

from layersmith import cache, console
from layersmith.assemble import (
    archive,
    budgets,
    bytecode,
    describe,
    digest,
    files,
    outputs,
    prune,
    strip,
    wheel,
)
from layersmith.assemble import collect as collecting
from layersmith.assemble.bill import sbom
from layersmith.assemble.graph import graph_of_parts
from layersmith.assemble.manifest import (
    Artifact,
    AuditRecord,
    BytecodeRecord,
    FileInput,
    FileRecord,
    FunctionRecord,
    Inputs,
    Manifest,
)
from layersmith.assemble.tree import PREFIX, WheelMember
from layersmith.base import uv
from layersmith.errors import BudgetError, BuildError
from layersmith.lock import build_pins, folders

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from layersmith.assemble.bill.wheel_sboms import Embedded
    from layersmith.assemble.collect import Collected
    from layersmith.assemble.graph import Dependencies
    from layersmith.assemble.outputs import Outputs
    from layersmith.assemble.tree import Tree
    from layersmith.liteblas import LiteBlas
    from layersmith.lock import Lock
    from layersmith.plan import Target
    from layersmith.recipes.models import RecipeUse

SMALLEST_ELF = 64
"""Bytes of an ELF header (System V ABI); smaller files need no look."""


@dataclass(frozen=True)
class LayerJob:
    """A target with what its build needs to know.

    Attributes:
        target: What is built.
        lock: Its lock.
        lock_digest: SHA-256 of the lock file in hex.
        asked: Its requirements as asked for (PEP 508).
        digest: Digest of all inputs.
        root: Folder of layers.yaml.
    """

    target: Target
    lock: Lock
    lock_digest: str
    asked: list[str]
    digest: str
    root: Path


@dataclass
class Prepared:
    """A layer that is ready to be judged and archived."""

    job: LayerJob
    collected: Collected
    graph: Dependencies
    bytecode_note: str | None
    steps: dict[str, int]
    """Unzipped bytes after each step, in order; ``finish`` corrects the files RECORD after them."""


def prepare(job: LayerJob, last_release: Manifest | None, step: Callable[[str], None]) -> Prepared:
    """Make the tree of a layer.

    Args:
        job: What to build.
        last_release: Manifest that ``budgets.growth`` is judged against.
        step: Told what is being done, for the progress display.

    Raises:
        BuildError: A distribution is damaged, does not build, or collides with another; or
            nothing is left.
        BudgetError: The layer cannot fit, whatever its bytecode will be.
    """
    settings = job.target.settings
    if collecting.builds_something(job.lock, job.target):
        step("budgets")
        _check_wheels(job, last_release)
    step("collect")
    collected = collecting.collect(job.lock, job.target, job.root)
    tree = collected.tree
    sizes = {"collect": tree.size + sum(one.size for one in tree.removed)}
    graph = graph_of_parts(collected.parts, job.asked, job.target)
    step("prune")
    prune.finish(tree, settings.prune, job.target.recipes.uses)
    files.refuse_rivals(tree, collected.files, job.target)
    sizes["prune"] = tree.size
    if settings.files:
        step("files")
        _add_files(job, collected)
        sizes["files"] = tree.size
    if not len(tree):
        raise _empty(job)
    compile_sources = partial(
        bytecode.add,
        tree,
        job.target.runtime,
        settings.bytecode,
        settings.optimize,
        recipes=job.target.recipes.uses,
        place=bytecode.TASK if job.target.function else bytecode.LAYERS,
    )
    if settings.lite_blas:
        step("bytecode")
        # Another thread builds the library meanwhile.
        compile_sources(ahead=True)
        step("lite BLAS")
        _replace_blas(library(job), collected)
        sizes["lite BLAS"] = tree.size
    if settings.strip:
        step("strip")
        _strip(tree)
        sizes["strip"] = tree.size
    # Nothing but bytecode is added from here on: what cannot fit fails before it is compiled.
    _check_before(job, tree, graph, last_release)
    step("bytecode")
    note = compile_sources()
    return Prepared(job, collected, graph, note, {**sizes, "bytecode": tree.size})


def finish(
    prepared: Prepared,
    audit: AuditRecord,
    destination: Outputs,
    last_release: Manifest | None,
    step: Callable[[str], None],
) -> Manifest:
    """Archive a layer that passed the audit, and describe it.

    Args:
        prepared: The layer.
        audit: What the audit found.
        destination: The three files to write.
        last_release: Manifest that ``budgets.growth`` is judged against.
        step: Told what is being done.

    Raises:
        BudgetError: The zip is too large; nothing is left under its final name.
        OSError: The folder cannot be written.
    """
    step("SBOM")
    target, tree = prepared.job.target, prepared.collected.tree
    inside = _sboms(prepared)
    step("archive")
    # Not before the audit: it holds the layer against what the wheels' own RECORDs promise.
    wheel.correct_records(tree, prepared.collected.hashes)
    with cache.atomic_writer(destination.zip) as stream:
        written = _archive(stream, tree, target)
        budgets.check(
            target,
            describe.files(tree, written.sizes),
            prepared.graph,
            archive=written.zipped,
            last_release=last_release,
        )
    manifest = _manifest(prepared, audit, written, destination.zip.name)
    outputs.describe_files(destination, manifest, inside)
    return manifest


def _sboms(prepared: Prepared) -> dict[str, Embedded]:
    """Read the bills of materials inside the wheels; say what is wrong with them."""
    parts = prepared.collected.parts
    records = [(part.record or {}).get(sbom.BLAS) for part in parts]
    made = [f"{PREFIX}{record['library']}" for record in records if record]
    found = sbom.embedded(parts, prepared.collected.tree.entries, made)
    for part in parts:
        for problem in found[part.name].problems if part.name in found else ():
            console.warn(
                f"{prepared.job.target.identifier}: the SBOM inside {part.name} {part.version}:"
                f" {problem}"
            )
    return found


def _archive(stream: IO[bytes], tree: Tree, target: Target) -> archive.Written:
    """Write a tree as a zip; the package of a function has at its root what a layer has in python/.

    Returns:
        What was written, with the sizes by the paths of the tree.
    """
    entries = tree.sorted()
    if not target.function:
        return archive.write(stream, entries)
    inner = [replace(entry, path=_zipped(entry.path, target)) for entry in entries]
    written = archive.write(stream, inner)
    sizes = dict(zip((one.path for one in entries), written.sizes.values(), strict=True))
    return replace(written, sizes=sizes)


def library(job: LayerJob) -> LiteBlas:
    """Return the lite BLAS of a layer that asks for it; one that is not cached is built.

    Raises:
        BuildError: It does not build, or the layer has no wheel of numpy.
    """
    from layersmith import liteblas  # noqa: PLC0415 -- few layers ask for it

    target = job.target
    locked = next((one for one in collecting.needed(job.lock, target) if one.name == "numpy"), None)
    if locked is None:
        raise BuildError(
            "lite-blas is set, and there is no numpy in the layer",
            target=target.identifier,
            hint="take lite-blas out of layers.yaml",
        )
    if locked.source is None or not locked.is_wheel:
        raise BuildError(
            "lite-blas replaces a part of numpy's wheel, and numpy is built from its sdist",
            target=target.identifier,
            hint="take lite-blas or `build: {numpy: ...}` out of layers.yaml",
        )
    wheel_file, sdist = (collecting.stored(one, target) for one in locked.files)
    folder = cache.section("liteblas")
    made = liteblas.drop_in(wheel_file, sdist, runtime=target.runtime, cache_dir=folder)
    build_pins.same_compiler(locked, made.record)
    return made


def _replace_blas(made: LiteBlas, collected: Collected) -> None:
    """Put the lite BLAS in the place of the OpenBLAS that numpy's wheel bundles."""
    entry = collected.tree.entries[f"{PREFIX}{made.soname_path_in_wheel}"]
    collected.tree.replace(entry.with_content(made.content))
    numpy = next(part for part in collected.parts if part.name == "numpy")
    numpy.record = {**(numpy.record or {}), "lite-blas": made.record}


def _empty(job: LayerJob) -> BuildError:
    return BuildError(
        "nothing is left in the layer",
        target=job.target.identifier,
        cause="all of it is provided by the runtime, excluded or pruned",
        hint="look at `keep-provided`, `excludes` and `prune` of the layer, or drop the layer",
    )


def _add_files(job: LayerJob, collected: Collected) -> None:
    """Put in what layers.yaml names itself; nobody has to keep it from being pruned."""
    own = files.read(job.target, job.root)
    files.add(collected.tree, own, job.target)
    collected.parts.append(collecting.Part(files.OWNER, files.version(own), "files"))
    collected.files += own


def _check_wheels(job: LayerJob, last_release: Manifest | None) -> None:
    """Refuse a layer whose wheels alone cannot fit, before anything of it is compiled."""
    settings = job.target.settings
    collected = collecting.wheels(job.lock, job.target)
    graph = graph_of_parts(collected.parts, job.asked, job.target)
    prune.prune(collected.tree, settings.prune, job.target.recipes.uses)
    prune.leave_out_descriptions(collected.tree, settings.prune)
    if settings.lite_blas:
        for entry in [one for one in collected.tree if one.distribution == "numpy"]:
            collected.tree.remove(entry.path, "lite-blas")
    try:
        _check_before(job, collected.tree, graph, last_release)
    except BudgetError:
        if not settings.strip:
            raise
        _strip(collected.tree)
        _check_before(job, collected.tree, graph, last_release)


def _check_before(
    job: LayerJob, tree: Tree, graph: Dependencies, last_release: Manifest | None
) -> None:
    """Refuse what cannot fit, whatever its bytecode and the archive will be."""
    mode = budgets.possible_mode(job.target)
    # What the build changed is compressed later; the rest keeps the bytes of its wheel.
    sizes = {
        entry.path: entry.source.compressed_size if isinstance(entry.source, WheelMember) else 0
        for entry in tree
    }
    files = describe.files(tree, sizes)
    budgets.check(job.target, files, graph, last_release=last_release, mode=mode)


def _strip(tree: Tree) -> None:
    for entry in list(tree):
        if describe.is_native(entry) and entry.size >= SMALLEST_ELF:
            content = entry.source.read()
            stripped = strip.strip(content)
            if stripped != content:
                tree.replace(entry.with_content(stripped))


def _recipes(tree: Tree, target: Target) -> list[RecipeUse]:
    """Return the recipes that apply, with the patterns that match nothing."""
    unmatched = prune.unmatched(tree, target.recipes.uses)
    return [
        use.model_copy(update={"unmatched": unmatched.get(use.name, [])})
        for use in target.recipes.uses
    ]


def _manifest(
    prepared: Prepared, audit: AuditRecord, written: archive.Written, filename: str
) -> Manifest:
    job, tree = prepared.job, prepared.collected.tree
    target, settings = job.target, job.target.settings
    compiled = sum(entry.path.endswith(".pyc") for entry in tree)
    return Manifest(
        layer=target.layer,
        version=target.version,
        runtime=target.runtime.name,
        architecture=target.architecture,
        identifier=target.identifier,
        description=settings.description,
        license=settings.license,
        artifact=Artifact(
            filename=filename,
            sha256=written.sha256.hex(),
            code_sha256=base64.b64encode(written.sha256).decode("ascii"),
            zipped=written.zipped,
            unzipped=tree.size,
            files=len(tree),
        ),
        inputs=Inputs(
            digest=job.digest,
            lock=job.lock_digest,
            requirements=job.asked,
            packages=digest.packages(folders(job.lock, target), job.root),
            files=[
                FileInput(
                    path=_zipped(one.path, target),
                    source=one.given,
                    sha256=one.sha256,
                    executable=one.executable,
                )
                for one in prepared.collected.files
                if one.path in tree or f"{one.path}c" in tree
            ],
        ),
        distributions=describe.distributions(
            tree, prepared.collected.parts, prepared.graph.edges, written.sizes
        ),
        dropped=prepared.collected.dropped,
        steps=prepared.steps,
        pruned=describe.pruned(tree),
        kept=[
            one.model_copy(update={"path": _zipped(one.path, target)})
            for one in describe.kept(tree)
        ],
        recipes=_recipes(tree, target),
        bytecode=BytecodeRecord(
            mode=settings.bytecode.value,
            optimize=settings.optimize,
            compiled=compiled,
            interpreter=uv.interpreter_version(target.runtime.minor) if compiled else None,
            note=prepared.bytecode_note,
        ),
        audit=audit,
        tools=digest.tools(target),
        cross={part.name: part.record for part in prepared.collected.parts if part.record},
        files=_records(tree, target, written),
        function=FunctionRecord(handler=target.function.handler, layers=[*target.function.layers])
        if target.function
        else None,
    )


def _records(tree: Tree, target: Target, written: archive.Written) -> list[FileRecord]:
    """Return the record of every file, by its path in the zip."""
    records = describe.files(tree, written.sizes)
    return [one.model_copy(update={"path": _zipped(one.path, target)}) for one in records]


def _zipped(path: str, target: Target) -> str:
    """Return the path in the zip of what has another one in the tree."""
    return path.removeprefix(PREFIX) if target.function else path
