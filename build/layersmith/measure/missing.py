"""Says why a library that a native file needs is not there, and what to do about it."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith.assemble.tree import PREFIX
from layersmith.measure import policy
from layersmith.measure.findings import Finding, Severity

if TYPE_CHECKING:
    from layersmith.measure.content import Content
    from layersmith.measure.links import Links

REPAIRED = re.compile(r"(^|/)[^/]+\.libs/[^/]+$")
"""Where auditwheel puts libraries; only a search path leads there, no package loads them itself."""

MUSL = ("libc.musl-", "ld-musl-")
"""Beginnings of the names of Alpine Linux's C library and its loader."""

BUNDLE = "take a manylinux wheel, or put the library into lib/ of a layer"
PROVE = "prove it: `python build/layers.py smoke` imports every module"


@dataclass(frozen=True)
class _Why:
    cause: str
    next: str
    what: str | None = None
    code: str = "NEEDED-MISSING"
    severity: Severity = Severity.ERROR


def explain(content: Content, path: str, library: str, links: Links) -> Finding:
    """Return the finding about a library that neither the layer nor a promise provides.

    Args:
        content: The layer.
        path: The file that needs the library.
        library: Its name in DT_NEEDED.
        links: The search paths of the layer.
    """
    why = (
        _system(content, library)
        or _pruned(content, library)
        or _unreachable(library, links)
        or _other_python(content, library)
        or _deleted(content, path, library)
        or _Why("it was built on a machine that has it, and never repaired by auditwheel", BUNDLE)
    )
    needs = f"{path} needs {library}"
    said = f"; Python will say: {library}: cannot open shared object file"
    return Finding(
        code=why.code,
        severity=why.severity,
        path=path,
        distribution=content.owner(path),
        what=needs + (why.what or said),
        cause=why.cause,
        next=why.next,
    )


def _system(content: Content, library: str) -> _Why | None:
    rules = policy.of(content.runtime, content.architecture)
    if library in rules.incidental:
        return _Why(
            "it was built without bundling its libraries (auditwheel repair)",
            BUNDLE,
            ", which is in the runtime today and not promised",
            "NEEDED-INCIDENTAL",
            Severity.WARNING,
        )
    if library.startswith(MUSL):
        return _Why(
            "the wheel is for Alpine Linux (musllinux)",
            "build from the target's lock, which takes manylinux wheels",
            f", musl's C library; {rules.title} has glibc",
            "NEEDED-MUSL",
        )
    return None


def _pruned(content: Content, library: str) -> _Why | None:
    path = next((one for one in content.removed if posixpath.basename(one) == library), None)
    if path is None:
        return None
    return _Why(
        f"the prune rule {content.removed[path]!r} removed {path}",
        f"keep it: prune: keep: [{path.removeprefix(PREFIX)}]",
    )


def _unreachable(library: str, links: Links) -> _Why | None:
    elsewhere = links.elsewhere(library)
    if elsewhere is None:
        return None
    what = f", and no search path leads to {elsewhere}"
    if REPAIRED.search(elsewhere):
        return _Why("its RPATH was lost or replaced", "take the file as its wheel holds it", what)
    return _Why(
        "its package loads the library first by other means, or its RPATH was lost",
        PROVE,
        what,
        severity=Severity.WARNING,
    )


def _other_python(content: Content, library: str) -> _Why | None:
    if not library.startswith("libpython"):
        return None
    runtime = content.runtime.name
    return _Why(
        f"it is linked against another Python than {runtime}", f"lock and build for {runtime}"
    )


def _deleted(content: Content, path: str, library: str) -> _Why | None:
    """Explain a library that was meant to be in the layer: by a search path, or by RECORD."""
    facts = content.elves[path]
    distribution = content.distributions.get(content.owner(path) or "")
    recorded = distribution.record if distribution else ()
    listed = next((one for one in recorded if posixpath.basename(one) == library), None)
    folders = (*facts.rpath, *facts.runpath)
    if not folders and listed is None:
        return None
    here = posixpath.dirname(path)
    folder = folders[0] if folders else posixpath.dirname(PREFIX + (listed or ""))
    place = posixpath.normpath(folder.replace("${ORIGIN}", here).replace("$ORIGIN", here or "."))
    return _Why(
        f"the folder that held it ({place}) was deleted or not packed",
        "build again from the wheel; never delete *.libs folders",
    )
