"""The bill of materials of a whole function: its own code, its layers, and what is there anyway."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layersmith import __version__, cache
from layersmith.assemble.bill import sbom
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.base.runtimes import Runtime


@dataclass(frozen=True)
class BuiltPart:
    """A zip of dist/ with its bill.

    Attributes:
        manifest: Its manifest.
        bill: Its bill, as CycloneDX.
    """

    manifest: Manifest
    bill: dict[str, Any]


@dataclass(frozen=True)
class FunctionCode:
    """The code of a function that is not built here.

    Attributes:
        path: Its folder as layers.yaml names it.
        folder: Where that is.
    """

    path: str
    folder: Path


def read(path: Path) -> dict[str, Any]:
    """Return the bill beside a zip.

    Raises:
        BuildError: It is missing or damaged.
    """
    hint = "run `nox -s build` to write it"
    try:
        found = json.loads(path.read_bytes())
        if found["bomFormat"] == "CycloneDX" and found["metadata"]["component"]["bom-ref"]:
            return dict(found)
    except FileNotFoundError:
        raise BuildError(f"{path.name} is not in {path.parent}", hint=hint) from None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    raise BuildError(f"{path.name} is not a bill of materials of layersmith", hint=hint)


def bill(
    name: str,
    runtime: Runtime,
    architecture: str,
    layers: Sequence[BuiltPart],
    code: BuiltPart | FunctionCode | None,
) -> dict[str, Any]:
    """Return the bill of a function as CycloneDX 1.6.

    Args:
        name: Name of the function.
        runtime: Its runtime.
        architecture: ``arm64`` or ``x86_64``.
        layers: Its layers, in the order in which Lambda unpacks them.
        code: Its own zip or folder; None where layers.yaml names none.

    Raises:
        OSError: The folder of its code cannot be read.
    """
    root = f"function:{name}"
    parts = [_Part(one, f"{root}/{one.manifest.layer}") for one in layers]
    own = _Part(code, f"{root}/code") if isinstance(code, BuiltPart) else None
    assemblies = [*([own.component()] if own else []), *(part.component() for part in parts)]
    if isinstance(code, FunctionCode):
        assemblies.insert(0, _folder(code, name, root))
    managed = [*_managed([one.manifest for one in layers], root)]
    provided = _runtime(runtime, root)
    assemblies += [*managed, provided]
    built = [*([own] if own else []), *parts]
    digests = [one["hashes"][0]["content"] for one in assemblies if "hashes" in one]
    seed = json.dumps([name, runtime.name, architecture, digests])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(sbom.NAMESPACE, seed)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": name,
                "properties": [
                    {"name": "aws:lambda:runtime", "value": runtime.name},
                    {"name": "aws:lambda:architecture", "value": architecture},
                ],
            },
            "tools": {
                "components": [
                    {"type": "application", "name": "layersmith", "version": __version__}
                ]
            },
        },
        "components": assemblies,
        "dependencies": [
            {"ref": root, "dependsOn": [one["bom-ref"] for one in assemblies]},
            *(edge for part in built for edge in part.dependencies()),
        ],
        "compositions": [
            *(one for part in built for one in part.compositions()),
            # AWS and others update these without being asked.
            *(
                {"aggregate": "incomplete", "assemblies": [one["bom-ref"]]}
                for one in (*managed, provided)
            ),
        ],
    }


class _Part:
    """One zip of the function; two may hold the same distribution, so references get a prefix."""

    def __init__(self, part: BuiltPart, prefix: str) -> None:
        self.part = part
        self.prefix = prefix

    def component(self) -> dict[str, Any]:
        root = self.part.bill["metadata"]["component"]
        role = "code" if self.part.manifest.function else "layer"
        properties = [*root.get("properties", []), {"name": "layersmith:part", "value": role}]
        inner = self.part.bill.get("components", [])
        return self._renamed({**root, "properties": properties, "components": inner})

    def dependencies(self) -> Iterator[dict[str, Any]]:
        for one in self.part.bill.get("dependencies", []):
            ends = [self._ref(ref) for ref in one.get("dependsOn", [])]
            yield {"ref": self._ref(one["ref"]), "dependsOn": ends}

    def compositions(self) -> Iterator[dict[str, Any]]:
        for one in self.part.bill.get("compositions", []):
            yield {**one, "assemblies": [self._ref(ref) for ref in one["assemblies"]]}

    def _renamed(self, component: Mapping[str, Any]) -> dict[str, Any]:
        inner = [self._renamed(one) for one in component.get("components", [])]
        made = {**component, "bom-ref": self._ref(component["bom-ref"])}
        return {**made, "components": inner} if inner else made

    def _ref(self, ref: str) -> str:
        return f"{self.prefix}/{ref}"


def _folder(code: FunctionCode, name: str, root: str) -> dict[str, Any]:
    return {
        "type": "application",
        "bom-ref": f"{root}/code",
        "name": f"{name}-code",
        "hashes": [{"alg": "SHA-256", "content": cache.sha256_folder(code.folder)}],
        "properties": [
            {"name": "layersmith:part", "value": "code"},
            {"name": "layersmith:source", "value": code.path},
        ],
    }


def _managed(manifests: Sequence[Manifest], root: str) -> Iterator[dict[str, Any]]:
    """Yield the managed layers that functions use beside these layers."""
    found: dict[str, dict[str, str]] = {}
    for manifest in manifests:
        for one in manifest.dropped:
            if one.managed:
                found.setdefault(one.managed, {})[one.name] = one.version
    for layer, versions in sorted(found.items()):
        yield _given(f"{root}/managed/{layer}", layer, "managed-layer", versions)


def _runtime(runtime: Runtime, root: str) -> dict[str, Any]:
    versions = {one.name: one.version for one in runtime.provides}
    made = _given(f"{root}/runtime", f"AWS Lambda {runtime.name}", "runtime", versions)
    return {**made, "type": "platform"}


def _given(ref: str, name: str, part: str, versions: Mapping[str, str]) -> dict[str, Any]:
    """Return what others provide, with its distributions marked as theirs."""
    return {
        "type": "library",
        "bom-ref": ref,
        "name": name,
        "properties": [{"name": "layersmith:part", "value": part}],
        "components": [
            {
                "type": "library",
                "bom-ref": f"{ref}/{one}",
                "name": one,
                "version": version,
                "purl": f"pkg:pypi/{one}@{version}",
                "properties": [{"name": "layersmith:provided-by", "value": name}],
            }
            for one, version in sorted(versions.items())
        ],
    }
