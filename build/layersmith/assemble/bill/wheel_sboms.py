"""The bills of materials inside wheels (PEP 770): read, checked, and made fit to be merged.

Wheels come from anywhere, so that what their bills say is validated before it is taken, and is
bounded. What is wrong with one never fails a build: nobody but its author can correct it. It is
named in a warning and in the layer's own bill.
"""

from __future__ import annotations

import graphlib
import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from packaging.utils import canonicalize_name
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from layersmith.assemble.bill.licenses import IDENTIFIER, canonical
from layersmith.assemble.tree import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layersmith.assemble.bill.licenses import LicenseText
    from layersmith.assemble.tree import Entry
    from layersmith.assemble.wheel import Wheel

LARGEST = 16 << 20
"""Bytes of the bills of one wheel; pillow's are 23 kB, those of large Rust projects below 1 MB."""

MOST = 10_000
"""Components of one wheel; the largest Rust projects have about 1,000."""

NAMED = 3
"""Loose ends that a message names; the others are counted."""

HASH = r"^([a-fA-F0-9]{32}|[a-fA-F0-9]{40}|[a-fA-F0-9]{64}|[a-fA-F0-9]{96}|[a-fA-F0-9]{128})$"
CPE = (
    r"^(cpe:/[aho](:[A-Za-z0-9._~%-]*){0,6}"
    r"|cpe:2\.3:[aho*-](:([*-]|([A-Za-z0-9._-]|\\[!-/:-@\[-`{-~])+)){5}"
    r":([*-]|[A-Za-z]{2,3}(-([A-Za-z]{2}|[0-9]{3}))?)"
    r"(:([*-]|([A-Za-z0-9._-]|\\[!-/:-@\[-`{-~])+)){4})$"
)
URL = r"^[^\s<>\"{}|\\^`\x00-\x1f]+$"
"""What CycloneDX 1.6 takes as a hash, a CPE and a URL, or less (bom-1.6.schema.json)."""

# What versions after 1.6 add is taken as `other`.
REFERENCES = frozenset(
    {
        *("vcs", "issue-tracker", "website", "advisories", "bom", "mailing-list", "social", "chat"),
        *("documentation", "support", "source-distribution", "distribution", "license"),
        *("distribution-intake", "build-meta", "build-system", "release-notes", "security-contact"),
    }
)


class SbomPart(BaseModel):
    """Base of what is taken from a wheel's bill; the names are CycloneDX's."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


class SbomHash(SbomPart):
    """A hash of a component."""

    alg: Literal[
        "MD5",
        "SHA-1",
        "SHA-256",
        "SHA-384",
        "SHA-512",
        "SHA3-256",
        "SHA3-384",
        "SHA3-512",
        "BLAKE2b-256",
        "BLAKE2b-384",
        "BLAKE2b-512",
        "BLAKE3",
    ]
    content: str = Field(pattern=HASH)


class SbomText(SbomPart):
    """The text of a licence or of a patch."""

    content_type: str | None = None
    encoding: Literal["base64"] | None = None
    content: str


class SbomLicense(SbomPart):
    """A licence."""

    id: str | None = None
    name: str | None = None
    text: SbomText | None = None
    url: str | None = Field(None, pattern=URL)


class SbomLicenseChoice(SbomPart):
    """A licence, or an expression of several."""

    license: SbomLicense | None = None
    expression: str | None = None


class SbomReference(SbomPart):
    """A link to more about a component."""

    type: Annotated[str, BeforeValidator(lambda said: said if said in REFERENCES else "other")]
    url: str = Field(pattern=URL)
    comment: str | None = None
    hashes: list[SbomHash] | None = None


class SbomDiff(SbomPart):
    """What a patch changes."""

    text: SbomText | None = None
    url: str | None = Field(None, pattern=URL)


class SbomPatch(SbomPart):
    """A patch of a component."""

    type: Literal["unofficial", "monkey", "backport", "cherry-pick"]
    diff: SbomDiff | None = None


class SbomProperty(SbomPart):
    """A property of a component."""

    name: str
    value: str | None = None


class SbomPedigree(SbomPart):
    """What a component was made from."""

    ancestors: list[SbomComponent] | None = None
    descendants: list[SbomComponent] | None = None
    variants: list[SbomComponent] | None = None
    patches: list[SbomPatch] | None = None
    notes: str | None = None


class SbomComponent(SbomPart):
    """A component of a wheel's bill, with the fields that identify it and its terms."""

    model_config = ConfigDict(extra="allow")

    bom_ref: str | None = Field(None, alias="bom-ref")
    type: Literal[
        "application",
        "framework",
        "library",
        "container",
        "platform",
        "operating-system",
        "device",
        "device-driver",
        "firmware",
        "file",
        "machine-learning-model",
        "data",
        "cryptographic-asset",
    ]
    group: str | None = None
    name: str
    version: str | None = None
    description: str | None = None
    scope: Literal["required", "optional", "excluded"] | None = None
    publisher: str | None = None
    author: str | None = None
    hashes: list[SbomHash] | None = None
    licenses: list[SbomLicenseChoice] | None = None
    copyright: str | None = None
    cpe: str | None = Field(None, pattern=CPE)
    purl: str | None = None
    pedigree: SbomPedigree | None = None
    external_references: list[SbomReference] | None = None
    components: list[SbomComponent] = []
    properties: list[SbomProperty] | None = None

    def inside(self) -> Iterator[SbomComponent]:
        """Yield it and all components within it."""
        yield self
        for one in self.components:
            yield from one.inside()


