"""What advisories are looked up for: what locks name, what SBOMs name, and what builds a layer.

A lock names every distribution and every build requirement with its version. The SBOM beside a zip
names what is inside wheels. Names are turned into those that advisories use; what has none of these
is a subject all the same, so that it is counted and said.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import parse_qs, unquote

from packaging.utils import canonicalize_name

from layersmith import lock
from layersmith.base import damage
from layersmith.errors import BuildError
from layersmith.supply import osv
from layersmith.supply.feeds import Question

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.lock.document import Lock
    from layersmith.plan import Target
    from layersmith.supply.osv import Package

Role = Literal["layer", "left out", "provided", "bundled", "build"]
"""``layer``: a distribution in the zip. ``left out``: locked, and excluded from it or replaced by a
stub. ``provided``: locked in the version that the runtime or a managed layer has, and not in the
zip. ``bundled``: a component inside a distribution. ``build``: what builds an sdist or package."""

LARGEST_BILL = 64 << 20
"""Bytes of an SBOM in dist/; those of the shipped layers are below 100 kB."""

DEEPEST = 20
"""Levels of components; `build` writes two."""

ECOSYSTEMS = {
    "pypi": osv.PYPI,
    "cargo": "crates.io",
    "npm": "npm",
    "golang": "Go",
    "gem": "RubyGems",
    "maven": "Maven",
    "nuget": "NuGet",
    "generic": osv.BY_NAME,
}
"""Type of a package URL to the ecosystem of OSV (ossf.github.io/osv-schema, affected[].package)."""

DISTRIBUTIONS = {
    "almalinux": "AlmaLinux",
    "rocky": "Rocky Linux",
    "redhat": "Red Hat",
    "debian": "Debian",
    "ubuntu": "Ubuntu",
    "alpine": "Alpine",
    "opensuse": "openSUSE",
}
"""Namespace of a package URL of the types rpm, deb and apk to the ecosystem of OSV."""

_PURL = re.compile(r"pkg:(?P<type>[A-Za-z.+-]+)/(?P<path>[^@?#]+)(@(?P<version>[^?#]+))?"
                   r"(\?(?P<query>[^#]*))?")  # fmt: skip
_RELEASE = re.compile(r"\.(?:el|fc)(\d+)")
_PIN = re.compile(r"(?:    # build )?(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)==(?P<version>[^\s\\]+)")


@dataclass(frozen=True)
class LockPlace:
    """Where a subject stands.

    Attributes:
        target: Identifier of the target.
        file: The lock, relative to layers.yaml; empty where there is none.
        line: The line of its pin in it, from 1.
    """

    target: str
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class AdvisorySubject:
    """A version that advisories may be about.

    Attributes:
        name: Its name, as people know it.
        version: Its version; empty where none is known.
        role: What it is to the layer.
        packages: Under which names advisories know it; empty where under none.
        purl: Its package URL, for SARIF and VEX.
        holder: The distribution that it is bundled in or builds; empty for a distribution itself.
        places: The targets that have it.
    """

    name: str
    version: str
    role: Role
    packages: tuple[Package, ...]
    purl: str
    holder: str = ""
    places: tuple[LockPlace, ...] = field(default=(), compare=False)

    @property
    def question(self) -> Question:
        """What is asked of a source."""
        return Question(self.packages if self.version else (), self.version)

    @property
    def is_by_name(self) -> bool:
        """Whether only its plain name is known, by which advisories may miss it."""
        return bool(self.packages) and all(one == osv.BY_NAME for one, _ in self.packages)

    def __str__(self) -> str:
        inside = f" (in {self.holder})" if self.holder and self.role == "bundled" else ""
        return f"{self.name} {self.version}".rstrip() + inside


def of_target(target: Target, root: Path) -> list[AdvisorySubject]:
    """Return what the lock of a target names.

    Args:
        target: The target, with its recipes applied.
        root: Folder of layers.yaml.

    Raises:
        LockError: It is not locked, or the lock is damaged.
    """
    path = lock.lock_path(target, root)
    locked = lock.read(path)
    lines = _lines(path.read_text("utf-8"))
    file = path.relative_to(root).as_posix()
    own = {entry.name for entry in locked.entries}
    found = []
    for entry in locked.entries:
        place = LockPlace(target.identifier, file, lines.get((entry.name, entry.version), 1))
        role = _role(entry.name, target)
        found.append(distribution(entry.name, entry.version, role, place))
    for holder, pin in _pins(locked):
        name, _, rest = pin.partition("==")
        version = rest.split(" ", 1)[0]
        place = LockPlace(target.identifier, file, lines.get((name, version), 1))
        # What the lock calls zig is installed as the distribution ziglang.
        known = "ziglang" if name == "zig" and "zig" not in own else canonicalize_name(name)
        found.append(replace(distribution(known, version, "build", place), holder=holder))
    return found


def _role(name: str, target: Target) -> Role:
    if name in target.settings.excludes or name in target.settings.stubs:
        return "left out"
    if name in target.recipes.stubs:
        return "left out"
    return "provided" if name in target.provided else "layer"


def _pins(locked: Lock) -> Iterator[tuple[str, str]]:
    for entry in locked.entries:
        yield from ((entry.name, pin) for pin in entry.build)
    for name, pins in locked.packages.items():
        yield from ((name, pin) for pin in pins)


def _lines(text: str) -> dict[tuple[str, str], int]:
    """Return the line of each pin of a lock, the first where there are several."""
    found: dict[tuple[str, str], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if pin := _PIN.match(line):
            found.setdefault((pin["name"], pin["version"]), number)
    return found


def distribution(name: str, version: str, role: Role, place: LockPlace) -> AdvisorySubject:
    """Return a distribution of PyPI as a subject."""
    purl = f"pkg:pypi/{name}@{version}"
    return AdvisorySubject(name, version, role, ((osv.PYPI, name),), purl, places=(place,))


def of_manifest(manifest: Manifest, name: str) -> list[AdvisorySubject]:
    """Return the distributions that a zip holds, as its manifest names them.

    Args:
        manifest: Of the zip.
        name: What findings call it.
    """
    place = LockPlace(name)
    return [
        distribution(one.name, one.version, "layer", place)
        for one in manifest.distributions
        if one.origin in {"wheel", "sdist", "cross"}
    ]


class Bill(NamedTuple):
    """What an SBOM says beside what the lock says: its serial number, and what is bundled."""

    serial: str
    bundled: list[AdvisorySubject]


def of_bill(path: Path, place: LockPlace) -> Bill:
    """Return the components inside the distributions of an SBOM.

    Args:
        path: ``dist/<stem>.cdx.json``.
        place: The target that it is of.

    Raises:
        BuildError: It is damaged, or larger than any bill that `build` writes.
    """
    if path.stat().st_size > LARGEST_BILL:
        raise BuildError(f"{path.name} is larger than {LARGEST_BILL:,} bytes", target=place.target)
    found: dict[AdvisorySubject, AdvisorySubject] = {}
    hint = "build the layer again: `nox -s build`"
    with damage.told(path.name, kind="SBOM", target=place.target, hint=hint):
        bill = json.loads(path.read_bytes())
        for holder in bill["components"]:
            name = str(holder["name"])
            for one in _below(holder, name, place, 0):
                found.setdefault(one, one)
        return Bill(str(bill.get("serialNumber", "")), list(found))


def _below(
    component: dict[str, Any], holder: str, place: LockPlace, depth: int
) -> Iterator[AdvisorySubject]:
    for one in component.get("components", ()) if depth < DEEPEST else ():
        subject = _component(one, holder, place)
        if subject is not None:
            yield subject
        yield from _below(one, holder, place, depth + 1)


def _component(one: dict[str, Any], holder: str, place: LockPlace) -> AdvisorySubject | None:
    """Return a component as a subject; None where it is a part of the distribution itself."""
    name, version = str(one["name"]), str(one.get("version") or "")
    purl = str(one.get("purl") or "")
    found = _PURL.match(purl)
    if found and found["type"].lower() == "pypi" and canonicalize_name(found["path"]) == holder:
        return None
    packages = _of_purl(purl)
    urls = [
        str(link["url"])
        for link in one.get("externalReferences", ())
        if link.get("type") == "vcs" and "/tree/" not in str(link["url"])
    ]
    packages += [("GIT", osv.repository(url)) for url in urls]
    if not packages:
        # Most SBOMs of C libraries name them and nothing else: "libjpeg / libjpeg-turbo".
        packages = [(osv.BY_NAME, part.strip().lower()) for part in name.split(" / ")]
    purl = purl or f"pkg:generic/{name.lower().replace(' / ', '-').replace(' ', '-')}@{version}"
    return AdvisorySubject(
        name, version, "bundled", tuple(dict.fromkeys(packages)), purl, holder, (place,)
    )


def _of_purl(purl: str) -> list[Package]:
    """Return under which names advisories know what a package URL names."""
    found = _PURL.match(purl)
    if not found:
        return []
    kind, path = found["type"].lower(), unquote(found["path"]).strip("/")
    namespace, _, name = path.rpartition("/")
    if kind in {"github", "gitlab", "bitbucket"}:
        host = "bitbucket.org" if kind == "bitbucket" else f"{kind}.com"
        return [("GIT", f"{host}/{path}".lower())]
    if kind in {"rpm", "deb", "apk"}:
        return _of_system(namespace.lower(), name.lower(), found)
    if kind not in ECOSYSTEMS:
        return []
    separator = ":" if kind == "maven" else "/"
    full = separator.join(part for part in (namespace, name) if part and kind != "generic") or name
    full = canonicalize_name(name) if kind == "pypi" else full.lower()
    return [(ECOSYSTEMS[kind], full)]


def _of_system(namespace: str, name: str, found: re.Match[str]) -> list[Package]:
    """Return the name of a package of a Linux distribution, with its release where it is known."""
    ecosystem = DISTRIBUTIONS.get(namespace)
    if ecosystem is None:
        return []
    query = parse_qs(found["query"] or "")
    source = query.get("upstream", [name])[0].partition("@")[0].lower()
    release = ""
    if built := _RELEASE.search(found["version"] or ""):
        release = f":{built[1]}"
    elif distro := query.get("distro", [""])[0]:
        release = f":{distro.rpartition('-')[2]}"
    return [(f"{ecosystem}{release}", one) for one in dict.fromkeys((name, source))]


def merged(found: Iterable[AdvisorySubject]) -> list[AdvisorySubject]:
    """Return each subject once, with all of its places, in order."""
    together: dict[AdvisorySubject, list[LockPlace]] = {}
    for one in found:
        together.setdefault(one, []).extend(one.places)
    return [
        replace(one, places=tuple(dict.fromkeys(places)))
        for one, places in sorted(
            together.items(), key=lambda item: (item[0].role, item[0].name, item[0].version)
        )
    ]
