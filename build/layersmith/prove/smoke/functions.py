"""Proves the functions of layers.yaml: each with all its layers and its sample event."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.errors import ConfigError
from layersmith.prove import twin
from layersmith.prove.models import FunctionSpec
from layersmith.prove.reports import FunctionProof

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.config.models import Function
    from layersmith.prove.runners.choice import Runner

HANDLER = "handler.handler"
"""Where every function of layers.yaml has its entry point: handler() in handler.py."""


def prove(
    name: str,
    function: Function,
    layers: Sequence[tuple[Path, Manifest]],
    runner: Runner,
    root: Path,
) -> FunctionProof:
    """Start a function and send it its sample event; a function that fails is data.

    Args:
        name: Of the function.
        function: What layers.yaml says; it has code and an event.
        layers: Zips and manifests of its layers, in their order.
        runner: An open runner.
        root: Folder that the paths of layers.yaml are relative to.

    Raises:
        ConfigError: Its folder or its event is missing, or the event is not valid JSON.
        ProofError: The machine cannot start anything.
    """
    event = _event(name, function, root)
    code = root / str(function.code)
    if not (code / "handler.py").is_file():
        raise ConfigError(f"functions.{name}: there is no handler.py in {function.code}")
    with tempfile.TemporaryDirectory(prefix="layersmith-function-") as folder:
        spec = FunctionSpec(
            handler=HANDLER,
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


def _event(name: str, function: Function, root: Path) -> object:
    path = root / str(function.event)
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"functions.{name}: the event {function.event} is not there") from None
    except ValueError as problem:
        raise ConfigError(
            f"functions.{name}: {function.event} is not valid JSON", cause=str(problem)
        ) from problem
