"""Locks, builds and starts every set of sets.toml, and writes docs/compatibility.md.

A run that was ended goes on where it stopped: locks, zips and results stay in the work folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from layersmith import cache, console, process
from layersmith.assemble import manifest
from layersmith.base import runtimes, uv
from layersmith.engine import processes
from layersmith.errors import LayersmithError
from layersmith.prove import layer_zip, runners
from layersmith.prove.models import FunctionSpec
from layersmith.prove.smoke import failures
from layersmith.prove.smoke import layer as smoke_layer
from pydantic import BaseModel

from tests.field import bytecode, document
from tests.field.sets import Choices, FieldSet, Outcome, Plain, Smoke, Start, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layersmith.prove.runners import Runner

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = "arm64"
MEMORY = 3008
"""MB of the function."""

Kept = TypeVar("Kept", bound=BaseModel)


@dataclass
class Field:
    """One run for one runtime.

    Attributes:
        folder: Work folder, with layers.yaml, locks/, dist/ and kept results.
        runtime: The Lambda runtime.
        sets: What is tried.
        choices: Whether the choices of bytecode are measured, too.
        sizes: Whether nothing is started, and only sizes are measured.
    """

    folder: Path
    runtime: runtimes.Runtime
    sets: Sequence[FieldSet]
    choices: bool = False
    sizes: bool = False

    def run(self) -> list[Outcome]:
        """Lock, build and start all sets; return what became of each, in their order."""
        self._write_config()
        unlocked = self._verb("lock")
        unbuilt = self._verb("build")
        with (
            self._runners() as (runner, host),
            console.progress() as display,
            ThreadPoolExecutor(os.cpu_count() or 2) as pool,
        ):
            task = display.add_task("starting", total=len(self.sets))

            def one(chosen: FieldSet) -> Outcome:
                name = self._identifier(chosen)
                found = self._outcome(chosen, unlocked.get(name), unbuilt.get(name), runner, host)
                display.update(task, advance=1, step=chosen.name)
                return found

            return list(pool.map(one, self.sets))

    @contextmanager
    def _runners(self) -> Iterator[tuple[Runner | None, Runner | None]]:
        """Give what starts layers in their runtime, and on this machine; None starts nothing."""
        if self.sizes:
            yield None, None
            return
        with runners.make("docker", self.runtime, ARCHITECTURE) as runner, self._host() as host:
            yield runner, host

    @contextmanager
    def _host(self) -> Iterator[Runner | None]:
        """Give what starts the twins of layers, many times as fast as an emulated container.

        None where this machine has no Python of the runtime.
        """
        with ExitStack() as opened:
            try:
                host = opened.enter_context(runners.make("host", self.runtime, ARCHITECTURE))
            except LayersmithError as problem:
                console.warn(f"no smoke test of what works: {problem.message}")
                yield None
                return
            yield host

    def _identifier(self, chosen: FieldSet) -> str:
        return f"{chosen.name}-{self.runtime.name}-{ARCHITECTURE}"

    def _write_config(self) -> None:
        config = {
            "defaults": {"runtimes": [self.runtime.name], "architectures": [ARCHITECTURE]},
            "layers": {
                one.name: {
                    "description": f"field run: {one.name}",
                    "version": "1.0.0",
                    "requirements": one.requirements,
                    **one.layer,
                }
                for one in self.sets
            },
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "layers.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def _verb(self, verb: str) -> dict[str, str]:
        """Run a verb over all sets, its talk on stderr, and return the errors by target."""
        words: list[str | Path] = [sys.executable, ROOT / "build/layers.py", verb, "--json"]
        done = subprocess.run(words, cwd=self.folder, stdout=subprocess.PIPE, check=False)
        answer: dict[str, Any] = json.loads(done.stdout)
        errors = {one["target"]: _told(one) for one in answer["errors"]}
        if None in errors:
            raise SystemExit(f"{verb}: {errors[None]}")
        return errors

    def _outcome(
        self,
        chosen: FieldSet,
        unlocked: str | None,
        unbuilt: str | None,
        runner: Runner | None,
        host: Runner | None,
    ) -> Outcome:
        layer = self.folder / "dist" / f"{chosen.name}-1.0.0-{self.runtime.name}-{ARCHITECTURE}.zip"
        why = unlocked or unbuilt
        record = json.loads(layer.with_suffix(".json").read_text()) if why is None else None
        outcome = Outcome(
            name=chosen.name,
            requirements=chosen.requirements,
            locked=unlocked is None,
            built=why is None,
            zipped=record["artifact"]["zipped"] if record else None,
            unzipped=record["artifact"]["unzipped"] if record else None,
            why=why,
            refused=chosen.refused,
            plain=self._kept(chosen, "plain", Plain, lambda: self._plain(chosen)),
        )
        if record and runner:
            key = f"start-{record['artifact']['sha256'][:16]}"
            start = self._kept(chosen, key, Start, lambda: _start(chosen, layer, runner))
            # What does not work is proven where it runs: a twin has the libraries of this machine.
            by = host if start.works else runner
            key = f"smoke-{rules_digest()}-{record['artifact']['sha256'][:16]}"
            outcome.start = start
            if by:
                outcome.smoke = self._kept(chosen, key, Smoke, lambda: _smoke(layer, by))
        if record and (self.sizes or (host and self.choices)) and self._measured(outcome):
            key = f"{'bytecode' if host else 'sizes'}-{record['artifact']['sha256'][:16]}"
            outcome.bytecode = self._kept(
                chosen, key, Choices, lambda: self._choices(chosen, layer, host)
            )
        if runner and not (outcome.start and outcome.start.works) and outcome.plain.said is None:
            outcome.plain_start = self._kept(
                chosen, "plain-start", Start, lambda: self._plain_start(chosen, outcome, runner)
            )
        return outcome

    def _kept(
        self, chosen: FieldSet, what: str, kind: type[Kept], make: Callable[[], Kept]
    ) -> Kept:
        """Return a result of an earlier run over the same set, or make it and keep it."""
        digest = cache.sha256_bytes(chosen.model_dump_json(exclude={"refused", "sample"}).encode())
        place = self.folder / "results" / f"{chosen.name}-{digest[:12]}-{what}.json"
        if place.exists():
            return kind.model_validate_json(place.read_text())
        made = make()
        cache.write_text(place, made.model_dump_json())
        return made

    def _plain(self, chosen: FieldSet) -> Plain:
        with tempfile.TemporaryDirectory(prefix="layersmith-plain-") as made:
            site = Path(made, "python")
            try:
                self._install(chosen, site)
            except process.CommandFailed as failed:
                return Plain(said=failed.output[-500:])
            unzipped = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
            return Plain(zipped=_zipped(site), unzipped=unzipped)

    def _measured(self, outcome: Outcome) -> bool:
        """Whether there is a layer that may work, and a plain installation to compare it with."""
        works = self.sizes or (outcome.start is not None and outcome.start.works)
        return works and outcome.plain.zipped is not None

    def _choices(self, chosen: FieldSet, layer: Path, host: Runner | None) -> Choices:
        record = manifest.read(layer.with_suffix(".json"))
        with tempfile.TemporaryDirectory(prefix="layersmith-work-") as made:
            site = Path(made, "python")
            self._install(chosen, site)
            bytecode.plain(site, self.runtime)
            code = _function(chosen, Path(made, "code"))
            return Choices(
                kind=bytecode.kind(record),
                plain=_zipped(site, "*.pyc"),
                choices=bytecode.measure(layer, record, self.runtime, code, host),
            )

    def _install(self, chosen: FieldSet, site: Path) -> None:
        uv.install_wheels(
            site,
            chosen.requirements,
            python_version=self.runtime.python_version,
            platform=uv.python_platform(self.runtime, ARCHITECTURE),
            deps=True,
        )

    def _plain_start(self, chosen: FieldSet, outcome: Outcome, runner: Runner) -> Start:
        if (outcome.plain.unzipped or 0) > runtimes.UNZIPPED_LIMIT:
            return Start(works=False, said="larger than Lambda takes")
        with processes.workspace() as made:
            opt = Path(made, "opt")  # the workspace itself is closed to the function's user
            self._install(chosen, opt / "python")
            return _start(chosen, opt, runner)


def _zipped(site: Path, pattern: str = "*") -> int:
    """Return the bytes of a folder's files in a zip, as `zip -9` compresses them."""
    with tempfile.TemporaryFile() as stream:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in sorted(site.rglob(pattern)):
                if path.is_file():
                    archive.write(path, path.relative_to(site.parent))
        return stream.tell()


