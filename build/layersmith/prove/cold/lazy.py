"""Finds the imports of a function's own code that its first invocation does without.

Each import that can move is moved, in a copy, to the statements that use it. One start with the
sample event shows which of them are made all the same; what is not is measured, each alone and all
together, in turns with the unchanged function.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith.console import counted
from layersmith.errors import ConfigError, ProofError
from layersmith.prove import twin
from layersmith.prove.cold import bill, deferring, measure
from layersmith.prove.cold.models import LazyImport, LazyReport, Saved
from layersmith.prove.models import FunctionSpec
from layersmith.prove.smoke import functions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.config.loader import LoadedConfig
    from layersmith.config.models import Function
    from layersmith.prove.cold.deferring import OwnImport
    from layersmith.prove.cold.models import ImportState, Variant
    from layersmith.prove.runners import Runner

FUNCTION = """\
import importlib
{watch}
_module = importlib.import_module({module!r})


def handler(event, context):
    answer = getattr(_module, {name!r})(event, context)
    return {returned}
"""


@dataclass(frozen=True)
class LazyFunction:
    """A function that is looked at.

    Attributes:
        name: In layers.yaml.
        settings: What layers.yaml says; it has code.
        loaded: layers.yaml.
        layers: Zips and manifests of its layers.
        package: Its own zip and manifest, where it has one.
    """

    name: str
    settings: Function
    loaded: LoadedConfig
    layers: Sequence[tuple[Path, Manifest]]
    package: tuple[Path, Manifest] | None = None

    @property
    def code(self) -> Path:
        """The folder of its own code."""
        return self.loaded.root / str(self.settings.code)


@dataclass
class MovedCopies:
    """Makes copies of a function in which imports are moved.

    Attributes:
        function: The function.
        runner: An open runner.
        folder: Where copies are made.
        event: Its sample event.
        layers: What stands for its layers.
        task: What stands for /var/task, unchanged.
        files: Modules with imports that can move. Every copy has them written anew, so that all are
            compiled alike.
    """

    function: LazyFunction
    runner: Runner
    folder: Path
    event: object
    layers: tuple[Path, ...]
    task: Path
    files: Sequence[str]
    _count: int = field(default=0)

    def startable(self, name: str, which: Sequence[OwnImport]) -> measure.Startable:
        """Return a copy that can be measured."""
        return measure.Startable(name, self._spec(which), event=self.event)

    def observed(self, which: Sequence[OwnImport]) -> dict[OwnImport, ImportState]:
        """Start a copy once, and return who imports what was moved, if anybody does.

        Raises:
            ProofError: It does not start, or does not answer.
        """
        seen = self._seen(which)
        states: dict[OwnImport, ImportState] = dict.fromkeys(which, "waits")
        for number in seen["call"]:
            states[which[number]] = "init" if number in seen["init"] else "first-call"
        return states

    def loaded(self) -> set[str]:
        """Start the function unchanged, and return which of its files were imported.

        Raises:
            ProofError: It does not start, or does not answer.
        """
        return set(self._seen([])["files"])

    def _seen(self, which: Sequence[OwnImport]) -> dict[str, Any]:
        with self.runner.start(self._spec(which, watch=True)) as instance:
            seen: dict[str, Any] = measure.answer(instance, self.event).payload["answer"]
            return seen

    def _spec(self, which: Sequence[OwnImport], *, watch: bool = False) -> FunctionSpec:
        self._count += 1
        made = measure.function(self.folder / f"copy-{self._count}", None)
        hidden = None if self.function.package else shutil.ignore_patterns(".*")
        shutil.copytree(self.task, made, symlinks=True, ignore=hidden, dirs_exist_ok=True)
        settings = self.function.settings
        for file in self.files:
            mine = [(number, one) for number, one in enumerate(which) if one.file == file]
            marks = [number for number, _ in mine] if watch else ()
            source = (self.function.code / file).read_text("utf-8")
            text = deferring.moved(source, [one for _, one in mine], marks)
            text += f"__import__({deferring.SEEN!r}).files.add({file!r})\n" if watch else ""
            _write(made / file, text)
        module, _, name = settings.handler.rpartition(".")
        seen = f"import {deferring.SEEN}\n" if watch else ""
        returned = "{'init': _init, 'call': sorted(SEEN.used), 'files': sorted(SEEN.files)}"
        text = FUNCTION.format(
            watch=seen,
            module=module.replace("/", "."),
            name=name,
            returned=returned.replace("SEEN", deferring.SEEN) if watch else "answer",
        )
        if watch:
            (made / f"{deferring.SEEN}.py").write_text("used = set()\nfiles = set()\n")
            text = text.replace("\n\n\n", f"\n_init = sorted({deferring.SEEN}.used)\n\n\n", 1)
        (made / f"{bill.FUNCTION}.py").write_text(text)
        return FunctionSpec(
            handler="layersmith_cold.handler",
            code=made,
            layers=self.layers,
            memory=bill.WHOLE,
            timeout=max(settings.timeout, measure.TIMEOUT),
            name=self.function.name,
        )


def propose(
    function: LazyFunction,
    runner: Runner,
    starts: int,
    price: bill.Price | None = None,
    show: Callable[..., None] = lambda *_: None,
) -> LazyReport:
    """Return the imports of a function's own code, and what those that can wait would save.

    Args:
        function: The function.
        runner: An open runner.
        starts: Fresh processes a variant.
        price: What Lambda takes; without one nothing is priced.
        show: Told the phase.

    Raises:
        ConfigError: It has no sample event, or a module of it is not valid Python.
        ProofError: It does not start unchanged, or does not answer.
    """
    settings = function.settings
    if settings.event is None:
        raise ConfigError(
            f"the function {function.name} has no sample event",
            cause="what the first invocation needs is only seen when there is one",
            hint=f"name a JSON file under functions.{function.name}.event",
        )
    imports = deferring.find(function.code)
    with tempfile.TemporaryDirectory(prefix="layersmith-lazy-") as made:
        folder = Path(made)
        folder.chmod(functions.OPEN)  # a function in a container is another user
        copies = _copies(function, runner, folder, imports)
        show("watching the first invocation")
        unused = set(copies.files) - copies.loaded()
        imports = [one for one in imports if one.file not in unused]
        states, failed = _states(copies, [one for one in imports if not one.stays])
        waiting = [one for one, state in states.items() if state == "waits"]
        variants = [copies.startable("unchanged", ())]
        variants += [copies.startable(one.place, [one]) for one in waiting]
        if waiting:
            variants.append(copies.startable("together", waiting))
        notes = [f"{file} is not imported until the first answer" for file in sorted(unused)]
        notes += _add_lazy(copies, variants)
        show("measuring starts", f"of {counted(len(variants), 'variant')}")
        timed = measure.in_turns(variants, runner, starts)
    found = {one.name: _saved(one, timed[0], settings.memory, price) for one in timed[1:]}
    zips = [*function.layers, *([function.package] if function.package else [])]
    return LazyReport(
        function=function.name,
        runtime=runner.runtime.name,
        architecture=runner.architecture,
        memory=settings.memory,
        event=settings.event,
        zips={manifest.layer: manifest.artifact.sha256 for _, manifest in zips},
        runner=runner.facts,
        emulated=not runner.emulation.native,
        starts=starts,
        unchanged=timed[0],
        imports=[
            LazyImport(
                file=one.file,
                line=one.line,
                statement=one.statement,
                state=states.get(one, "stays"),
                why=failed.get(one, one.stays),
                saved=found[one.place] if one in waiting else None,
            )
            for one in imports
        ],
        together=found.get("together"),
        interpreter=found.get("interpreter"),
        notes=notes,
        currency=price.currency if price else "",
    )


def _copies(
    function: LazyFunction, runner: Runner, folder: Path, imports: Sequence[OwnImport]
) -> MovedCopies:
    """Return a function whose imports can be moved, in copies below a folder."""
    package = function.package
    return MovedCopies(
        function=function,
        runner=runner,
        folder=folder,
        event=functions.sample(function.name, function.settings, function.loaded),
        layers=twin.placed(function.layers, runner, folder),
        task=functions.unpacked(package, runner, folder) if package else function.code,
        files=sorted({one.file for one in imports if not one.stays}),
    )


def _states(
    copies: MovedCopies, movable: Sequence[OwnImport]
) -> tuple[dict[OwnImport, ImportState], dict[OwnImport, str]]:
    """Return who imports what can move, and why some cannot after all."""
    failed: dict[OwnImport, str] = {}
    if not movable:
        return {}, failed
    try:
        return copies.observed(movable), failed
    except ProofError:
        for one in movable:
            try:
                copies.observed([one])
            except ProofError as problem:
                failed[one] = problem.message
    states = copies.observed([one for one in movable if one not in failed])
    return states | dict.fromkeys(failed, "fails"), failed


def _add_lazy(copies: MovedCopies, variants: list[measure.Startable]) -> list[str]:
    """Add the interpreter's own lazy imports to the variants, or return why not."""
    runtime = copies.runner.runtime
    if runtime.minor < measure.LAZY_SINCE:
        has = f"{runtime.name} has none, python3.{measure.LAZY_SINCE} has"
        return [f"lazy imports of the interpreter itself are not tried: {has}"]
    spec = copies.startable("interpreter", ()).spec
    lazy = replace(spec, environment=measure.LAZY)
    try:
        with copies.runner.start(lazy) as instance:
            measure.answer(instance, copies.event)
    except ProofError as problem:
        named = "=".join(*measure.LAZY.items())
        return [f"it does not run with {named}: {problem.message}"]
    variants.append(measure.Startable("interpreter", lazy, event=copies.event))
    return []


def _saved(changed: Variant, unchanged: Variant, memory: int, price: bill.Price | None) -> Saved:
    million = bill.cheaper(changed, unchanged, memory, price) if price else None
    return Saved.of(changed, unchanged).model_copy(update={"million": million})


def _write(path: Path, text: str) -> None:
    """Write a module of a copy, and remove bytecode that would hide it."""
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()
    path.with_suffix(".pyc").unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")
