"""The table that a build prints, and what GitHub gets of a run: step summaries and outputs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import console
from layersmith.base import runtimes
from layersmith.report import found

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from layersmith.assemble.manifest import Manifest
    from layersmith.pipeline import BuildResult
    from layersmith.plan import Target
    from layersmith.recipes.models import RecipeUse
    from layersmith.report.found import FoundManifest

HEADINGS = ("target", "zipped", "unzipped", "files", "bytecode", "glibc", "status", "time")

UNKNOWN = "not started"
"""Verdict on a layer that no smoke test has started since it was built."""


def rows(results: Sequence[BuildResult]) -> list[tuple[str, ...]]:
    """Return the cells of the table, a row a target."""
    return [_row(result) for result in results]


def show(results: Sequence[BuildResult]) -> None:
    """Print the table on stdout."""
    styles = {"failed": "red", "built": "green"}
    table = console.table(
        HEADINGS,
        rows(results),
        right={"zipped", "unzipped", "files", "bytecode", "time"},
        drop=("glibc", "bytecode", "time", "files", "unzipped"),
        styles=[styles.get(result.status) for result in results],
    )
    console.stdout().print(table)


@dataclass(frozen=True)
class TargetVerdict:
    """What became of a target, for people who decide about it.

    Attributes:
        target: The target.
        words: ``proven by Docker``, ``failed`` and so on.
        manifest: Of its artifact, where there is one.
        problems: Why it is not in order.
        cold_start: How it starts beside what was before, where `coldstart` measured it.
    """

    target: Target
    words: str
    manifest: Manifest | None = None
    problems: Sequence[str] = field(default=())
    cold_start: str = ""

    @property
    def marked(self) -> str:
        """The words with a mark in front; one that nothing was proven of has none."""
        if self.problems:
            return f"❌ {self.words}"
        return self.words if self.words == UNKNOWN else f"✅ {self.words}"


def built(results: Iterable[BuildResult]) -> list[TargetVerdict]:
    """Return the verdicts of a build."""
    return [
        TargetVerdict(one.target, one.status, one.manifest, [str(one.error)] if one.error else ())
        for one in results
    ]


def in_folder(targets: Iterable[Target], dist: Path) -> list[TargetVerdict]:
    """Return the verdicts on what lies in a folder: built or not, proven or not.

    A proof of other bytes than those that lie there counts as none.

    Args:
        targets: The targets that should be there.
        dist: Folder of the artifacts and the results of smoke tests.

    Raises:
        BuildError: A manifest is damaged.
    """
    return [_in_folder(target, dist / f"{target.stem}.json") for target in targets]


def _in_folder(target: Target, path: Path) -> TargetVerdict:
    if not path.is_file():
        return TargetVerdict(
            target, "not built", problems=["its zip was not built; see the log of its job"]
        )
    from layersmith.prove.cold.models import ColdStartReport  # noqa: PLC0415 -- start-up time
    from layersmith.prove.models import SmokeReport  # noqa: PLC0415

    one = found.FoundManifest(path)
    cold = one.beside(".coldstart.json", ColdStartReport)
    change = ""
    if cold and cold.sha256 == one.manifest.artifact.sha256:
        change = cold.change if cold.against and cold.against.ratio else ""
    proof = one.beside(".smoke.json", SmokeReport)
    if proof is None or proof.sha256 != one.manifest.artifact.sha256:
        return TargetVerdict(target, UNKNOWN, one.manifest, cold_start=change)
    where = "its host twin" if proof.runner.twin else proof.runner.kind.capitalize()
    words = f"proven by {where}" if proof.ok else f"not proven by {where}"
    return TargetVerdict(target, words, one.manifest, proof.problems, change)


def manifests_in(folder: Path | None) -> dict[str, FoundManifest]:
    """Return the manifests in a folder, by target; none where there is no folder.

    Raises:
        BuildError: A manifest is damaged.
    """
    return found.manifests_of(folder.glob("*.json")) if folder and folder.is_dir() else {}


def summary(
    title: str, verdicts: Sequence[TargetVerdict], before: Mapping[str, FoundManifest]
) -> str:
    """Return Markdown for a step summary: verdicts, budgets, what changed, and where the files are.

    Args:
        title: Its heading.
        verdicts: One per target.
        before: Identifier of a target -> its manifest on the main branch; may be empty.
    """
    lines = [f"### {title}", "", "| target | verdict | zipped | unzipped | against main |"]
    lines += ["|---|---|--:|--:|---|"]
    for one in verdicts:
        old = before.get(one.target.identifier)
        cells = [
            f"`{one.target.identifier}`",
            one.marked,
            *_shares(one),
            _against(one, old),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if not before:
        lines += ["", "No manifests of the main branch are there to compare with."]
    elif gone := sorted(before.keys() - {one.target.identifier for one in verdicts}):
        lines += ["", f"On the main branch and not in this run: {', '.join(gone)}."]
    for one in verdicts:
        lines += [f"\n`{one.target.identifier}`:\n\n{fenced(problem)}" for problem in one.problems]
    return "\n".join([*lines, run_link()])


def advisories(targets: Iterable[Target], dist: Path) -> str:
    """Return one line of Markdown on known vulnerabilities of what lies in a folder.

    Args:
        targets: The targets that should be there.
        dist: Folder of the artifacts and of what `advisories` found.

    Raises:
        BuildError: A manifest is damaged.
    """
    from layersmith.supply.advisories import AdvisoryRecord  # noqa: PLC0415 -- start-up time

    reports, without = [], []
    for target in targets:
        path = dist / f"{target.stem}.json"
        one = found.FoundManifest(path) if path.is_file() else None
        record = one.beside(".advisories.json", AdvisoryRecord) if one else None
        if one is None or record is None or record.sha256 != one.manifest.artifact.sha256:
            without.append(target.identifier)
        else:
            reports.append(record.report)
    if not reports:
        return "Advisories: not looked up.\n"
    known = {(it.id, it.subject): it for one in reports for it in one.findings}
    counting = [it for it in known.values() if it.counts]
    parts = [f"❌ {it.id} in {it.subject} ({it.level}, fixed in {it.fixed or 'no version'})"
             for it in counting] or ["none that counts"]  # fmt: skip
    if others := len(known) - len(counting):
        parts.append(f"{others} ignored, below the threshold or not in the zip")
    if bad := sorted({text for one in reports for text in one.problems}):
        parts += [f"❌ {text}" for text in bad]
    if any(one.is_stale for one in reports):
        parts.append("❌ the data is too old")
    dated = min((one.dated for one in reports if one.dated), default=None)
    where = f" ({reports[0].source}{f', {dated:%Y-%m-%d}' if dated else ''})"
    if without:
        parts.append(f"not looked up for {', '.join(without)}")
    return f"Advisories{where}: {'; '.join(parts)}.\n"


def fenced(text: str) -> str:
    """Return text as a block of Markdown that it cannot end."""
    return f"```text\n{text.replace('```', '` ` `')}\n```"


def _shares(one: TargetVerdict) -> list[str]:
    """Return the zipped and the unzipped size of a layer, each with its share of the budget."""
    if one.manifest is None:
        return ["", ""]
    artifact, budgets = one.manifest.artifact, one.target.settings.budgets
    largest = budgets.unzipped or runtimes.UNZIPPED_LIMIT
    return [_share(artifact.zipped, budgets.zipped), _share(artifact.unzipped, largest)]


def _share(size: int, limit: float | None) -> str:
    shown = console.size(size)
    return f"{shown}, {100 * size / limit:.0f} % of {console.size(int(limit))}" if limit else shown


def _against(one: TargetVerdict, old: FoundManifest | None) -> str:
    if one.manifest is None or old is None:
        return "" if one.manifest is None else "new"
    new, before = one.manifest.artifact, old.manifest.artifact
    if new.sha256 == before.sha256:
        return "the same bytes"
    grown = new.zipped - before.zipped
    sizes = f"{'+' if grown >= 0 else '-'}{console.size(abs(grown))} zipped"
    return f"{sizes}; {one.cold_start}" if one.cold_start else sizes


def changes(
    verdicts: Iterable[TargetVerdict], before: Mapping[str, FoundManifest], dist: Path
) -> str:
    """Return as Markdown what differs from the main branch, distribution by distribution.

    Args:
        verdicts: What became of the targets.
        before: Identifier of a target -> its manifest on the main branch.
        dist: Folder of the manifests.
    """
    from layersmith.report import diff_text, diffs  # noqa: PLC0415 -- start-up time

    return diff_text.markdown(
        [
            diff
            for one in verdicts
            if one.manifest and (old := before.get(one.target.identifier))
            for diff in diffs.compare(old.path, dist / f"{one.target.stem}.json", dist)
        ]
    )


def run_link() -> str:
    """Return Markdown that links to the GitHub workflow run that this is part of."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, run = (os.environ.get(name, "") for name in names)
    if not (server and repository and run):
        return ""
    return f"\n[Artifacts and logs of this run]({server}/{repository}/actions/runs/{run})\n"


