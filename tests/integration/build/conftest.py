"""Small projects with wheels of their own: no index is asked."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import cache, lock
from layersmith.base import runtimes
from layersmith.config import loader
from layersmith.engine import emulation
from layersmith.lock import build_pins, wheelstore
from layersmith.lock import inputs as lockinputs
from layersmith.lock.document import Lock, LockEntry
from layersmith.plan import Target, plan
from layersmith.prove import sites

from tests.support import cli
from tests.support.envelopes import data_of

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


@dataclass
class Project:
    """A checkout with a layers.yaml, locks and wheels in the store."""

    root: Path
    cache: Path
    wheels: list[Path] = field(default_factory=list)
    apart: bool = False
    """Whether every run is a process of its own: what one has read, the next may read anew."""

    @property
    def dist(self) -> Path:
        return self.root / "dist"

    def write(self, text: str) -> None:
        (self.root / "layers.yaml").write_text(text, encoding="utf-8")

    def targets(self) -> list[Target]:
        return plan(loader.load(self.root / "layers.yaml").config)

    def lock(self, *wheels: Path) -> None:
        """Lock every target to ``wheels``, which are put into the store."""
        entries = []
        for wheel in sorted(wheels):
            name, version = wheel.name.split("-")[:2]
            content = wheel.read_bytes()
            sha256 = cache.sha256_bytes(content)
            wheelstore.admit(sha256, wheel.name, content)
            entries.append(LockEntry(name.replace("_", "-"), version, sha256, wheel.name))
        for target in self.targets():
            held = {entry.name for entry in entries}
            inputs = lockinputs.collect(target, self.root, held=held)
            lock.write(
                build_pins.add(Lock(entries, inputs.digest, inputs.parts), None, target, self.root),
                lock.lock_path(target, self.root),
                target.identifier,
            )

    def offer(self, folder: Path) -> None:
        """Let a folder of wheels be the only index."""
        text = f"no-index = true\nfind-links = {json.dumps([str(folder)])}\n"
        (self.root / "uv.toml").write_text(text)

    def know(self, client: list[Path]) -> None:
        """Give the project's cache what proofs need, as after an earlier one."""
        self.cache.mkdir(exist_ok=True)
        for folder in client:
            (self.cache / folder.name).symlink_to(folder)

    def run(
        self, *words: str, script: Path = cli.LAYERS, check: int | None = 0, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a verb in the project as a user would; in this process, unless something differs."""
        if self.apart or env or script != cli.LAYERS:
            env = {"LAYERSMITH_CACHE": str(self.cache), **env}
            done = cli.layers(*words, cwd=self.root, script=script, env=env)
        else:
            done = cli.called(*words, cwd=self.root)
        if check is not None:
            assert done.returncode == check, done.stderr
        return done

    def build(self, *words: str, **kwargs: Any) -> list[dict[str, Any]]:
        """Build and return what ``--json`` printed."""
        found: list[dict[str, Any]] = data_of(self.run("build", "--json", *words, **kwargs).stdout)
        return found

    def zips(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.dist.glob("*.zip"))}

    def listed(self) -> dict[str, dict[str, Any]]:
        """Return the entries of dist/index.json by zip, after it is sure that they are true."""
        path = self.dist / "index.json"
        if not path.exists():
            return {}
        index = json.loads(path.read_text())
        assert index["format"] == 1
        for one in index["artifacts"]:
            manifest = json.loads((self.dist / one["manifest"]).read_text())
            assert manifest["artifact"]["sha256"] == one["sha256"]
            for name in (one["file"], one["latest"]):
                content = (self.dist / name).read_bytes()
                assert (cache.sha256_bytes(content), len(content)) == (one["sha256"], one["zipped"])
        return {one["file"]: one for one in index["artifacts"]}

    def leftovers(self) -> list[Path]:
        """Return files that only a killed run leaves, under names that nobody reads."""
        return [path for path in self.dist.rglob("*") if path.suffix == ".part"]


@pytest.fixture(scope="session")
def client() -> list[Path]:
    """Folders of the cache with what proofs need, which only an index has."""
    runtime = runtimes.get(f"python3.{sys.version_info[1]}")
    packages = sites.runtime_packages(runtime, emulation.host_architecture())
    return [packages.parent, sites.pytest_site(runtime.minor).parent]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path / "checkout", tmp_path / "cache")
    made.root.mkdir()
    monkeypatch.setenv("LAYERSMITH_CACHE", str(made.cache))
    return made
