"""Gives damaged files to every reader of files that a stranger, a disk or a merge may have changed.

A reader may read a damaged file or refuse it with a typed error; whatever else it raises is a bug.
The tests run a few rounds of each, ``nox -s fuzz -- --rounds 5000 --seed 7`` many. A find is told
with the seed and round that make it again: ``nox -s fuzz -- lock --seed 7 --round 4711``.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import io
import json
import os
import random
import shutil
import sys
import tarfile
import tempfile
import traceback
import warnings
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chroma_store.snapshots import codec
from chroma_store.snapshots.manifest import (
    Chunk,
    ChunkLayer,
    CollectionInfo,
    FileEntry,
    SnapshotManifest,
)
from chroma_store.snapshots.pointer import read_pointer
from layersmith.assemble import manifest, strip, wheel
from layersmith.audit import judge
from layersmith.base import elf, origins, runtimes
from layersmith.config import loader
from layersmith.config.models import Layer
from layersmith.crossbuild import finished, host, sdist
from layersmith.errors import LayersmithError
from layersmith.liteblas import compiler, imports
from layersmith.lock import document, inputs, requirements, resolver, wheelstore
from layersmith.plan import Target
from layersmith.prove import layer_zip
from layersmith.prove.cold import importtime
from layersmith.prove.slim import names
from layersmith.report import found
from layersmith.ship import arns
from layersmith.ship.cost import billing, usage
from layersmith.ship.release import bumps
from layersmith.stacks import sessions, stage, templates
from layersmith.verbs import publish
from layersmith.weigh import listings
from layersmith.weigh.listings import Traffic
from vector_common import deltas
from vector_common.deltas import Delta
from vector_common.errors import VectorError
from vector_common.names import pointer_key
from vector_common.records import CollectionSpec, parse_records
from vector_common.storage.folder import FileStorage

from tests.support import mutations, wheels, zips
from tests.support.tiny_elf import TinyElf
from tests.unit.report import made

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Damages = tuple[Callable[[bytes, random.Random], bytes], ...]

ROOT = Path(__file__).parents[1]
RUNTIME = runtimes.get("python3.13")


CONFIG = """\
defaults: {runtimes: [python3.13]}
layers:
  demo:
    description: demo
    version: 1.0.0
    requirements: ["idna==3.10", 'six; python_version < "4"']
    excludes: {six: not needed}
    budgets: {zipped: 10 MB}
    prune: {add: [tests], keep: ["idna/*.py"]}
functions:
  f: {layers: [demo], memory: 256}
"""

REQUIREMENTS = """\
# what the layer needs
-r other.txt
idna==3.10  # pinned
six>=1.16 ; \\
    python_version < "3.14"
demo[extra]~=1.0,!=1.0.3
"""

PYPROJECT = """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"
backend-path = ["."]

[project]
name = "demo"
version = "1.0"
dynamic = ["dependencies"]
optional-dependencies = { x = ["six"] }
"""

IMPORTS = """\
import time: self [us] | cumulative | imported package
import time:       130 |        130 |     _json
import time:       200 |        330 |   json.decoder
import time:        90 |        420 | json
"""

STAGE = "region: eu-west-1\nstacks:\n  data: {Retention: '7'}\n  api:\n"

TEMPLATE = """\
Resources:
  Bucket: {Type: 'AWS::S3::Bucket', Properties: {BucketName: !Sub "${AWS::Region}-x"}}
