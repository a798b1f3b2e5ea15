"""Proves the functions of layers.yaml: each with all its layers and its sample event."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.config import handlers
from layersmith.errors import ConfigError
from layersmith.prove import twin
from layersmith.prove.models import FunctionSpec
from layersmith.prove.reports import FunctionProof

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.config.loader import LoadedConfig
    from layersmith.config.models import Function
    from layersmith.prove.runners.choice import Runner


def prove(
    name: str,
    function: Function,
    layers: Sequence[tuple[Path, Manifest]],
    runner: Runner,
    loaded: LoadedConfig,
) -> FunctionProof:
    """Start a function and send it its sample event; a function that fails is data.

    Args:
        name: Of the function.
        function: What layers.yaml says; it has code and an event.
        layers: Zips and manifests of its layers, in their order.
        runner: An open runner.
        loaded: layers.yaml.

    Raises:
        ConfigError: Its handler or its event is missing, or the event is not valid JSON.
        ProofError: The machine cannot start anything.
    """
    event = _event(name, function, loaded)
    code = loaded.root / str(function.code)
    if missing := handlers.problem(code, function.handler):
        raise _wrong(loaded, name, "handler", missing)
    with tempfile.TemporaryDirectory(prefix="layersmith-function-") as folder:
        spec = FunctionSpec(
            handler=function.handler,
            code=code,
            layers=twin.placed(layers, runner, Path(folder)),
            memory=function.memory,
            timeout=function.timeout,
            name=name,
        )
        with runner.start(spec) as instance:
            answer = instance.invoke(event)
            return FunctionProof(
                function=name,
                layers=list(function.layers),
                init_ms=instance.init.duration_ms,
                duration_ms=answer.duration_ms,
                peak_memory=answer.peak_memory,
                error=answer.error,
                logs=instance.logs()[-4000:] if answer.error else "",
            )


def _event(name: str, function: Function, loaded: LoadedConfig) -> object:
    try:
        return json.loads((loaded.root / str(function.event)).read_bytes())
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
