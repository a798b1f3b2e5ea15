"""Compares two zips member by member: the first that differs, and in what."""

from __future__ import annotations

import contextlib
import os
import struct
import zipfile
from typing import TYPE_CHECKING, Literal, NamedTuple

from layersmith import cache
from layersmith.assemble.manifest import ManifestPart
from layersmith.base import damage
from layersmith.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import IO

SIGNATURE = "META-INF/aws_signer_signature_v1.0.SF"
"""The member that AWS Signer adds to a zip (AWS Signer Developer Guide, signing for Lambda)."""

LOCAL_HEADER = struct.Struct("<26xHH")
"""Of a zip's member (PKWARE APPNOTE, 4.3.7): the lengths of its name and of its extra field."""

Kind = Literal["missing", "extra", "order", "bytes", "mode", "time", "compression", "headers"]


class Difference(ManifestPart):
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


def compare(published: Path, rebuilt: Path, *, signed: bool = False) -> Difference | None:
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
