"""Which published versions advisories are about, where they are, and what to do about it.

The index says what is published, and the manifest and SBOM of a release what it holds. What was
yanked is left out: it is withdrawn already.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from layersmith.assemble import manifest as manifests
from layersmith.base.versions import order
from layersmith.ship.release import tagging
from layersmith.supply import advisories, subjects

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layersmith.ship.github import Repository
    from layersmith.ship.index.document import Index
    from layersmith.supply.advisories import AdvisoryFinding, AdvisoryReport
    from layersmith.supply.subjects import AdvisorySubject


class PublishedVersion(NamedTuple):
    """One version of one target, in whatever regions."""

    layer: str
    version: str
    runtime: str
    architecture: str

    @property
    def stem(self) -> str:
        """Name of its files in a release, without suffix."""
        return "-".join(self)

    @property
    def name(self) -> str:
        """Its name for people, and as a target of findings."""
        return f"{self.layer} {self.version} ({self.runtime}, {self.architecture})"


def versions(index: Index) -> dict[PublishedVersion, list[str]]:
    """Return every published version with its regions, without what was yanked."""
    found: dict[PublishedVersion, list[str]] = defaultdict(list)
    for one in index.layers:
        if one.yanked is None:
            place = PublishedVersion(one.layer, one.version, one.runtime, one.architecture)
            found[place].append(one.region)
    return dict(found)


def fetch(places: Sequence[PublishedVersion], folder: Path, repository: Repository) -> None:
    """Save the manifests and SBOMs of released versions to a folder.

    Raises:
        ShipError: GitHub refused.
    """
    for place in places:
        tag = tagging.tag_name(place.layer, place.version)
        repository.download(tag, f"{place.stem}.", folder, suffixes=(".json",))


def gather(
    places: Sequence[PublishedVersion], folder: Path
) -> tuple[list[AdvisorySubject], list[str]]:
    """Return what published versions hold, and the names of those of which nothing is known.

    Args:
        places: The versions.
        folder: With manifests and SBOMs of releases.

    Raises:
        BuildError: A manifest or SBOM is damaged.
    """
    found: list[AdvisorySubject] = []
    unknown = []
    for place in places:
        path, bill = folder / f"{place.stem}.json", folder / f"{place.stem}.cdx.json"
        if not path.is_file():
            unknown.append(place.name)
            continue
        found += subjects.of_manifest(manifests.read(path), place.name)
        if bill.is_file():
            found += subjects.of_bill(bill, subjects.LockPlace(place.name)).bundled
        else:
            unknown.append(f"libraries bundled in {place.name}")
    return found, unknown


def markdown(
    report: AdvisoryReport,
    places: dict[PublishedVersion, list[str]],
    unknown: Sequence[str] = (),
) -> str:
    """Return the body of the issue: versions, regions, advisories, and the bump that fixes each.

    Args:
        report: What was found on published versions.
        places: Every published version with its regions.
        unknown: What was not looked up.
    """
    dated = f", data of {report.dated:%Y-%m-%d}" if report.dated else ""
    lines = [f"Looked up in {report.source}{dated}.", ""]
    if not report.open:
        lines.append("No advisory counts on a published version.")
    for one in report.open:
        its = [place for place in places if place.name in one.targets]
        lines += [f"### [{one.id}]({one.url}): {one.subject}, {one.level}", ""]
        lines += [_plain(one.summary), ""] if one.summary else []
        lines += ["| layer | version | runtimes | regions |", "|---|---|---|---|"]
        lines += _rows(its, places)
        lines += ["", f"- {advisories.bump(one)}", *_releases(one, its, places), ""]
    lines += [f"- {text}" for text in report.problems]
    if report.is_stale:
        lines.append(f"- the data is {advisories.days(report.age)} old")
    if unknown:
        lines += ["", f"Not looked up: {', '.join(unknown)}."]
    return "\n".join(lines).rstrip() + "\n"


def _plain(text: str) -> str:
    """Return a text of somebody else's as one that mentions nobody and links nowhere."""
    return f"`{text.replace('`', chr(39))}`"


def _rows(its: Sequence[PublishedVersion], places: dict[PublishedVersion, list[str]]) -> list[str]:
    """Return a row a version, with all of its runtimes and regions."""
    together: dict[tuple[str, str], list[PublishedVersion]] = defaultdict(list)
    for place in its:
        together[place.layer, place.version].append(place)
    rows = []
    for (layer, version), group in sorted(together.items()):
        runtimes = sorted({f"{one.runtime} {one.architecture}" for one in group})
        regions = sorted({region for one in group for region in places[one]})
        rows.append(f"| {layer} | {version} | {', '.join(runtimes)} | {', '.join(regions)} |")
    return rows


def _releases(
    one: AdvisoryFinding,
    its: Sequence[PublishedVersion],
    places: dict[PublishedVersion, list[str]],
) -> list[str]:
    """Return for each layer which version is free of an advisory, or will be."""
    lines = []
    for layer in sorted({place.layer for place in its}):
        affected = {place.version for place in its if place.layer == layer}
        newest = max({place.version for place in places if place.layer == layer}, key=order)
        if newest not in affected:
            lines.append(f"- {layer} {newest} is published and not affected: move functions to it")
        elif one.fixed:
            following = order(newest).bump_patch()
            lines.append(
                f"- then `layersmith release {layer} --bump patch` ({newest} to {following})"
            )
    return lines
