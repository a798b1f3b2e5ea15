"""Targets on the scales, made of listings in the cache, so that nothing is asked of an index."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from layersmith import cache
from layersmith.base import runtimes
from layersmith.lock import inputs as lockinputs
from layersmith.plan import Target
from layersmith.weigh import target as weigh
from layersmith.weigh.listings import Listing, ListingRequest
from layersmith.weigh.target import Resolved

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pytest
    from layersmith.weigh.target import Weighed

MB = 1_000_000


class Scales:
    """Distributions that can be weighed together."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.files: list[ListingRequest] = []
        monkeypatch.setattr(weigh, "resolve", self._resolve)

    def add(self, name: str, files: Mapping[str, int], *requires: str, extras: str = "") -> None:
        """Add a distribution: path to bytes, and what it requires."""
        lines = [f"Requires-Dist: {line}" for line in requires]
        lines += [f"Provides-Extra: {extra}" for extra in extras.split()]
        metadata = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *lines, ""])
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        dist_info = f"{name.replace('-', '_')}-1.0.dist-info"
        listing = Listing(
            download=sum(files.values()) // 3,
            files=[
                *((path, size, size // 3) for path, size in files.items()),
                (f"{dist_info}/METADATA", len(metadata), len(metadata)),
            ],
            metadata=metadata,
        )
        path = cache.section("listings") / sha256[:2] / f"{sha256}.json"
        cache.write_text(path, listing.model_dump_json())
        filename = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
        self.files.append(
            ListingRequest(name, filename, sha256, "https://index.invalid/" + filename)
        )

    def weigh(self, *requirements: str, **settings: object) -> Weighed:
        """Weigh requirements on python3.13 arm64."""
        target = self.target(requirements, **settings)
        return weigh.weigh(target, self.root)

    def target(self, requirements: Sequence[str], **settings: object) -> Target:
        """Return the target of requirements."""
        plain = weigh.target_of("demo", requirements, runtimes.get("python3.13"), "arm64")
        changed = type(plain.settings).model_validate(
            {**plain.settings.model_dump(exclude_unset=True), **settings}
        )
        return Target("demo", plain.runtime, plain.architecture, changed)

    def _resolve(self, target: Target, root: Path) -> Resolved:
        inputs = lockinputs.collect(target, root)
        versions = {wanted.name: "1.0" for wanted in self.files}
        return Resolved(self.files, versions, inputs, locked=False)