def step_summary(text: str) -> None:
    """Append Markdown to the summary of the running GitHub step; elsewhere do nothing."""
    _append("GITHUB_STEP_SUMMARY", text)


def step_outputs(**values: object) -> None:
    """Set outputs of the running GitHub step; elsewhere do nothing.

    Args:
        values: Name -> value. What is not text is written as JSON.
    """
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        # GitHub reads an output to the end of its line.
        _append("GITHUB_OUTPUT", f"{name}={text}")


def _append(variable: str, text: str) -> None:
    path = os.environ.get(variable)
    if path:
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")


def as_json(result: BuildResult) -> dict[str, Any]:
    """Return a result as ``--json`` prints it."""
    manifest = result.manifest
    return {
        "target": result.target.identifier,
        "status": result.status,
        "seconds": round(result.seconds, 3),
        "artifact": manifest.artifact.model_dump() if manifest else None,
        "bytecode": bytecode_size(manifest) if manifest else None,
        "error": str(result.error) if result.error else None,
        "exit_code": result.error.exit_code if result.error else 0,
    }


def bytecode_size(manifest: Manifest) -> int:
    """Return the bytes of a layer's bytecode, unpacked."""
    return sum(one.bytecode for one in manifest.distributions)


def _row(result: BuildResult) -> tuple[str, ...]:
    manifest = result.manifest
    if manifest is None:
        return (result.target.identifier, "", "", "", "", "", result.status, _time(result))
    bytecode = bytecode_size(manifest)
    return (
        result.target.identifier,
        console.size(manifest.artifact.zipped),
        console.size(manifest.artifact.unzipped),
        f"{manifest.artifact.files:,}",
        console.size(bytecode) if bytecode else "none",
        manifest.audit.highest.get("GLIBC", "-"),
        result.status,
        _time(result),
    )


