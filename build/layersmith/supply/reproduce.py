"""Builds a published layer again from the commit that its manifest names, and compares the zips.

Nothing of the machine but its interpreter takes part: the work tree has nothing but the commit, the
caches are empty, and the build sees no credentials but those of package indexes.

The zips are compared member by member: the first that differs is named, and in what.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import struct
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

import layersmith
from layersmith import cache, console, process
from layersmith import cache as store
from layersmith.assemble import manifest as manifests
from layersmith.base import damage, uv
from layersmith.base.models import StrictModel
from layersmith.engine.models import ContainerSpec
from layersmith.errors import ProofError
from layersmith.supply import commits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    from layersmith.assemble.manifest import BuildCommit, Manifest

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

SIGNATURE = "META-INF/aws_signer_signature_v1.0.SF"
"""The member that AWS Signer adds to a zip (AWS Signer Developer Guide, signing for Lambda)."""

LOCAL_HEADER = struct.Struct("<26xHH")
"""Of a zip's member (PKWARE APPNOTE, 4.3.7): the lengths of its name and of its extra field."""

Kind = Literal["missing", "extra", "order", "bytes", "mode", "time", "compression", "headers"]


class Reproduction(StrictModel):
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
    difference: Difference | None = None
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
        return is_signed(self.path)

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
        different = first_difference(published.path, built, signed=signed)
    if different is None and made.artifact.sha256 != manifest.artifact.sha256:
        different = Difference(
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


class Difference(StrictModel):
    """The first member of a zip that is not the same in both."""

    member: str
    """Path in the zip; empty for what belongs to no member."""
    kind: Kind
    """``missing`` from the rebuilt zip, ``extra`` in it, or what differs."""
    detail: str
    """What is published, and what was built, for people."""


class _Member(NamedTuple):
    """A member of a zip: what its header says, and where its compressed bytes are."""

    info: zipfile.ZipInfo
    archive: zipfile.ZipFile

    def raw(self) -> bytes:
        stream = self.archive.fp
        assert stream is not None
        stream.seek(self.info.header_offset)
        name, extra = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))
        stream.seek(name + extra, os.SEEK_CUR)
        return stream.read(self.info.compress_size)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a published zip.

    Raises:
        ProofError: It, or what the block reads of it, is damaged.
    """
    again = "fetch it again"
    with damage.told(path.name, ProofError, hint=again), zipfile.ZipFile(path) as archive:
        yield archive


def is_signed(path: Path) -> bool:
    """Whether AWS Signer added its signature to a zip.

    Raises:
        ProofError: It is damaged.
    """
    with opened(path) as archive:
        return SIGNATURE in archive.namelist()


def first_difference(published: Path, rebuilt: Path, *, signed: bool = False) -> Difference | None:
    """Return the first member that differs, or None where the zips are the same.

    Args:
        published: The one zip.
        rebuilt: The other zip.
        signed: Leave AWS Signer's signature out of the published one, and how its members are
            compressed and dated: the service writes the zip anew.

    Raises:
        ProofError: One of them is damaged.
    """
    if not signed and cache.sha256_file(published) == cache.sha256_file(rebuilt):
        return None
    with opened(published) as one, opened(rebuilt) as other:
        theirs = [info for info in one.infolist() if not (signed and info.filename == SIGNATURE)]
        ours = {info.filename: info for info in other.infolist()}
        for info in theirs:
            mine = ours.get(info.filename)
            if mine is None:
                return _missing(info)
            if found := _differs(_Member(info, one), _Member(mine, other), signed=signed):
                return found
        known = {info.filename for info in theirs}
        for mine in ours.values():
            if mine.filename not in known:
                return Difference(
                    member=mine.filename,
                    kind="extra",
                    detail=f"only built again has it, {mine.file_size:,} bytes",
                )
        for info, mine in zip(theirs, ours.values(), strict=False):
            if info.filename != mine.filename:
                detail = f"built again has {mine.filename} in its place"
                return Difference(member=info.filename, kind="order", detail=detail)
    if signed:
        return None
    return Difference(
        member="", kind="headers", detail="all members are the same; comments or headers differ"
    )


def _missing(info: zipfile.ZipInfo) -> Difference:
    detail = f"only published has it, {info.file_size:,} bytes"
    return Difference(member=info.filename, kind="missing", detail=detail)


def _differs(published: _Member, rebuilt: _Member, *, signed: bool) -> Difference | None:
    """Return what differs between two members of one name: what matters most first."""
    (one, first), (other, second) = published, rebuilt
    member = one.filename

    def told(kind: Kind, what: str, there: object, here: object) -> Difference:
        detail = f"{what}: {there} published, {here} built again"
        return Difference(member=member, kind=kind, detail=detail)

    if one.file_size != other.file_size:
        return told("bytes", "size in bytes", f"{one.file_size:,}", f"{other.file_size:,}")
    with first.open(one) as left, second.open(other) as right:
        at = _first_byte(left, right)
    if at is not None:
        return Difference(member=member, kind="bytes", detail=f"bytes differ from offset {at:,} on")
    modes = [f"{info.external_attr >> 16:o}" for info in (one, other)]
    if modes[0] != modes[1]:
        return told("mode", "mode", *modes)
    return None if signed else _framed(published, rebuilt, told)


def _framed(
    published: _Member, rebuilt: _Member, told: Callable[[Kind, str, object, object], Difference]
) -> Difference | None:
    """Return what differs in how two members with the same content are written."""
    one, other = published.info, rebuilt.info
    if one.date_time != other.date_time:
        dates = [
            "{}-{:02}-{:02} {:02}:{:02}:{:02}".format(*info.date_time) for info in (one, other)
        ]
        return told("time", "time", *dates)
    if one.compress_type != other.compress_type:
        names = [zipfile.compressor_names.get(info.compress_type) for info in (one, other)]  # type: ignore[attr-defined]
        return told("compression", "compressed by", names[0], names[1])
    if published.raw() != rebuilt.raw():
        sizes = [f"{info.compress_size:,}" for info in (one, other)]
        return told("compression", "same content, compressed to bytes", sizes[0], sizes[1])
    headers = [
        (info.extra, info.flag_bits, info.create_system, info.comment) for info in (one, other)
    ]
    if headers[0] != headers[1]:
        detail = "flags, extra field, system or comment"
        return Difference(member=one.filename, kind="headers", detail=detail)
    return None


def _date(info: zipfile.ZipInfo) -> str:
    year, month, day, *time = info.date_time
    return f"{year}-{month:02}-{day:02} {time[0]:02}:{time[1]:02}:{time[2]:02}"


def _first_byte(left: IO[bytes], right: IO[bytes]) -> int | None:
    """Return the offset of the first byte that differs; None where there is none."""
    at = 0
    while True:
        one, other = left.read(1 << 20), right.read(1 << 20)
        if one != other:
            pairs = zip(one, other, strict=False)
            return at + next(
                (i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other))
            )
        if not one:
            return None
        at += len(one)
