"""A project beside an index of its own; uv sees no other index and no user configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from layersmith import lock
from layersmith.config import loader
from layersmith.lock import targets as locking
from layersmith.plan import Target, plan

from tests.support import cli

from .index import Handler, Index, serving

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

    from layersmith.errors import LockError
    from layersmith.lock.document import Lock
    from layersmith.lock.targets import LockResult

ROOT = Path(__file__).parents[3]


@dataclass
class Project:
    """A folder with a layers.yaml."""

    root: Path
    index: Index

    def write(self, *lines: str, runtimes: str = "python3.13") -> None:
        """Write a layers.yaml with one layer ``demo`` that says ``lines``."""
        head = f"defaults: {{runtimes: [{runtimes}]}}\nlayers:\n  demo:\n"
        body = ["description: d", "version: 1.0.0", *lines]
        text = head + "".join(f"    {line}\n" for line in body)
        (self.root / "layers.yaml").write_text(text)

    def targets(self) -> list[Target]:
        """Return all targets."""
        return plan(loader.load(self.root).config)

    def results(
        self, *, upgrade: bool | list[str] = False, accepted: Sequence[str] = ()
    ) -> list[LockResult]:
        """Lock every target."""
        return locking.update(
            self.targets(), self.root, upgrade=upgrade, accepted=accepted, quiet=True
        )

    def lock(self, *, upgrade: bool | list[str] = False) -> Lock:
        """Lock the one target there is, and return its lock."""
        (result,) = self.results(upgrade=upgrade)
        if result.error:
            raise result.error
        assert result.lock
        assert lock.read(self.path()) == result.lock
        return result.lock

    def refused(self) -> LockError:
        """Lock the one target there is and return why that failed."""
        (result,) = self.results()
        assert result.error
        assert result.error.exit_code == 4
        assert result.error.target == self.targets()[0].identifier
        return result.error

    def path(self) -> Path:
        """Return where the lock of the first target is."""
        return lock.lock_path(self.targets()[0], self.root)

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `layersmith lock` and return what it printed."""
        return cli.called("lock", *words, cwd=self.root)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    folder = tmp_path / "index"
    folder.mkdir()
    index = Index(folder)
    with serving(index, type("OneIndex", (Handler,), {}), tmp_path, monkeypatch):
        yield index


@pytest.fixture
def project(tmp_path: Path, index: Index) -> Project:
    root = tmp_path / "project"
    root.mkdir()
    return Project(root, index)


def versions(lock: Lock) -> dict[str, str]:
    """Return name to version."""
    return {entry.name: entry.version for entry in lock.entries}