class SbomDependency(SbomPart):
    """What a component needs."""

    ref: str
    depends_on: list[str] = []


class SbomMetadata(SbomPart):
    """What a bill is of."""

    component: SbomComponent | None = None
    tools: Any = None
    """What made the bill or the wheel; no part of either."""


class SbomFile(SbomPart):
    """A bill as a wheel holds it."""

    model_config = ConfigDict(extra="allow")

    schema_: Any = Field(None, alias="$schema")
    bom_format: str | None = None
    spdx_version: str | None = None
    context: Any = Field(None, alias="@context")
    """Of SPDX 3, which is JSON-LD."""
    spec_version: Any = None
    serial_number: Any = None
    version: Any = None
    metadata: SbomMetadata = SbomMetadata()
    components: list[SbomComponent] = []
    dependencies: list[SbomDependency] = []


@dataclass
class Embedded:
    """What the bills inside one wheel add to the bill of a layer.

    Attributes:
        components: Components as CycloneDX 1.6 writes them, in the order of the wheel's bills.
        edges: Reference of a component to those of the components that it needs; the reference of
            the distribution itself included.
        problems: What is wrong with the bills, and what of them is missing here.
        omitted: Fields that are not taken; the wheel's bill has them.
        count: Components that were read.
        texts: Files with the terms of the distribution.
        reason: Why a stub takes its place.
    """

    components: list[dict[str, Any]] = field(default_factory=list)
    edges: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    omitted: set[str] = field(default_factory=set)
    count: int = 0
    texts: list[LicenseText] = field(default_factory=list)
    reason: str | None = None


def read(wheel: Wheel, version: str, own: str) -> Embedded:
    """Read all bills of a wheel.

    Args:
        wheel: The wheel.
        version: Version of its distribution.
        own: Reference of the distribution in the bill of the layer.

    Raises:
        BuildError: A member of the wheel is damaged.
    """
    found = Embedded()
    folder = f"{PREFIX}{wheel.dist_info}/sboms/"
    files = {entry.path: entry for entry in wheel.entries}
    left = LARGEST
    for path in sorted(path for path in files if path.startswith(folder)):
        name, left = path.removeprefix(folder), left - files[path].size
        if left < 0:
            found.problems.append(f"{name} is not read: the SBOMs are larger than {LARGEST} bytes")
        elif not name.endswith(".json"):
            found.problems.append(f"{name} is not read: only CycloneDX in JSON is")
        else:
            bill = _parsed(name, files[path].source.read(), found)
            if bill:
                _Merge(name, bill, wheel.distribution, version, own, found, files).run()
    return found


def terms(content: bytes) -> list[tuple[str, str]]:
    """Return components of one bill with the SPDX expressions that it states for each.

    A bill that cannot be read has none; the build says what is wrong with it.

    Args:
        content: The bill as the wheel holds it.
    """
    bill = _parsed("", content, Embedded()) if len(content) <= LARGEST else None
    found = []
    for outer in bill.components if bill else ():
        for one in outer.inside():
            for said in one.licenses or ():
                text = said.expression or (said.license and (said.license.id or said.license.name))
                if text and (expression := canonical(text)):
                    found.append((one.name, expression))
    return found