Outputs: {Name: {Value: !GetAtt Bucket.Arn, Export: {Name: x}}}
"""

INDEX = {
    "format": 1,
    "layers": [
        {
            "layer": "demo",
            "version": "1.0.0",
            "runtime": "python3.13",
            "architecture": "arm64",
            "region": "eu-west-1",
            "arn": "arn:aws:x",
            "latest": True,
        }
    ],
}

JOBS = {
    "jobs": [
        {
            "name": "build",
            "labels": ["ubuntu-24.04-arm"],
            "status": "completed",
            "started_at": "2026-11-01T00:00:00Z",
            "completed_at": "2026-11-01T00:10:00Z",
        }
    ]
}

MANIFEST = "demo-1.0.0-python3.13-arm64.json"
LAYER = "demo-1.0.0-python3.13-arm64.zip"
ID = "01936c2a-0000-7000-8000-000000000000"
VECTOR = (VectorError,)
SPEC = CollectionSpec(name="receipts", dimension=2, space="l2")


@dataclass(frozen=True)
class Reader:
    """Something that reads files.

    Attributes:
        name: For reports and the command line.
        filename: Name of the file that it reads.
        seed: A sound file.
        read: Reads the file at a path, with all that is read of it later.
        damages: How the file is damaged.
        errors: What it may raise beside LayersmithError.
        sound: Whether the seed is read to its end; only numpy's real wheel is by what reads it.
    """

    name: str
    filename: str
    seed: bytes
    read: Callable[[Path], object]
    damages: Damages = (mutations.damage,)
    errors: tuple[type[Exception], ...] = ()
    sound: bool = True


class Crash(NamedTuple):
    """A file that a reader did not survive."""

    reader: str
    seed: int
    round: int
    trace: str


def attack(reader: Reader, seed: int, number: int, folder: Path) -> Crash | None:
    """Damage a file once and read it; the same seed and number make the same file."""
    rng = random.Random(f"{seed}/{reader.name}/{number}")
    content = rng.choice(reader.damages)(reader.seed, rng)
    path = folder / "fuzz" / reader.filename
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(path)
    except Exception as raised:
        if isinstance(raised, (LayersmithError, *reader.errors)):
            return None
        return Crash(reader.name, seed, number, traceback.format_exc())
    return None


@functools.cache
def target() -> Target:
    """Return a target to read files for."""
    layer = Layer(description="d", version="1.0.0", runtimes=["python3.13"], requirements=["x"])
    return Target("demo", RUNTIME, "arm64", layer)


def readers() -> list[Reader]:
    """Return every reader, with a sound file of its own making."""
    return [
        *_text_readers(),
        *_json_readers(),
        *_archive_readers(),
        *_vector_readers(),
        *_elf_readers(),
    ]


def _text_readers() -> Iterator[Reader]:
    yield Reader("config", "layers.yaml", CONFIG.encode(), loader.load)
    yield Reader(
        "requirements", "requirements.txt", REQUIREMENTS.encode(),
        _read_requirements,
    )  # fmt: skip
    yield Reader("lock", "demo-python3.13-arm64.txt", _lock().encode(), document.read)
    yield Reader(
        "package", "pyproject.toml", PYPROJECT.encode(),
        lambda path: inputs.local_package(path.parent.parent, path.parent.name, target()),
    )  # fmt: skip
    yield Reader(
        "runtimes", "runtimes.toml", (ROOT / "build/layersmith/base/runtimes.toml").read_bytes(),
        runtimes.load,
    )  # fmt: skip
    yield Reader("uv pylock", "pylock.toml", PYLOCK.encode(), _read_offers)
    yield Reader("uv lock", "uv.lock", UV_LOCK.encode(), _read_graph)
    yield Reader("uv configuration", "uv.toml", UV_TOML.encode(), _read_origins)
    yield Reader("import times", "stderr.txt", IMPORTS.encode(), _read_imports)
    yield Reader(
        "changelog", "CHANGELOG.md", (ROOT / "CHANGELOG.md").read_bytes(),
        lambda path: bumps.add_section(bumps.read_changelog(path), "## [x-v1.0.0]\n"),
    )  # fmt: skip
    yield Reader("stage", "dev.yaml", STAGE.encode(), lambda path: stage.load(path.parent, "dev"))
    yield Reader(
        "template", "demo.yaml", TEMPLATE.encode(), lambda path: templates.load(path.parent)
    )


def _json_readers() -> Iterator[Reader]:
    both = (mutations.damage, mutations.damage_json, mutations.damage_json)

    def reader(name: str, filename: str, seed: object, read: Callable[[Path], object]) -> Reader:
        content = seed if isinstance(seed, str) else json.dumps(seed)
        return Reader(name, filename, content.encode(), read, both)

    record = made.manifest()
    yield reader("manifest", MANIFEST, record.to_json(), manifest.read)
    yield reader("baseline", MANIFEST, record.to_json(), lambda path: found.read(path.parent, path))
    yield reader("index", "layers.json", INDEX, lambda path: arns.parse(path.read_bytes()))
    yield reader(
        "plan", "plan.json", {"format": 2, "accounts": [], "artifacts": {}, "actions": []},
        lambda path: publish.unchanged(path, {"accounts": [], "artifacts": {}, "actions": []}),
    )  # fmt: skip
    yield reader(
        "prices", "prices.json", {"prices": {"s3-storage-gb-month": {"price": 1}}}, billing.load
    )
    yield reader("jobs", "jobs.json", JOBS, usage.read_jobs)
    yield reader(
        "session", "items.json", {"items": [{"function": "f", "event": {"a": [1]}}]},
        lambda path: sessions.read_input(path, "db"),
    )  # fmt: skip


def _archive_readers() -> Iterator[Reader]:
    damages = (mutations.damage, mutations.damage_member)
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "demo/__init__.py": b"import json\n" * 9,
            "demo/_c.so": TinyElf(needed=("libc.so.6",)).build(),
        }
        path = wheels.make(Path(folder), "demo", files, requires=["idna>=3 ; extra == 'x'"])
        whl, name = path.read_bytes(), path.name
    layer = zips.content({f"python/{inner}": content for inner, content in _members(whl)})
    numpy = "numpy-2.3.5-cp313-cp313-manylinux_2_28_aarch64.whl"
    yield Reader("wheel", name, whl, _read_wheel, damages)
    yield Reader("wheel store", name, whl, _admit, damages)
    yield Reader("listing", name, whl, _list, damages)
    yield Reader("numpy", numpy, _numpy(whl), imports.read, damages, sound=False)
    yield Reader("built wheel", name, whl, _finish, damages)
    yield Reader("audit", LAYER, layer, _audit, damages)
    yield Reader("layer", LAYER, layer, _read_layer, damages)
    for filename, content in (("demo-1.0.zip", _sdist_zip()), ("demo-1.0.tar.gz", _sdist_tar())):
        kinds = damages if filename.endswith(".zip") else (mutations.damage, _damage_tar)
        yield Reader(f"sdist{Path(filename).suffix}", filename, content, _read_sdist, kinds)
    yield Reader("sdist listing", "demo-1.0.tar.gz", _sdist_tar(), _list, (_damage_tar,))
    yield Reader("numpy sdist", "numpy-2.3.5.tar.gz", _sdist_tar(), _read_numpy, (_damage_tar,))


def _elf_readers() -> Iterator[Reader]:
    content = TinyElf(
        needed=("libc.so.6", "libm.so.6"),
        soname="lib.so.1",
        runpath="$ORIGIN/../x.libs",
        versions={"libc.so.6": ("GLIBC_2.17", "GLIBC_2.34")},
        exports=("PyInit__c",),
    ).build()
    yield Reader("ELF", "_c.so", content, _read_elf, errors=(elf.DamagedElf,))
    yield Reader("strip", "_c.so", content, lambda path: strip.strip(path.read_bytes()))


def _vector_readers() -> Iterator[Reader]:
    """Yield what the Chroma server and the functions read of a store that others write to."""
    raw = [{"id": "a", "embedding": [1, 2], "metadata": {"k": 1}}, {"op": "delete", "id": "b"}]
    delta = deltas.encode(Delta(ID, SPEC, parse_records(raw, SPEC)))
    both = (mutations.damage, mutations.damage_json, mutations.damage_json)
    chunk = codec.compress(b"page" * 900)

    def reader(
        name: str, seed: bytes, read: Callable[[bytes], object], damages: Damages = both
    ) -> Reader:
        return Reader(name, name, seed, lambda path: read(path.read_bytes()), damages, VECTOR)

    yield reader("delta", delta, lambda data: deltas.decode(data, ID), (_damage_delta,))
    yield reader("snapshot", _snapshot(), SnapshotManifest.parse)
    yield reader(
        "chunk", chunk, lambda data: codec.decompress([data], 3600, codec.sha256(b"page" * 900),
        what="chunk"), (mutations.damage,),
    )  # fmt: skip
    pointer = {
        "format": 1,
        "snapshot_id": ID,
        "manifest_sha256": "0" * 64,
        "generation": 1,
        "database": "db",
    }
    yield reader("pointer", json.dumps(pointer).encode(), _read_pointer)


def _snapshot() -> bytes:
    return SnapshotManifest(
        snapshot_id=ID,
        database="db",
        parent=None,
        created_at="2026-11-21T00:00:00.000+00:00",
        chroma_version="1.5.9",
        collections=(CollectionInfo("c", 2, 1, "l2"),),
        consumed={ID: 1},
        files=(FileEntry("chroma.sqlite3", 5, 0, 0),),
        chunks=(Chunk(5, "0" * 64, (ChunkLayer(f"{ID}/000000", 0, 9),)),),
    ).serialize()


def _read_pointer(data: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        store = FileStorage(Path(folder))
        store.put(pointer_key("db"), data)
        return read_pointer(store, "db")


def _damage_delta(content: bytes, rng: random.Random) -> bytes:
    """Damage a delta and let its checksum fit, as a writer with a bug would."""
    head, _, body = content.partition(b"\n")
    lines = body.splitlines()
    place = rng.randrange(len(lines) + 1)
    if place == len(lines):
        head = mutations.damage_json(head, rng)
    else:
        lines[place] = mutations.damage_json(lines[place], rng)
    body = b"\n".join(lines) + b"\n"
    header = json.loads(head)
    header.pop("sha256", None)
    header["sha256"] = sha256(
        json.dumps(header, separators=(",", ":")).encode() + b"\n" + body
    ).hexdigest()
    return json.dumps(header).encode() + b"\n" + body


def _members(content: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            yield name, archive.read(name)


SOURCES = {
    "demo-1.0/pyproject.toml": PYPROJECT.encode(),
    "demo-1.0/PKG-INFO": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
    "demo-1.0/demo/__init__.py": b"import json\n",
    **{
        f"demo-1.0/{compiler.FOLDER}{name}": b"  static int x = 1;\n"
        for name in (
            *(*compiler.LAPACK, *compiler.HEADERS),
            *(compiler.REFERENCE_BLAS, compiler.LIBRARY, compiler.LICENSE),
        )
    },
}


def _numpy(wheel_: bytes) -> bytes:
    blas = "libscipy_openblas64_-1.so"
    libraries = {
        f"numpy.libs/{blas}": TinyElf(soname=blas, exports=("scipy_cblas_dgemm64_",)).build(),
        "numpy/_core/_multiarray_umath.so": TinyElf(needed=(blas,)).build(),
    }
    return zips.content({**dict(_members(wheel_)), **libraries})


def _sdist_zip() -> bytes:
    return zips.content(SOURCES)


def _sdist_tar(sources: Mapping[str, bytes] | None = None) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as archive:
        for name, content in (sources or SOURCES).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return memory.getvalue()


def _damage_tar(content: bytes, rng: random.Random) -> bytes:
    """Damage what is inside the compressed stream, or a file before it was packed."""
    if rng.randrange(2):
        return gzip.compress(mutations.damage(gzip.decompress(content), rng), 1)
    chosen = rng.choice(list(SOURCES))
    return _sdist_tar({**SOURCES, chosen: mutations.damage(SOURCES[chosen], rng)})


def _read_requirements(path: Path) -> object:
    path.with_name("other.txt").write_text("attrs\n")
    return requirements.read(path, path.parent)


def _read_imports(path: Path) -> object:
    roots = importtime.parse(path.read_text("utf-8", "replace"))
    return importtime.by_distribution(roots), importtime.costliest(roots, 3)


def _read_wheel(path: Path) -> object:
    read = wheel.read(path, "demo")
    contents = [entry.source.read() for entry in read.entries]
    needs = read.requirements(target())
    return contents, read.hashes, read.modules, read.license, needs


def _admit(path: Path) -> object:
    content = path.read_bytes()
    return wheelstore.admit(sha256(content).hexdigest(), path.name, content)


def _list(path: Path) -> object:
    digest = sha256(path.read_bytes()).hexdigest()
    stored = wheelstore.path_of(digest, path.name)
    stored.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, stored)
    request = listings.ListingRequest("demo", path.name, digest, "")
    (listing,) = listings.listings([request], Traffic())
    return listings.as_wheel(listing, request).requirements(target())


def _finish(path: Path) -> object:
    out = path.parent / "out"
    out.mkdir()
    return finished.finish(path, out, RUNTIME, "arm64")


def _audit(path: Path) -> object:
    return judge.audit_zip(path, RUNTIME, "arm64").model_dump_json()


def _read_layer(path: Path) -> object:
    layer = layer_zip.LayerZip(path)
    machines = [layer.machine(member) for member in layer.paths]
    layer_zip.unpack([path], path.parent / "opt")
    return machines, names.Names(path).reached(["demo"])


def _read_sdist(path: Path) -> object:
    if path.suffix != ".zip":
        host.compiles(path)
    project = sdist.read(path)
    into = path.parent / "sources"
    into.mkdir()
    return project.kind, sdist.unpack(path, into)


def _read_numpy(path: Path) -> None:
    into = path.parent / "sources"
    into.mkdir()
    compiler.unpack(path, into, ["dgesv_"])


def _read_elf(path: Path) -> object:
    content = path.read_bytes()
    return elf.read(content, module="_c"), elf.symbols(content), elf.section_sizes(content)


PYLOCK = """\
lock-version = "1.0"
created-by = "uv"
[[packages]]
name = "idna"
version = "3.10"
marker = "python_version >= '3.8'"
sdist = { url = "https://index.test/idna-3.10.tar.gz", size = 7, hashes = { sha256 = "ab" } }
wheels = [{ url = "https://index.test/idna-3.10-py3-none-any.whl", hashes = { sha256 = "cd" } }]
[[packages]]
name = "here"
directory = { path = "here" }
"""
UV_LOCK = """\
version = 1
[[package]]
name = "layers-yaml"
dependencies = [{ name = "idna", marker = "os_name == 'posix'" }]
[[package]]
name = "idna"
[package.optional-dependencies]
all = [{ name = "six" }]
"""
UV_TOML = """\
index-strategy = "first-index"
find-links = ["wheels"]
[[index]]
name = "own"
url = "https://index.test/simple"
[pip]
keyring-provider = "disabled"
"""


def _read_offers(path: Path) -> object:
    return resolver._answer(path, lambda answer: resolver.read_offers(answer, path.parent))


def _read_origins(path: Path) -> object:
    return origins.settings(path.parent)


def _read_graph(path: Path) -> object:
    return resolver._answer(path, lambda answer: resolver.read_graph(answer, {"os_name": "posix"}))


def _lock() -> str:
    entry = document.LockEntry("idna", "3.10", "0" * 64, "idna-3.10-py3-none-any.whl", ("six",))
    return document.render(document.Lock([entry], "1" * 64, {"requirements": "2" * 64}), "demo")


def run(chosen: Sequence[Reader], seed: int, rounds: range, folder: Path) -> Iterator[Crash]:
    """Attack readers in turn and yield what they did not survive, once for each way to fail."""
    seen: set[tuple[str, str]] = set()
    for reader in chosen:
        for number in rounds:
            crash = attack(reader, seed, number, folder)
            if crash and (key := (crash.reader, _where(crash.trace))) not in seen:
                seen.add(key)
                yield crash


def _where(trace: str) -> str:
    """Return the line of this repository that a traceback went through last."""
    lines = [line for line in trace.splitlines() if line.startswith("  File ")]
    own = [line for line in lines if "layersmith" in line or "chroma" in line or "vector" in line]
    return (own or lines)[-1]


def main(words: Sequence[str]) -> int:
    """Attack readers and return 1 where one of them crashed."""
    known = readers()
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("reader", nargs="*", help=", ".join(one.name for one in known))
    parser.add_argument("--rounds", type=int, default=2000, help="files for each reader (2000)")
    parser.add_argument("--seed", type=int, default=0, help="of all files (0)")
    parser.add_argument("--round", type=int, help="only this one")
    args = parser.parse_args(words)
    rounds = range(args.rounds) if args.round is None else range(args.round, args.round + 1)
    chosen = [one for one in known if not args.reader or one.name in args.reader]
    if lost := set(args.reader) - {one.name for one in chosen}:
        parser.error(f"no reader is called {', '.join(sorted(lost))}")
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAYERSMITH_CACHE"] = folder
        for crash in run(chosen, args.seed, rounds, Path(folder)):
            count += 1
            print(
                f"{crash.reader}: --seed {crash.seed} --round {crash.round}\n{crash.trace}",
                flush=True,
            )
    print(f"{len(chosen) * len(rounds):,} files, {count} kinds of crashes")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
