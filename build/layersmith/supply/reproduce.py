"""Builds a published layer again from the commit that its manifest names, and compares the zips.

Nothing of the machine but its interpreter takes part: the work tree has nothing but the commit, the
caches are empty, and the build sees no credentials but those of package indexes.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

import layersmith
from layersmith import cache as store
from layersmith import console, process
from layersmith.assemble import manifest as manifests
from layersmith.assemble.manifest import BuildCommit, Manifest, ManifestPart
from layersmith.base import uv
from layersmith.engine.models import ContainerSpec
from layersmith.errors import ProofError
from layersmith.supply import commits, differences

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILT_BY = re.compile(
    r"NETRC|UV_(?!\w*(PASSWORD|USERNAME|TOKEN|CACHE_DIR))\w+|LAYERSMITH_(?!CACHE)\w+"
)
"""Variables that a build reads: where indexes are, not what opens them."""

CONTAINER = "public.ecr.aws/sam/build-{runtime}:latest-{architecture}"
"""AWS's build image, which has an interpreter and git."""

IN_CONTAINER = r"""
set -eu
export HOME=/build
cd /build
/uv/uv venv --quiet --no-config --no-project --python python3 /build/venv
/uv/uv pip install --quiet --no-config --require-hashes --only-binary :all: \
  --python /build/venv -r /tool/locks/jobs.txt
exec /build/venv/bin/python /tool/build/layers.py "$@"
"""

LONGEST = 3600.0
"""Seconds that a build in a container may take."""


class Reproduction(ManifestPart):
    """A published layer beside the same layer as built again."""

    target: str
    """Identifier of the target."""
    version: str
    """Semantic version of the layer."""
    commit: str
    """Commit that it was built again from."""
    reproduced: bool
    """Whether both zips have the same bytes, AWS Signer's signature left out."""
    sha256: str
    """SHA-256 in hex of the zip as it was built and published."""
    rebuilt: str
    """SHA-256 in hex of the zip as it was built again."""
    signed: bool = False
    """Whether AWS Signer signed what is published."""
    difference: differences.Difference | None = None
    """The first member that differs."""
    tools: list[str] = Field(default_factory=list)
    """Tools that are not of the version that the manifest names."""

    @property
    def text(self) -> str:
        """The result for people."""
        what = f"{self.target} {self.version}"
        if self.difference is None:
            signature = " but for AWS Signer's signature" if self.signed else ""
            return (
                f"{what}: reproduced, same SHA-256{signature}: {self.sha256}, "
                f"commit {self.commit[:12]}"
            )
        member = self.difference.member or "the zip as a whole"
        return f"{what}: not reproduced; first difference: {member}: {self.difference.detail}"


@dataclass(frozen=True)
class Published:
    """A published layer.

    Attributes:
        path: The zip as it is published.
        manifest: Its manifest.
        name: What people call it: an ARN, an address, a file.
    """

    path: Path
    manifest: Manifest
    name: str

    @property
    def signed(self) -> bool:
        """Whether AWS Signer added its signature to the zip that the manifest describes."""
        return differences.is_signed(self.path)

    @property
    def commit(self) -> BuildCommit:
        """What it says that it was built from.

        Raises:
            ProofError: That is not a commit, or the zip is not the one of the manifest.
        """
        said, source = self.manifest, self.manifest.source
        if not self.signed and store.sha256_file(self.path) != said.artifact.sha256:
            raise ProofError(
                f"{self.name} is not the file that its manifest describes",
                target=said.identifier,
                cause="zip and manifest are of two builds, or the zip was changed",
                hint="fetch both from one release, or name the manifest by --manifest",
            )
        if source is None:
            raise ProofError(
                f"the manifest of {self.name} names no commit",
                target=said.identifier,
                cause="it was built outside a git repository, or by layersmith 0.1",
                hint="build it in a checkout and publish that",
            )
        if source.changed:
            raise ProofError(
                f"{self.name} was built from uncommitted changes: {', '.join(source.changed)}",
                target=said.identifier,
                cause=f"these files were not as in commit {source.commit[:12]}",
                hint="commit them, build again and publish that version",
            )
        return source


@contextlib.contextmanager
def repository(place: str) -> Iterator[Path]:
    """Give a repository: a folder, or a clone of an address, which is gone afterwards.

    Raises:
        ProofError: It cannot be cloned.
    """
    if Path(place).is_dir():
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="layersmith-clone-") as scratch:
        try:
            words = ("clone", "--quiet", "--no-checkout", "--template=", "--", place, "clone")
            commits.ask(Path(scratch), *words)
        except process.CommandFailed as failed:
            raise ProofError(
                f"git cannot clone {process.without_logins(place)}: {failed.output}",
                cause="there is no such repository, or it needs a login",
                hint="clone it by hand and name the folder by --repository",
            ) from None
        yield Path(scratch) / "clone"


