"""Builds targets: what is up to date is left, what the cache holds is placed, the rest is made.

It stands above the rooms and calls them in the order of the way: lock, assemble, measure.
"""

from __future__ import annotations

import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from layersmith import cache, console, lock, process
from layersmith.assemble import budgets, collect, digest, files, layer, outputs
from layersmith.assemble import manifest as manifests
from layersmith.assemble.graph import graph_of
from layersmith.assemble.layer import LayerJob
from layersmith.assemble.outputs import Outputs, Shelf
from layersmith.audit import judge
from layersmith.base import disk, versions
from layersmith.errors import BudgetError, BuildError, LayersmithError
from layersmith.lock import inputs, wheelstore
from layersmith.supply import commits
from layersmith.weigh import verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rich.progress import Progress, TaskID

    from layersmith.assemble.manifest import Manifest
    from layersmith.audit.findings import Place
    from layersmith.plan import Target
    from layersmith.supply.commits import Checkout

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
        planned: All targets of layers.yaml: the index of ``dist`` lists no others.
        where: Returns the place of a key of a target in layers.yaml, for messages.
        config: layers.yaml, for manifests that name the commit it is of; None names none.
    """

    root: Path
    dist: Path
    baseline: Path | None = None
    force: bool = False
    quiet: bool = False
    planned: Sequence[Target] = ()
    where: Callable[[Target, str], Place] | None = None
    config: Path | None = None
    _checkout: Checkout | None = None
    _shown: dict[str, TaskID] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._shelf = Shelf(self.dist)

    def run(self, targets: Sequence[Target]) -> list[BuildResult]:
        """Build targets in parallel and return a result for each, in their order."""
        results: dict[str, BuildResult] = {}
        self._checkout = commits.look(self.config, targets) if self.config else None
        with console.progress(quiet=self.quiet) as display:
            jobs = self._fetched(self._wanted(targets, results), results, display)
            # Libraries take longest: they are built beside the targets that need none.
            jobs.sort(key=lambda job: job.target.settings.lite_blas)
            for job in jobs:
                name = job.target.identifier
                self._shown[name] = display.add_task(name, total=None, step="waiting")
            with ThreadPoolExecutor(1) as beside, ThreadPoolExecutor(os.cpu_count() or 2) as pool:
                for job in jobs:
                    if job.target.settings.lite_blas:
                        # What is wrong with it the target itself says.
                        beside.submit(layer.library, job)
                for result in pool.map(lambda job: self._one(job, display), jobs):
                    results[result.target.identifier] = result
        if self.planned:
            self._shelf.tidy(self.planned)
        return [results[target.identifier] for target in targets]

    def _wanted(self, targets: Sequence[Target], results: dict[str, BuildResult]) -> list[LayerJob]:
        """Return what has to be built; the rest gets its result here."""
        jobs = []
        for target in targets:
            try:
                with self._explained(target):
                    job = self._job(target)
                    self._tell_of_growth(target)
                    done = self._up_to_date(job)
            except LayersmithError as problem:
                done = self._failed(target, problem)
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
            digest=digest.of_target(target, lock_digest, self.root, lock.folders(locked, target)),
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
            self._shelf.place(cached, job.target, manifest)
        else:
            self._judge(job, manifest)
            self._shelf.keep(job.target, manifest)
        manifest = self._sourced(job.target, manifest)
        return BuildResult(
            job.target, "unchanged" if status == "unchanged" else "cached", 0.0, manifest
        )

    def _sourced(self, target: Target, manifest: Manifest) -> Manifest:
        """Let the manifest in dist/ name the commit of this run; the cache's names none."""
        found = self._checkout.of(target) if self._checkout else None
        if manifest.source == found:
            return manifest
        manifest = manifest.model_copy(update={"source": found})
        manifests.write(manifest, Outputs.of(target, self.dist).manifest)
        return manifest

    def _judge(self, job: LayerJob, manifest: Manifest) -> None:
        """Judge budgets anew: they may have changed since, and are not among the inputs."""
        budgets.check(
            job.target,
            manifest.files,
            graph_of(manifest),
            archive=manifest.artifact.zipped,
            last_release=self._last_release(job.target),
        )

    def _fetched(
        self, jobs: list[LayerJob], results: dict[str, BuildResult], display: Progress
    ) -> list[LayerJob]:
        """Download what any target lacks, each file once; return the jobs that have all."""
        lacking: dict[str, list[wheelstore.Download]] = {}
        for job in list(jobs):
            try:
                with self._explained(job.target):
                    lacking[job.target.identifier] = self._lacking(job)
            except LayersmithError as problem:
                results[job.target.identifier] = self._failed(job.target, problem)
                jobs.remove(job)
        downloads = {one.sha256: one for files in lacking.values() for one in files}
        if not downloads:
            return jobs
        console.info(f"downloading {console.counted(len(downloads), 'file')}")
        task = display.add_task("download", total=len(downloads), step="")
        failed = wheelstore.fetch(
            downloads.values(),
            self.root,
            done=lambda one: display.update(task, advance=1, step=one.filename),
        )
        if failed and (moved := self._moved(jobs, lacking, failed)):
            again = {one.sha256 for one in moved}
            failed = {sha256: why for sha256, why in failed.items() if sha256 not in again}
            failed |= wheelstore.fetch(moved, self.root)
        display.remove_task(task)
        for job in list(jobs):
            problems = [failed.get(one.sha256) for one in lacking[job.target.identifier]]
            if first := next(filter(None, problems), None):
                results[job.target.identifier] = self._failed(job.target, first)
                jobs.remove(job)
        return jobs

    def _explained(self, target: Target) -> AbstractContextManager[None]:
        """Let trouble of a file fail one target, not the run."""
        name = target.identifier
        return disk.explained(BuildError, root=self.root, dist=self.dist, target=name)

    def _moved(
        self,
        jobs: list[LayerJob],
        lacking: Mapping[str, list[wheelstore.Download]],
        failed: Collection[str],
    ) -> list[wheelstore.Download]:
        """Ask the index again for files that failed; return those that are elsewhere now."""
        found: dict[str, wheelstore.Download] = {}
        for job in jobs:
            before = {one.sha256: one.url for one in lacking[job.target.identifier]}
            if not before.keys().isdisjoint(failed):
                with contextlib.suppress(LayersmithError):  # the first failure says it better
                    now = self._lacking(job, refresh=True)
                    found |= {one.sha256: one for one in now if one.url != before[one.sha256]}
        return [one for sha256, one in found.items() if sha256 in failed]

    def _lacking(self, job: LayerJob, *, refresh: bool = False) -> list[wheelstore.Download]:
        missing = collect.missing(job.lock, job.target)
        if not missing:
            return []
        urls = lock.urls(job.lock, job.target, root=self.root, refresh=refresh)
        size = sum(urls[entry.sha256][2] or 0 for entry in job.lock.entries)
        if verdict.may_exceed(job.target, size):
            verdict.check_wheels(job.target, self.root, self._last_release(job.target))
            missing = collect.missing(job.lock, job.target)
        return [
            wheelstore.Download(entry.sha256, urls[entry.sha256][0], entry.filename)
            for entry in missing
        ]

    def _one(self, job: LayerJob, display: Progress) -> BuildResult:
        name = job.target.identifier
        task = self._shown[name]
        started = time.monotonic()
        try:
            with process.labelled(name), self._explained(job.target):
                manifest = self._make(job, lambda step: display.update(task, step=step))
            result = BuildResult(job.target, "built", time.monotonic() - started, manifest)
        except LayersmithError as problem:
            result = self._failed(job.target, problem, time.monotonic() - started)
        display.update(task, total=1, completed=1, step=result.status)
        return result

    def _make(self, job: LayerJob, step: Callable[[str], None]) -> Manifest:
        last_release = self._last_release(job.target)
        prepared = layer.prepare(job, last_release, step)
        step("audit")
        parts = prepared.collected.parts
        report = judge.audit_target(
            prepared.collected.tree,
            job.target,
            requirements={part.name for part in parts}.intersection(prepared.graph.roots),
            asked=job.asked,
            removed={removed.path: removed.rule for removed in prepared.collected.tree.removed},
            recorded={part.name: part.wheel.hashes for part in parts if part.wheel},
            beside=files.provided(job.target, job.root),
            mine={part.name for part in parts if part.origin == "local"},
        )
        where = self.where
        report.raise_for_errors(where and partial(where, job.target))
        folder = outputs.cache_folder(job.digest)
        cached = Outputs.of(job.target, folder)
        manifest = layer.finish(prepared, report.record(), cached, last_release, step)
        self._shelf.place(cached, job.target, manifest)
        return self._sourced(job.target, manifest)

    def _failed(
        self, target: Target, problem: LayersmithError, seconds: float = 0.0
    ) -> BuildResult:
        if problem.target is None and not isinstance(problem, BuildError):
            problem.target = target.identifier
        if self.where and isinstance(problem, BudgetError):
            problem.locate(partial(self.where, target))
        return BuildResult(target, "failed", seconds, None, problem)

    def _tell_of_growth(self, target: Target) -> None:
        """Say that a budget is not judged, which a mistyped folder would hide."""
        wanted = target.settings.budgets.growth is not None and self.baseline is not None
        if wanted and self._last_release(target) is None:
            console.warn(
                f"{target.identifier}: budgets.growth is not judged: no manifest of it is in"
                f" {self.baseline}"
            )

    def _last_release(self, target: Target) -> Manifest | None:
        if self.baseline is None:
            return None
        pattern = f"{target.layer}-*{target.runtime.name}-{target.architecture}.json"
        found = [
            manifests.read(path)
            for path in self.baseline.glob(pattern)
            if not path.name.endswith(".cdx.json")
        ]
        same = [manifest for manifest in found if manifest.identifier == target.identifier]
        return max(same, key=lambda manifest: versions.order(manifest.version), default=None)