def _time(result: BuildResult) -> str:
    return f"{result.seconds:.1f} s" if result.seconds else ""


def of_build(manifests: Iterable[Manifest]) -> list[str]:
    """Return what recipes cost, and which variables matter: once for a layer, not for a target.

    Args:
        manifests: Of the targets that were built.
    """
    said = (f"{one.layer}: {text}" for one in manifests for text in _notes(one.recipes))
    return list(dict.fromkeys(said))


def warnings(manifest: Manifest) -> list[str]:
    """Return which parts of recipes did nothing in a layer."""
    return [
        f"the recipe of {use.name} names {pattern}, which matches no file of {use.name}"
        f" {use.version}"
        for use in manifest.recipes
        for pattern in use.unmatched
    ]


def _notes(uses: Iterable[RecipeUse]) -> Iterator[str]:
    for use in uses:
        if use.losses:
            yield f"recipe of {use.name}, not in the layer: {'; '.join(_lost(use))}"
        if use.orphans:
            yield f"recipe of {use.name}, needed by nothing else: {', '.join(use.orphans)}"
        if use.withheld:
            kept = ", ".join(f"{name} ({why})" for name, why in sorted(use.withheld.items()))
            yield f"recipe of {use.name}, kept all the same: {kept}"
        for name, variable in use.environment.items():
            yield f"set {name}={variable.value} on its functions: {variable.reason}"


def _lost(use: RecipeUse) -> list[str]:
    """Return what is lost, each once; distributions by name, files by what they are for."""
    named = [f"{name} ({lost})" for name, lost in {**use.excludes, **use.stubs}.items()]
    blas = [use.lite_blas] if use.lite_blas else []
    sources = [f"sources ({use.bytecode.reason})"] if use.bytecode else []
    return [*named, *blas, *sources, *dict.fromkeys(use.prune.values())]
