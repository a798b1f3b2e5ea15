"""Builds targets: what is up to date is left, what the cache holds is placed, the rest is made.

It stands above the rooms and calls them in the order of the way: lock, assemble, measure.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from layersmith import cache, console, lock, process
from layersmith.assemble import budgets, collect, describe, digest, files, layer, outputs
from layersmith.assemble import manifest as manifests
from layersmith.assemble.layer import LayerJob
from layersmith.assemble.outputs import Outputs
from layersmith.audit import judge
from layersmith.base import versions
from layersmith.errors import BuildError, LayersmithError
from layersmith.lock import inputs, wheelstore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.progress import Progress, TaskID

    from layersmith.assemble.manifest import Manifest
    from layersmith.plan import Target

Status = Literal["built", "cached", "unchanged", "failed"]


@dataclass(frozen=True)
class BuildResult:
    """What became of a target.

    Attributes:
        target: The target.
        status: ``built``, ``cached`` (placed from the cache), ``unchanged`` or ``failed``.
        seconds: Wall-clock time of its build.
        manifest: Its manifest, unless it failed.
        error: Why it failed.
    """

    target: Target
    status: Status
    seconds: float = 0.0
    manifest: Manifest | None = None
    error: LayersmithError | None = None


@dataclass
class Build:
    """One run over several targets.

    Attributes:
        root: Folder of layers.yaml.
        dist: Folder for the artifacts.
        baseline: Folder with the manifests of the last release, for ``budgets.growth``.
        force: Build even what is up to date.
        quiet: Show no progress.
    """

    root: Path
    dist: Path
    baseline: Path | None = None
    force: bool = False
    quiet: bool = False
    _shown: dict[str, TaskID] = field(default_factory=dict)

    def run(self, targets: Sequence[Target]) -> list[BuildResult]:
        """Build targets in parallel and return a result for each, in their order."""
        results: dict[str, BuildResult] = {}
        with console.progress(quiet=self.quiet) as display:
            jobs = self._fetched(self._wanted(targets, results), results, display)
            for job in jobs:
                name = job.target.identifier
                self._shown[name] = display.add_task(name, total=None, step="waiting")
            with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
                for result in pool.map(lambda job: self._one(job, display), jobs):
                    results[result.target.identifier] = result
        return [results[target.identifier] for target in targets]

    def _wanted(self, targets: Sequence[Target], results: dict[str, BuildResult]) -> list[LayerJob]:
        """Return what has to be built; the rest gets its result here."""
        jobs = []
        for target in targets:
            try:
                job = self._job(target)
                done = self._up_to_date(job)
            except LayersmithError as problem:
                done = _failed(target, problem)
            if done:
                results[target.identifier] = done
            else:
                jobs.append(job)
        return jobs

    def _job(self, target: Target) -> LayerJob:
        locked = lock.check(target, self.root)
        lock_digest = cache.sha256_file(lock.lock_path(target, self.root))
        return LayerJob(
            target=target,
            lock=locked,
            lock_digest=lock_digest,
            asked=inputs.collect(target, self.root).requirements,
            digest=digest.of_target(target, lock_digest, self.root),
            root=self.root,
        )

    def _up_to_date(self, job: LayerJob) -> BuildResult | None:
        """Return a result without building, from dist/ or from the cache, if that is right."""
        if self.force:
            return None
        here = Outputs.of(job.target, self.dist)
        manifest, status = outputs.current(here, job.digest), "unchanged"
        if manifest is None:
            cached = Outputs.of(job.target, outputs.cache_folder(job.digest))
            manifest, status = outputs.current(cached, job.digest), "cached"
            if manifest is None:
                return None
            self._judge(job, manifest)
            outputs.place(cached, here)
        else:
            self._judge(job, manifest)
        return BuildResult(
            job.target, "unchanged" if status == "unchanged" else "cached", 0.0, manifest
        )

    def _judge(self, job: LayerJob, manifest: Manifest) -> None:
        """Judge budgets anew: they may have changed since, and are no part of the inputs."""
        graph = describe.graph_of(manifest)
        budgets.check_unzipped(
            job.target, {dist.name: dist.unzipped for dist in manifest.distributions}, graph
        )
        budgets.check_zipped(
            job.target,
            manifest.artifact.zipped,
            {dist.name: dist.zipped for dist in manifest.distributions},
            graph,
            self._last_release(job.target),
        )

    def _fetched(
        self, jobs: list[LayerJob], results: dict[str, BuildResult], display: Progress
    ) -> list[LayerJob]:
        """Download what any target lacks, each file once; return the jobs that have all."""
        lacking: dict[str, list[wheelstore.Download]] = {}
        for job in list(jobs):
            try:
                lacking[job.target.identifier] = self._lacking(job)
            except LayersmithError as problem:
                results[job.target.identifier] = _failed(job.target, problem)
                jobs.remove(job)
        downloads = {one.sha256: one for files in lacking.values() for one in files}
        if not downloads:
            return jobs
        console.info(f"downloading {len(downloads)} files")
        task = display.add_task("download", total=len(downloads), step="")
        failed = wheelstore.fetch(
            downloads.values(),
            done=lambda one: display.update(task, advance=1, step=one.filename),
        )
        display.remove_task(task)
        for job in list(jobs):
            problems = [failed.get(one.sha256) for one in lacking[job.target.identifier]]
            if first := next(filter(None, problems), None):
                results[job.target.identifier] = _failed(job.target, first)
                jobs.remove(job)
        return jobs

    def _lacking(self, job: LayerJob) -> list[wheelstore.Download]:
        missing = collect.missing(job.lock, job.target)
        if not missing:
            return []
        urls = lock.urls(job.lock, job.target, root=self.root)
        return [
            wheelstore.Download(entry.sha256, urls[entry.sha256][0], entry.filename)
            for entry in missing
        ]

    def _one(self, job: LayerJob, display: Progress) -> BuildResult:
        name = job.target.identifier
        task = self._shown[name]
        started = time.monotonic()
        try:
            with process.labelled(name):
                manifest = self._make(job, lambda step: display.update(task, step=step))
            result = BuildResult(job.target, "built", time.monotonic() - started, manifest)
        except LayersmithError as problem:
            result = _failed(job.target, problem, time.monotonic() - started)
        except OSError as problem:
            error = outputs.cannot_write(self.dist, problem)
            result = _failed(job.target, error, time.monotonic() - started)
        display.update(task, total=1, completed=1, step=result.status)
        return result

    def _make(self, job: LayerJob, step: Callable[[str], None]) -> Manifest:
        prepared = layer.prepare(job, step)
        step("audit")
        parts = prepared.collected.parts
        report = judge.audit_target(
            prepared.collected.tree,
            job.target,
            requirements={part.name for part in parts}.intersection(prepared.graph.roots),
            removed={removed.path: removed.rule for removed in prepared.collected.tree.removed},
            recorded={part.name: part.wheel.hashes for part in parts if part.wheel},
            beside=files.provided(job.target, job.root),
        )
        report.raise_for_errors()
        folder = outputs.cache_folder(job.digest)
        cached = Outputs.of(job.target, folder)
        manifest = layer.finish(
            prepared, report.record(), cached, self._last_release(job.target), step
        )
        outputs.place(cached, Outputs.of(job.target, self.dist))
        return manifest

    def _last_release(self, target: Target) -> Manifest | None:
        if self.baseline is None:
            return None
        pattern = f"{target.layer}-*-{target.runtime.name}-{target.architecture}.json"
        found = [
            manifests.read(path)
            for path in self.baseline.glob(pattern)
            if not path.name.endswith(".cdx.json")
        ]
        same = [manifest for manifest in found if manifest.identifier == target.identifier]
        return max(same, key=lambda manifest: versions.order(manifest.version), default=None)


def _failed(target: Target, problem: LayersmithError, seconds: float = 0.0) -> BuildResult:
    if problem.target is None and not isinstance(problem, BuildError):
        problem.target = target.identifier
    return BuildResult(target, "failed", seconds, None, problem)