def _function(chosen: FieldSet, folder: Path) -> Path:
    """Write the function that does the work of a set."""
    folder.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name("handler.py"), folder)
    (folder / "work.txt").write_text(chosen.work)
    return folder


def _start(chosen: FieldSet, layer: Path, runner: Runner) -> Start:
    """Do the work of a set in the runtime, with a layer at /opt."""
    with processes.workspace() as made:
        opt = layer_zip.unpack([layer], Path(made, "opt"))
        code = _function(chosen, Path(made, "code"))
        spec = FunctionSpec("handler.handler", code, (opt,), memory=MEMORY, timeout=15)
        with runner.start(spec) as function:
            error = function.init.error
            if error is None:
                error = function.invoke({}).error
    return Start(works=error is None, said=str(error)[:500] if error else None)


def rules_digest() -> str:
    """Return a digest of what the verdict follows from, so that kept ones are of the same rules."""
    return cache.sha256_bytes(failures.DATA.read_bytes())[:8]


def _smoke(layer: Path, runner: Runner) -> Smoke:
    """Return the verdict of `smoke` on a layer without any key in layers.yaml."""
    made = manifest.read(layer.with_suffix(".json"))
    found = smoke_layer.prove(smoke_layer.Subject(layer.stem, layer, ARCHITECTURE, made), runner)
    return Smoke(
        green=found.ok,
        by="twin" if found.runner.twin else found.runner.kind,
        optional=len(found.imports.optional),
        said=None if found.ok else found.problems[0][:500],
    )