def _parsed(name: str, content: bytes, found: Embedded) -> SbomFile | None:
    try:
        bill = SbomFile.model_validate_json(content)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        found.problems.append(
            f"{name} is not valid CycloneDX: {f'{where}: ' if where else ''}{first['msg']}"
        )
        return None
    if bill.bom_format != "CycloneDX":
        spdx = bill.spdx_version or ("SPDX-3" if "spdx" in str(bill.context)[:200] else None)
        other = f"{spdx[:20]}, and only CycloneDX is" if spdx else "neither CycloneDX nor SPDX"
        found.problems.append(f"{name} is not read: it is {other}")
        return None
    root = bill.metadata.component
    listed = [*bill.components, *([root] if root else [])]
    count = sum(1 for one in listed for _ in one.inside())
    if found.count + count > MOST:
        found.problems.append(f"{name} is not read: {count} components; a wheel may have {MOST}")
        return None
    found.count += count
    return bill


@dataclass
class _Merge:
    """One bill on its way into the layer's."""

    name: str
    bill: SbomFile
    distribution: str
    version: str
    own: str
    found: Embedded
    files: Mapping[str, Entry]
    refs: dict[str, str] = field(default_factory=dict)
    uses: Counter[str] = field(default_factory=Counter)
    digests: dict[tuple[str, str], str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def run(self) -> None:
        root = self.bill.metadata.component
        self.found.omitted.update(self.bill.model_extra or ())
        if root and self._is_other_version(root):
            self._say(f"it is of {root.name} {root.version}")
        listed = [*self.bill.components]
        if root and (root.bom_ref is None or root.bom_ref not in {one.bom_ref for one in listed}):
            listed.insert(0, root)
        for one in listed:
            if not self._is_self(one):
                self.found.components.append(self._component(one))
                continue
            self.refs.setdefault(one.bom_ref or "", self.own)
            self.found.components += map(self._component, one.components)
        twice = [ref for ref, count in self.uses.items() if count > 1]
        if twice:
            self._say(f"several components have the bom-ref {_some(twice)}")
        if self.wrong:
            self._say(f"hashes are not those of the files, and are left out: {_some(self.wrong)}")
        self._edges()

    def _say(self, problem: str) -> None:
        self.found.problems.append(f"{self.name}: {problem}")

    def _named(self, one: SbomComponent) -> tuple[str, str] | None:
        """Return name and version of a distribution of the index; None for anything else."""
        purl = re.fullmatch(r"pkg:pypi/([^@?#/]+)(?:@([^?#]*))?(\?[^#]*)?", one.purl or "")
        if purl:
            return canonicalize_name(purl[1]), purl[2] or one.version or ""
        return None if one.purl else (canonicalize_name(one.name), one.version or "")

    def _is_self(self, one: SbomComponent) -> bool:
        """Whether a component is the distribution whose wheel holds the bill."""
        named = self._named(one)
        return named is not None and named[0] == self.distribution

    def _is_other_version(self, root: SbomComponent) -> bool:
        named = self._named(root) if root.purl else None
        return named is not None and (
            named[0] != self.distribution or named[1] not in {"", self.version}
        )

    def _component(self, one: SbomComponent) -> dict[str, Any]:
        said = one.bom_ref or one.purl or f"{one.name}@{one.version or ''}"
        self.uses[said] += 1
        again = f"~{self.uses[said]}" if self.uses[said] > 1 else ""
        ref = f"{self.own}#sboms/{self.name}/{said}{again}"
        while ref in self.found.edges:
            ref += "~"
        self.found.edges[ref] = []
        self.refs.setdefault(said, ref)
        made = {"bom-ref": ref, **self._dumped(one)}
        inner = [self._component(child) for child in one.components]
        if inner:
            made["components"] = inner
        source = {"name": "layersmith:sbom", "value": f"{self.name}"}
        made["properties"] = [*made.get("properties", []), source]
        return made

    def _dumped(self, one: SbomComponent) -> dict[str, Any]:
        extra = set(one.model_extra or ())
        self.found.omitted |= extra
        made = one.model_dump(
            by_alias=True,
            exclude_none=True,
            exclude={"bom_ref", "components", "pedigree", "licenses", "hashes", *extra},
        )
        hashes = [said.model_dump() for said in one.hashes or () if self._is_right(one, said)]
        if hashes:
            made["hashes"] = hashes
        if one.licenses:
            made["licenses"] = licenses(one.licenses)
        if one.pedigree:
            made["pedigree"] = self._pedigree(one.pedigree)
        return made

    def _pedigree(self, pedigree: SbomPedigree) -> dict[str, Any]:
        kinds = ("ancestors", "descendants", "variants")
        made = pedigree.model_dump(by_alias=True, exclude_none=True, exclude={*kinds})
        for kind in kinds:
            if getattr(pedigree, kind):
                made[kind] = [self._dumped(one) for one in getattr(pedigree, kind)]
        return made

    def _is_right(self, one: SbomComponent, said: SbomHash) -> bool:
        """Hold the hash of a file against the file, where the wheel holds it."""
        entry = self.files.get(f"{PREFIX}{one.name}")
        if one.type != "file" or entry is None or said.alg not in {"SHA-256", "SHA-512"}:
            return True
        key = (entry.path, said.alg)
        if key not in self.digests:
            method = said.alg.replace("-", "").lower()
            self.digests[key] = hashlib.new(method, entry.source.read()).hexdigest()
        if self.digests[key] == said.content.lower():
            return True
        self.wrong.append(one.name)
        return False

    def _edges(self) -> None:
        loose: list[str] = []
        aside = {*_references([self.bill.metadata.tools, self.bill.model_extra])}
        edges: dict[str, dict[str, None]] = {}
        for one in self.bill.dependencies:
            ends = [one.ref, *one.depends_on]
            loose += [end for end in ends if end not in self.refs and end not in aside]
            if one.ref in self.refs:
                ref = self.refs[one.ref]
                known = [self.refs[end] for end in one.depends_on if end in self.refs]
                if ref == self.own:
                    known = [end for end in known if end != ref]
                edges.setdefault(ref, {}).update(dict.fromkeys(known))
        if loose:
            self._say(f"its dependencies name what it does not list: {_some(loose)}")
        for ref, ends_of in edges.items():
            kept = self.found.edges.setdefault(ref, [])
            kept += [end for end in ends_of if end not in set(kept)]
        try:
            graphlib.TopologicalSorter(edges).prepare()
        except graphlib.CycleError as loop:
            names = {ref: said for said, ref in self.refs.items()}
            self._say(f"its dependencies form a loop: {_some([names[r] for r in loop.args[1]])}")


def _references(parts: list[Any]) -> Iterator[str]:
    """Yield the references of what parts of a bill list that are not taken: tools, services..."""
    while parts:
        one = parts.pop()
        if isinstance(one, dict):
            if isinstance(ref := one.get("bom-ref"), str):
                yield ref
            parts += one.values()
        elif isinstance(one, list):
            parts += one


def licenses(said: list[SbomLicenseChoice]) -> list[dict[str, Any]]:
    """Return licences in the form of CycloneDX 1.6: one expression, or licences.

    Identifiers that are not SPDX's are written as names, which may be anything.
    """
    if len(said) == 1 and said[0].expression:
        return [{"expression": said[0].expression}]
    made = []
    for one in said:
        found = one.license or SbomLicense(name=one.expression)
        license_ = found.model_dump(by_alias=True, exclude_none=True, exclude={"id", "name"})
        known = _spdx(found.id) if found.id else None
        named = {"id": known} if known else {"name": found.id or found.name or "unknown"}
        made.append({"license": {**named, **license_}})
    return made


def _spdx(text: str) -> str | None:
    """Return the identifier of a licence as SPDX writes it; None for what is not one."""
    found = canonical(text)
    return found if found and IDENTIFIER.fullmatch(found) else None


def _some(names: list[str]) -> str:
    """Return names for a message: short, few, and how many more there are."""
    unique = list(dict.fromkeys(names))
    more = len(unique) - NAMED
    shown = ", ".join(repr(name[:100]) for name in unique[:NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