def run(published: Published, root: Path, caches: Path, image: str | None = None) -> Reproduction:
    """Build a published layer again and compare.

    Args:
        published: The layer.
        root: A folder of a repository that has the commit.
        caches: Folder for downloads and wheels; an empty one leaves nothing to the machine.
        image: Image of a container to build in, ``""`` for AWS's build image; None for none.

    Raises:
        ProofError: The manifest names no commit that is there, or the commit does not build.
    """
    manifest, commit = published.manifest, published.commit
    _require(root, commit, manifest)
    with (
        commits.checkout(root, commit.commit) as tree,
        tempfile.TemporaryDirectory(prefix="layersmith-rebuilt-") as dist,
    ):
        job = _Rebuild(tree, commit, manifest, Path(dist), caches)
        job.require_lock()
        console.info(f"building {manifest.identifier} from commit {commit.commit[:12]}")
        if image is None:
            job.here()
        else:
            job.in_container(image)
        made = manifests.read(job.dist / f"{manifest.stem}.json")
        built, signed = job.dist / f"{manifest.stem}.zip", published.signed
        different = differences.compare(published.path, built, signed=signed)
    if different is None and made.artifact.sha256 != manifest.artifact.sha256:
        different = differences.Difference(
            member="", kind="headers", detail="the signed zip is the same, the manifest's is not"
        )
    return Reproduction(
        target=manifest.identifier,
        version=manifest.version,
        commit=commit.commit,
        reproduced=different is None,
        sha256=manifest.artifact.sha256,
        rebuilt=made.artifact.sha256,
        signed=signed,
        difference=different,
        tools=_other_tools(manifest, made),
    )


def _require(root: Path, commit: BuildCommit, manifest: Manifest) -> None:
    """Refuse to go on where the repository has not got the commit."""
    with contextlib.suppress(process.CommandFailed):
        commits.ask(root, "cat-file", "-e", f"{commit.commit}^{{commit}}")
        return
    try:
        shallow = commits.ask(root, "rev-parse", "--is-shallow-repository").strip() == "true"
    except process.CommandFailed as failed:
        raise ProofError(
            f"{root} is not a git repository: {failed.output}",
            target=manifest.identifier,
            cause="the commit is looked for in the repository of the working directory",
            hint=f"name the repository by --repository, such as {commit.repository or 'its URL'}",
        ) from None
    if shallow:
        raise ProofError(
            f"commit {commit.commit} is not in this shallow clone",
            target=manifest.identifier,
            cause="it was cloned with --depth",
            hint="run `git fetch --unshallow`, or name the repository's address by --repository",
        )
    raise ProofError(
        f"the manifest names commit {commit.commit}, which does not exist in {root}",
        target=manifest.identifier,
        cause="it was never pushed, history was rewritten, or this is another repository; the "
        f"manifest names {commit.repository or 'none'}",
        hint=f"run `git fetch origin {commit.commit}`, or name another by --repository",
    )


def _tool(tree: Path) -> Path | None:
    """Return the checkout that holds the tool: the commit's own, else that of this process."""
    own = Path(layersmith.__file__).resolve().parents[2]
    there = (one for one in (tree, own) if (one / "build" / "layersmith" / "cli.py").is_file())
    return next(there, None)