def _told(error: dict[str, Any]) -> str:
    first, *rest = error["message"].splitlines()
    message = f"{first} {rest[0].strip()}" if first.endswith(":") and rest else first
    return f"{message} ({error['cause'].splitlines()[0]})" if error["cause"] else message


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="nox -s field --", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="try these sets, write no page")
    parser.add_argument("--sample", action="store_true", help="try the sets that CI tries")
    measured = parser.add_mutually_exclusive_group()
    measured.add_argument(
        "--choices",
        action="store_true",
        help="measure the choices of bytecode, too; without it the page keeps what was measured",
    )
    measured.add_argument(
        "--sizes",
        action="store_true",
        help="start nothing: measure sizes, and keep what the page has of works and starts",
    )
    parser.add_argument(
        "--runtime",
        default=runtimes.DEFAULT,
        help=f"Lambda runtime to try (default: {runtimes.DEFAULT})",
    )
    parser.add_argument(
        "--folder", type=Path, default=ROOT / ".field", help="work folder (default: .field)"
    )
    args = parser.parse_args()
    chosen = [
        one
        for one in read()
        if (not args.only or one.name in args.only) and (one.sample or not args.sample)
    ]
    runtime = runtimes.get(args.runtime)
    outcomes = Field(args.folder / runtime.name, runtime, chosen, args.choices, args.sizes).run()
    if not args.only:
        document.write(ROOT / "docs", runtime, outcomes, started=not args.sizes)
    if args.sizes:
        console.success(f"{sum(one.built for one in outcomes)} of {len(outcomes)} sets are built")
        return 0
    wrong = [one for one in outcomes if not one.right]
    for one in wrong:
        said = one.why or (one.start.said if one.start else None) or "built, although it is refused"
        console.error(f"{one.name}: {said}")
    console.success(f"{len(outcomes) - len(wrong)} of {len(outcomes)} sets are right")
    return 8 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
