"""Runs functions in the Lambda runtime with the built layers, by the runners of ``prove``.

The Docker runner runs the ARM64 layers themselves, emulated where the machine is another; the
host runner runs their twins as processes.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.assemble.manifest import Manifest
from layersmith.base import runtimes
from layersmith.engine import emulation
from layersmith.prove import twin

from tests.e2e.rehearsal.functions import Answer, InitError
from tests.e2e.rehearsal.processes import ROOT
from tests.support import clocks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layersmith.prove.runners import Runner

RUNTIME = "python3.13"
NAMES = ("vector-common", "chromadb-vector")
FUNCTION_SECONDS = 300.0
"""Time-out of a function on a quiet machine; emulation is tens of times slower than Lambda."""


def built() -> dict[str, Path]:
    """The zips of the layers in dist/, by name; skips the test where they were not built."""
    found: dict[str, Path] = {}
    for name in NAMES:
        zips = sorted((ROOT / "dist").glob(f"{name}-*-{RUNTIME}-arm64.zip"))
        if not zips:
            pytest.skip(f"dist/ has no {name}: `nox -s build -- --runtime {RUNTIME}` makes it")
        found[name] = zips[-1]
    return found


def twins(zips: Mapping[str, Path], into: Path) -> tuple[Path, ...]:
    """The twins of layers for this machine, as folders."""
    runtime = runtimes.get(RUNTIME)
    return tuple(
        twin.make(
            path,
            Manifest.model_validate_json(path.with_suffix(".json").read_text("utf-8")),
            runtime,
            emulation.host_architecture(),
            into / name,
        )
        for name, path in zips.items()
    )


@dataclass
class RuntimeFunction:
    """A function in the Lambda runtime."""

    instance: Any

    def invoke(self, event: Any) -> Answer:
        """Hand it one event and wait."""
        result = self.instance.invoke(event)
        seconds = result.duration_ms / 1000
        if result.error is not None:
            error = {"errorType": result.error.type, "errorMessage": result.error.message}
            return Answer(error, failed=True, seconds=seconds)
        return Answer(result.payload, failed=False, seconds=seconds)

    def close(self) -> None:
        """Leave nothing behind."""
        self.instance.close()


@dataclass
class RuntimeHost:
    """Runs functions by a runner of ``prove``.

    Attributes:
        runner: An open runner.
        layers: Zips, or folders of twins.
        environment: For every function, over what the template says.
    """

    runner: Runner
    layers: tuple[Path, ...]
    environment: Mapping[str, str]
    started: list[RuntimeFunction] = field(default_factory=list)

    def start(self, name: str, code: Path, environment: Mapping[str, str]) -> RuntimeFunction:
        """Start a function from its unpacked code."""
        from layersmith.prove.models import FunctionSpec

        spec = FunctionSpec(
            "handler.handler",
            code=code,
            layers=self.layers,
            memory=512,
            timeout=clocks.seconds(FUNCTION_SECONDS),
            environment={**environment, **self.environment},
            name=name,
        )
        instance = self.runner.start(spec)
        if not instance.init.ok:
            said = f"{instance.init.error}\n{instance.logs()}"
            instance.close()
            raise InitError(f"{name}: {said}")
        function = RuntimeFunction(instance)
        self.started.append(function)
        return function

    def close(self) -> None:
        """Stop and remove whatever still runs."""
        for function in self.started:
            with contextlib.suppress(Exception):
                function.close()