@dataclass(frozen=True)
class _Rebuild:
    """A target that is built again.

    Attributes:
        tree: Work tree of the commit.
        commit: What the manifest says of it.
        manifest: Of the published zip.
        dist: Where the new zip goes.
        caches: Folder for downloads and wheels.
    """

    tree: Path
    commit: BuildCommit
    manifest: Manifest
    dist: Path
    caches: Path

    @property
    def config(self) -> Path:
        """layers.yaml in the work tree."""
        found = (self.tree / self.commit.config).resolve()
        if found.is_relative_to(self.tree) and found.is_file():
            return found
        raise ProofError(
            f"commit {self.commit.commit[:12]} has no file {self.commit.config}",
            target=self.manifest.identifier,
            cause="the manifest is of another repository, or was changed",
            hint=f"name the repository by --repository; the manifest says {self.commit.repository}",
        )

    def require_lock(self) -> None:
        """Refuse a commit whose lock is not the one that the manifest names."""
        path = self.config.parent / "locks" / f"{self.manifest.identifier}.txt"
        found = store.sha256_file(path) if path.is_file() else "none"
        said = self.manifest.inputs.lock
        if found != said:
            raise ProofError(
                f"commit {self.commit.commit[:12]} has another lock than the layer was built from",
                target=self.manifest.identifier,
                cause=f"SHA-256 of {path.name}: {said} in the manifest, {found} in the commit; the "
                "manifest is of another commit, or was changed",
                hint="ask whoever published the layer for the manifest of this very zip",
            )

    def here(self) -> None:
        """Build with this interpreter, and with the commit's own tool where it holds the tool."""
        tool = _tool(self.tree)
        program = "from layersmith.cli import program; raise SystemExit(program())"
        entry = [str(tool / "build" / "layers.py")] if tool else ["-c", program]
        argv = [sys.executable, *entry, *self._words(str(self.config), str(self.dist))]
        caching = {"LAYERSMITH_CACHE": str(self.caches), "UV_CACHE_DIR": str(self.caches / "uv")}
        try:
            process.run(argv, cwd=self.dist, env={**process.inherited(BUILT_BY), **caching})
        except process.CommandFailed as failed:
            raise self._failed(failed.output) from failed

    def in_container(self, image: str) -> None:
        """Build in a container that has the commit, an index, and no login of this machine."""
        from layersmith.engine.client import Engine  # noqa: PLC0415 -- needs an extra

        engine = Engine(secrets.token_hex(6))
        name = image or CONTAINER.format(
            runtime=self.manifest.runtime, architecture=engine.facts.architecture
        )
        found = engine.image(name) or engine.pull(name, engine.facts.architecture)
        work, programs = self.caches / "container", self.caches / "programs"
        for folder in (work, programs):
            folder.mkdir(parents=True, exist_ok=True)
        shutil.copy2(uv.program(), programs / "uv")
        environment, certificates = _of_index()
        words = self._words(f"/tree/{self.config.relative_to(self.tree).as_posix()}", "/dist")
        spec = ContainerSpec(
            image=found.id,
            called=found.name,
            entrypoint=["/bin/sh"],
            command=["-c", IN_CONTAINER, "build", *words],
            environment={**environment, "LAYERSMITH_CACHE": "/build/cache", "LC_ALL": "C.UTF-8"},
            mounts={"/tree": self.tree, "/tool": self._pinned(), "/uv": programs, **certificates},
            outputs={"/dist": self.dist, "/build": work},
            network="bridge",
            uid=os.getuid(),
            gid=os.getgid(),
            longest=LONGEST,
        )
        ended, said = engine.run_to_end(spec, console.child if console.is_verbose() else None)
        if ended is None or ended.code != 0:
            raise self._failed(said.strip()[-3000:])

    def _pinned(self) -> Path:
        """Return the checkout whose tool the container installs, in the versions that it locks."""
        tool = _tool(self.tree)
        if tool is not None and (tool / "locks" / "jobs.txt").is_file():
            return tool
        raise ProofError(
            "--container needs a checkout of layersmith",
            target=self.manifest.identifier,
            cause="the container installs the versions in locks/jobs.txt of the tool",
            hint="clone layersmith and start its build/layers.py; the manifest names version "
            f"{self.manifest.tools.get('layersmith')}",
        )

    def _words(self, config: str, dist: str) -> list[str]:
        """Return the verb that builds it; with `=`, so that no value is taken for an option."""
        return [
            *("build", "--force", "--quiet", f"--config={config}", f"--dist={dist}"),
            *(f"--layer={self.manifest.layer}", f"--runtime={self.manifest.runtime}"),
            f"--arch={self.manifest.architecture}",
        ]

    def _failed(self, said: str) -> ProofError:
        return ProofError(
            f"commit {self.commit.commit[:12]} does not build: {said}",
            target=self.manifest.identifier,
            cause="a package or tool is not to be had any more, or this machine lacks one",
            hint="run `python build/layers.py doctor`, or build in a container by --container",
        )


def _of_index() -> tuple[dict[str, str], dict[str, Path]]:
    """Return the variables that lead to an index, and the certificates that they name, mounted."""
    names = re.compile(r"UV_(DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL)|\w*_(PROXY|proxy)")
    variables = process.inherited(names)
    given = os.environ.get("SSL_CERT_FILE")
    if not given or not Path(given).is_file():
        return variables, {}
    inside = "/certificates.pem"
    return {**variables, "SSL_CERT_FILE": inside}, {inside: Path(given).resolve()}


def _other_tools(published: Manifest, made: Manifest) -> list[str]:
    """Return what tells the two builds' tools apart."""
    names = sorted({*published.tools, *made.tools})
    found = [
        f"{name} {made.tools.get(name, 'none')} here, {published.tools.get(name, 'none')} there"
        for name in names
        if published.tools.get(name) != made.tools.get(name)
    ]
    if made.bytecode.interpreter != published.bytecode.interpreter:
        here, there = made.bytecode.interpreter, published.bytecode.interpreter
        found.append(f"CPython {here or 'unknown'} here, {there or 'unknown'} there")
    if made.bytecode.note and made.bytecode.note != published.bytecode.note:
        found.append(made.bytecode.note)
    return found
