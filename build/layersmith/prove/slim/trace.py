"""Learns which files of a layer its proofs touch, by running them once under a watch."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.base import modules
from layersmith.errors import ConfigError, ProofError
from layersmith.prove import layer_zip, services
from layersmith.prove.cold import measure
from layersmith.prove.smoke import layer, probing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from layersmith.prove.models import FunctionSpec
    from layersmith.prove.runners import Runner
    from layersmith.prove.runners.instance import Instance
    from layersmith.prove.smoke.layer import Subject

WATCHER = "layersmith_slim.py"
ASK = "layersmith-touched"

_HASHED = re.compile(r"(?<=[^/])-[0-9a-f]{8}(?=(?:\.\d+|-[\d.]+)*\.so(?:\.|$))")
"""The hash that auditwheel puts into the names of libraries: libwebp-b5a3ae8e.so.7.1.8."""

_BYTECODE = re.compile(r"(?:__pycache__/)?(?P<stem>[^/.]+)(?:\.cpython-\d+)?\.pyc$")


def touched(
    subject: Subject, runner: Runner, first_call: Path | None, folder: Path
) -> frozenset[str]:
    """Return the files that the smoke file and the first call of a function touch.

    That every module can be imported is a proof, too, but it touches everything and so says
    nothing of what is needed.

    Args:
        subject: The layer; it has a smoke file.
        runner: An open runner.
        first_call: The function that `coldstart` times, or None.
        folder: An empty folder for this run.

    Returns:
        Paths as :func:`unit` writes them.

    Raises:
        ConfigError: The layer has no smoke file.
        ProofError: The layer does not pass its proofs unchanged.
    """
    if subject.smoke is None:
        raise ConfigError(
            "the layer has no `smoke` file that shows what it must be able to do",
            target=subject.identifier,
            hint="write one (docs/proofs.md): what it does not call may be left out",
        )
    placed = layer.placed(subject, runner, folder)
    root = "/opt"
    if runner.facts.kind == "host":
        opt = layer_zip.unpack(placed, folder / "opt")
        placed, root = (opt,), str(opt.resolve())
    found = _of_smoke_file(subject, runner, placed, root, folder)
    if first_call is not None:
        found |= _of_first_call(first_call, runner, placed, root, folder)
    return frozenset(unit(path) for path in found)


def unit(path: str) -> str:
    """Return the name under which a file is touched or not, whatever machine touched it.

    A module is its source, whether that, its bytecode or both are there; an extension has no
    platform in its name: ``python/numpy/_core/_simd.so``.
    """
    folder, _, name = path.rpartition("/")
    if name.endswith(".pyc"):
        found = _BYTECODE.search(name)
        stem = found["stem"] if found else name.removesuffix(".pyc")
        return f"{folder.removesuffix('/__pycache__')}/{stem}.py"
    return modules.without_tag(path)


def in_zip(paths: Iterable[str], used: Collection[str]) -> list[str]:
    """Return the files of a zip that were touched, sorted.

    Bundled libraries have the hash of their content in their names, and so other names in the
    wheel that a twin has: that hash is of no account.

    Args:
        paths: All paths in the zip.
        used: What was touched, as :func:`unit` writes it.
    """
    known = {_HASHED.sub("", path) for path in used}
    return sorted(path for path in paths if _HASHED.sub("", unit(path)) in known)


def watched(spec: FunctionSpec) -> FunctionSpec:
    """Return a function that is watched; its folder gets the watcher.

    Args:
        spec: The function; its code is a folder of this run's own.
    """
    source = resources.files("layersmith.prove").joinpath("probe", WATCHER)
    (spec.code / WATCHER).write_text(source.read_text("utf-8"))
    return dataclasses.replace(
        spec,
        handler="layersmith_slim.handler",
        environment={**spec.environment, "LAYERSMITH_WATCHED": spec.handler},
    )


def _of_smoke_file(
    subject: Subject, runner: Runner, placed: tuple[Path, ...], root: str, folder: Path
) -> set[str]:
    assert subject.smoke is not None
    code = probing.prepare(folder / "watched-smoke", runner.runtime.minor, subject.smoke)
    wanted = services.wanted_by(subject.smoke)
    with services.serve(wanted, runner.service_host, runner.service_name) as variables:
        spec = watched(probing.specification(code, placed, variables))
        with probing.start(runner, spec) as instance:
            tests = probing.run_smoke_file(instance, subject.smoke.name)
            failed = [test for test in tests if test.outcome == "failed"]
            if failed:
                raise ProofError(
                    f"does not pass its proofs unchanged: {failed[0].name}",
                    target=subject.identifier,
                    cause=failed[0].text[-2000:],
                    hint="fix the layer first; run `python build/layers.py smoke` for details",
                )
            return _ask(instance, root)


def _of_first_call(
    first_call: Path, runner: Runner, placed: tuple[Path, ...], root: str, folder: Path
) -> set[str]:
    code = measure.function(folder / "watched-call", first_call)
    wanted = services.wanted_by(first_call)
    with services.serve(wanted, runner.service_host, runner.service_name) as variables:
        spec = watched(measure.specification(code, placed, variables))
        with probing.start(runner, spec) as instance:
            answer = instance.invoke({"prepare": True})
            if answer.error:
                raise ProofError(f"the first call failed: {answer.error}")
            return _ask(instance, root)


def why_first_call_fails(first_call: Path, subject: Subject, runner: Runner) -> str | None:
    """Start the function that `coldstart` times; return why it failed, or None."""
    with tempfile.TemporaryDirectory(prefix="layersmith-call-") as name:
        folder = Path(name)
        placed = layer.placed(subject, runner, folder)
        code = measure.function(folder / "call", first_call)
        wanted = services.wanted_by(first_call)
        with services.serve(wanted, runner.service_host, runner.service_name) as variables:
            spec = measure.specification(code, placed, variables)
            with runner.start(spec) as instance:
                if instance.init.error:
                    return f"{instance.init.error}\n{instance.logs()[-2000:]}"
                answer = instance.invoke({"prepare": True})
                return f"{answer.error}\n{instance.logs()[-2000:]}" if answer.error else None


def _ask(instance: Instance, root: str) -> set[str]:
    answer = instance.invoke({"op": ASK, "root": root})
    if answer.error:
        raise ProofError(f"the runtime did not report which files it used: {answer.error}")
    return {str(path) for path in answer.payload["files"]}
