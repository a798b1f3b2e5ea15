"""Proves the functions of layers.yaml: each with all its layers and its sample event."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.assemble import outputs
from layersmith.config import checks
from layersmith.errors import ConfigError
from layersmith.plan import Target
from layersmith.prove import layer_zip, twin
from layersmith.prove.models import FunctionProof, FunctionSpec, ImportsProof, SmokeReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.base.runtimes import Runtime
    from layersmith.config.loader import LoadedConfig
    from layersmith.config.models import Function
    from layersmith.prove.runners import Runner

OPEN = 0o755
"""Mode of a folder that everybody may read."""

TASK = "_task"
"""Folder that stands for /var/task, beside those of layers, which cannot have such a name."""


def prove(
    name: str,
    function: Function,
    layers: Sequence[tuple[Path, Manifest]],
    runner: Runner,
    loaded: LoadedConfig,
    *,
    package: tuple[Path, Manifest] | None = None,
) -> FunctionProof:
    """Start a function and send it its sample event; a function that fails is data.

    Without an event it is only started.

    Args:
        name: Of the function.
        function: What layers.yaml says; it has code.
        layers: Zips and manifests of its layers, in their order.
        runner: An open runner.
        loaded: layers.yaml.
        package: Its own zip and manifest, which it is started from; by default from its code.

    Raises:
        ConfigError: Its handler or its event is missing, or the event is not valid JSON.
        ProofError: The machine cannot start anything, or a zip is damaged.
    """
    event = sample(name, function, loaded)
    code = loaded.root / str(function.code)
    if missing := checks.handler_problem(code, function.handler):
        raise _wrong(loaded, name, "handler", missing)
    with tempfile.TemporaryDirectory(prefix="layersmith-function-") as made:
        folder = Path(made)
        folder.chmod(OPEN)  # a function in a container is another user
        spec = FunctionSpec(
            handler=function.handler,
            code=unpacked(package, runner, folder) if package else code,
            layers=twin.placed(layers, runner, folder),
            memory=function.memory,
            timeout=function.timeout,
            name=name,
        )
        with runner.start(spec) as instance:
            answer = instance.invoke(event) if function.event else None
            error = answer.error if answer else instance.init.error
            return FunctionProof(
                function=name,
                layers=list(function.layers),
                package=package[0].name if package else None,
                init_ms=instance.init.duration_ms,
                duration_ms=answer.duration_ms if answer else None,
                peak_memory=answer.peak_memory if answer else None,
                error=error,
                logs=instance.logs()[-4000:] if error else "",
            )


def layers_of(
    function: Function, loaded: LoadedConfig, dist: Path, runtime: Runtime, architecture: str
) -> list[tuple[Path, Manifest]] | None:
    """Return a function's layers; None where one is not built for this runtime at all.

    Raises:
        BuildError: One is not in ``dist``.
    """
    layers = {name: loaded.config.layers[name] for name in function.layers}
    if any(runtime.name not in settings.runtimes for settings in layers.values()):
        return None
    return outputs.built(
        [Target(name, runtime, architecture, one) for name, one in layers.items()], dist
    )


def report(proof: FunctionProof, manifest: Manifest, runner: Runner, seconds: float) -> SmokeReport:
    """Return the record of a package that was started; its modules are not imported one by one.

    Args:
        proof: How the function went.
        manifest: Of its package.
        runner: What it ran on.
        seconds: How long that took.
    """
    warnings = []
    if runner.facts.twin:
        warnings.append(f"{runner.facts.described}; run it with Docker before it is shipped")
    if proof.duration_ms is None:
        warnings.append("it was only started, as it has no `event`")
    nothing = ImportsProof(modules=0, failed=[], excepted={}, unneeded=[], slowest_ms={})
    return SmokeReport(
        identifier=manifest.identifier,
        runtime=manifest.runtime,
        architecture=manifest.architecture,
        sha256=manifest.artifact.sha256,
        runner=runner.facts,
        imports=nothing,
        problems=[str(proof.error)] if proof.error else [],
        warnings=warnings,
        seconds=round(seconds, 2),
    )


def unpacked(package: tuple[Path, Manifest], runner: Runner, folder: Path) -> Path:
    """Unpack the package of a function, or make its twin, and return what stands for /var/task."""
    into = folder / TASK
    if runner.facts.twin:
        return twin.make(*package, runner.runtime, runner.architecture, into)
    return layer_zip.unpack([package[0]], into)


def sample(name: str, function: Function, loaded: LoadedConfig) -> object:
    """Return the sample event of a function; None where it has none.

    Raises:
        ConfigError: It is missing, or not valid JSON.
    """
    if function.event is None:
        return None
    try:
        return json.loads((loaded.root / function.event).read_bytes())
    except FileNotFoundError:
        raise _wrong(loaded, name, "event", f"there is no file {function.event}") from None
    except ValueError as problem:
        wrong = _wrong(loaded, name, "event", f"{function.event} is not valid JSON")
        wrong.cause = str(problem)
        raise wrong from problem


def _wrong(loaded: LoadedConfig, name: str, key: str, what: str) -> ConfigError:
    """Return the error for a key of a function, with its line."""
    line, column = loaded.position("functions", name, key)
    return ConfigError(
        f"{loaded.path.name}:{line}:{column}: functions.{name}.{key}: {what}",
        file=str(loaded.path),
        line=line,
        column=column,
    )
