"""Folders in which the tool and its peers are started as people start them."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from layersmith.base import uv

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
LAYERS = ROOT / "build" / "layers.py"

WISHED_START = 0.024
"""Seconds of ``python -c pass`` on the machine that the wishes in seconds are of."""

FLOOR = "the interpreter's start"

BASES = ("requests", "httpx", "pydantic", "orjson", "pillow", "jinja2", "pyyaml", "attrs")
MORE = ("certifi", "click", "packaging", "six", "idna", "urllib3")
"""What the layers of a large file ask for, in combinations."""


@dataclass
class Workplace:
    """A folder with a layers.yaml, and a cache of its own in it."""

    root: Path

    def tool(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a verb."""
        return run([sys.executable, LAYERS, *words], self.root)

    def build(self) -> None:
        """Build what is not up to date."""
        self.tool("build", "--quiet")

    def clean(self) -> None:
        """Forget what was built; downloads and bytecode stay."""
        self.remove("dist", "cache/layers")

    def remove(self, *names: str) -> None:
        """Remove folders."""
        for name in names:
            shutil.rmtree(self.root / name, ignore_errors=True)

    def many(self, count: int, distinct: int, runtimes: Sequence[str], **defaults: object) -> None:
        """Write a layers.yaml with many layers of few different requirements.

        Args:
            count: Layers.
            distinct: Different lists of requirements.
            runtimes: For each layer.
            defaults: More settings of all layers.
        """
        sets = [
            [base, *more]
            for size in range(len(MORE))
            for more in itertools.combinations(MORE, size)
            for base in BASES
        ]
        layers = {
            f"layer-{number:04}": {
                "description": f"layer {number}",
                "version": "1.0.0",
                "requirements": sets[number % distinct],
            }
            for number in range(count)
        }
        shared = {"runtimes": list(runtimes), "architectures": ["arm64"], **defaults}
        (self.root / "layers.yaml").write_text(json.dumps({"defaults": shared, "layers": layers}))

    def uv_alone(self, outputs: Path) -> None:
        """Let uv resolve what is different in layers.yaml, on all cores, and nothing else."""
        config = yaml.safe_load((self.root / "layers.yaml").read_text())
        runtimes = config["defaults"]["runtimes"]
        asked = {
            (tuple(layer["requirements"]), runtime)
            for layer in config["layers"].values()
            for runtime in runtimes
        }

        def one(number: int, lines: Sequence[str], runtime: str) -> None:
            folder = outputs / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "requirements.txt").write_text("\n".join(lines))
            words = ("--python-platform", "aarch64-manylinux_2_34", "--only-binary", ":all:")
            version = ("--python-version", runtime.removeprefix("python"))
            made = ("--output-file", "pylock.toml", "--python", sys.executable)
            argv = [uv.program(), "pip", "compile", "--quiet", "requirements.txt"]
            run([*argv, *words, *version, *made], folder)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda pair: one(pair[0], *pair[1]), enumerate(sorted(asked))))


def run(
    command: Sequence[str | Path], cwd: Path, first_on_path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with a cache of the tool beside it."""
    environment = {**os.environ, "LAYERSMITH_CACHE": str(cwd / "cache")}
    if first_on_path:
        environment["PATH"] = f"{first_on_path}:{environment['PATH']}"
    return subprocess.run(
        command, cwd=cwd, env=environment, check=True, capture_output=True, text=True
    )


def start() -> None:
    """Start the interpreter and end it: the floor of every run."""
    run([sys.executable, "-c", "pass"], Path.cwd())
