"""Makes small layers with real zips and manifests, and reads back what an account holds."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from layersmith.assemble import manifest as manifests
from layersmith.config import loader
from layersmith.plan import Target, plan
from layersmith.ship.aws import labels

from tests.support import zips

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class LayerSpec:
    """A layer of one pure Python module."""

    name: str = "alpha"
    version: str = "1.0.0"
    runtimes: tuple[str, ...] = ("python3.13",)
    architectures: tuple[str, ...] = ("arm64",)
    regions: tuple[str, ...] = ("eu-west-1", "us-east-1")
    principals: tuple[str, ...] = ("public",)
    align: bool = False
    storage: str = "copy"
    license: str = "Apache-2.0"
    source: str = "VALUE = 1\n"
    smoke: str | None = None
    size: int = 0
    unzipped: int = 0

    def to_yaml(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "description": f"Layer {self.name} of the tests",
            "version": self.version,
            "requirements": [f"{self.name}==1.0"],
            "runtimes": list(self.runtimes),
            "architectures": list(self.architectures),
            "regions": list(self.regions),
            "principals": list(self.principals),
            "align": self.align,
            "storage": self.storage,
            "license": self.license,
        }
        if self.smoke:
            said["smoke"] = f"tests/smoke/{self.name}.py"
        return said


def write(root: Path, layers: Sequence[LayerSpec]) -> list[Target]:
    """Write layers.yaml, and dist/ as a build would leave it."""
    (root / "dist").mkdir(parents=True, exist_ok=True)
    for layer in layers:
        if layer.smoke:
            path = root / "tests" / "smoke" / f"{layer.name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(layer.smoke, encoding="utf-8")
    document = {"layers": {layer.name: layer.to_yaml() for layer in layers}}
    (root / "layers.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    targets = plan(loader.load(root).config)
    specs = {layer.name: layer for layer in layers}
    for target in targets:
        spec = specs[target.layer]
        content = layer_zip(target, spec)
        (root / "dist" / f"{target.stem}.zip").write_bytes(content)
        manifests.write(manifest(target, spec, content), root / "dist" / f"{target.stem}.json")
    return targets


def module_of(layer: str) -> str:
    return layer.replace("-", "_")


def layer_zip(target: Target, spec: LayerSpec) -> bytes:
    """Return a zip that differs from target to target, as real ones do."""
    module = f"TARGET = {target.identifier!r}\n{spec.source}"
    files = {f"python/{module_of(spec.name)}.py": module.encode()}
    if spec.size:
        seed = hashlib.sha256(target.identifier.encode()).digest()
        files["python/data.bin"] = (seed * (spec.size // len(seed) + 1))[: spec.size]
    content = zips.content(files)
    return padded(content, spec.unzipped) if spec.unzipped else content


def unzipped(content: bytes) -> int:
    """The bytes of the files in a zip."""
    return sum(one.file_size for one in zipfile.ZipFile(io.BytesIO(content)).infolist())


def padded(content: bytes, size: int) -> bytes:
    """Add a file of zeros to a zip, so that its files have so many bytes together."""
    memory, block = io.BytesIO(content), bytes(1 << 20)
    rest = size - unzipped(content)
    with zipfile.ZipFile(memory, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        info = zipfile.ZipInfo("python/zeros.bin", zips.EPOCH)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o100644 << 16
        with archive.open(info, "w") as stream:
            for start in range(0, rest, len(block)):
                stream.write(block[: rest - start])
    return memory.getvalue()


def distribution(name: str, version: str = "1.0") -> manifests.Distribution:
    return manifests.Distribution(
        name=name,
        version=version,
        origin="wheel",
        unzipped=100,
        zipped=100,
        native=0,
        bytecode=0,
        files=1,
        modules=[module_of(name)],
        requires=[],
    )


def manifest(
    target: Target,
    spec: LayerSpec,
    content: bytes,
    distributions: Sequence[manifests.Distribution] = (),
) -> manifests.Manifest:
    digest = hashlib.sha256(content).digest()
    return manifests.Manifest(
        layer=target.layer,
        version=target.version,
        runtime=target.runtime.name,
        architecture=target.architecture,
        identifier=target.identifier,
        description=target.settings.description,
        license=target.settings.license,
        artifact=manifests.Artifact(
            filename=f"{target.stem}.zip",
            sha256=digest.hex(),
            code_sha256=base64.b64encode(digest).decode(),
            zipped=len(content),
            unzipped=unzipped(content),
            files=1,
        ),
        inputs=manifests.Inputs(digest="0" * 64, lock="0" * 64, requirements=[], packages={}),
        distributions=list(distributions) or [distribution(spec.name)],
        dropped=[],
        pruned=[],
        bytecode=manifests.BytecodeRecord(mode="none", compiled=0),
        audit=manifests.AuditRecord(elf_files=0),
        tools={},
        files=[],
    )


def published(aws: Any, region: str, layer: str, versions: Sequence[str]) -> None:
    """Put versions into a region as if they had been published one after the other."""
    client, ssm = aws.client("lambda", region), aws.client("ssm", region)
    name = labels.layer_name(layer, "python3.13", "arm64")
    for version in versions:
        content = version.encode()
        answer = client.publish_layer_version(
            LayerName=name,
            Description=labels.describe(layer, version, hashlib.sha256(content).hexdigest()),
            Content={"ZipFile": content},
        )
        for pointer in (version, "latest"):
            parameter = labels.parameter(layer, "python3.13", "arm64", pointer)
            value = answer["LayerVersionArn"]
            ssm.put_parameter(Name=parameter, Value=value, Type="String", Overwrite=True)


def snapshot(aws: Any, regions: Sequence[str]) -> dict[str, Any]:
    """Return everything that publishing may leave in an account, region by region."""
    return {region: _region(aws, region) for region in regions}


def _region(aws: Any, region: str) -> dict[str, Any]:
    client = aws.client("lambda", region)
    layers: dict[str, Any] = {}
    for layer in client.list_layers()["Layers"]:
        name = layer["LayerName"]
        pages = client.get_paginator("list_layer_versions").paginate(LayerName=name)
        layers[name] = [
            _version(client, name, one["Version"])
            for page in pages
            for one in page["LayerVersions"]
        ]
    pages = aws.client("ssm", region).get_paginator("get_parameters_by_path")
    parameters = {
        one["Name"]: one["Value"]
        for page in pages.paginate(Path="/layers/", Recursive=True)
        for one in page["Parameters"]
    }
    functions = [one["FunctionName"] for one in client.list_functions()["Functions"]]
    return {
        "layers": layers,
        "parameters": parameters,
        "functions": functions,
        "objects": _objects(aws, region),
    }


def _version(client: Any, name: str, number: int) -> dict[str, Any]:
    said = client.get_layer_version(LayerName=name, VersionNumber=number)
    try:
        policy = client.get_layer_version_policy(LayerName=name, VersionNumber=number)["Policy"]
        statements = sorted(one["Sid"] for one in json.loads(policy)["Statement"])
    except client.exceptions.ResourceNotFoundException:
        statements = []
    return {
        "number": number,
        "description": said.get("Description", ""),
        "sha256": said["Content"]["CodeSha256"],
        "statements": statements,
    }


def _objects(aws: Any, region: str) -> dict[str, str]:
    """Return key -> content of a region's buckets; of a lock only whether it is free."""
    s3 = aws.client("s3", region)
    found: dict[str, str] = {}
    for bucket in s3.list_buckets()["Buckets"]:
        if not bucket["Name"].endswith(region):
            continue
        for one in s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents", ()):
            body = s3.get_object(Bucket=bucket["Name"], Key=one["Key"])["Body"].read()
            if one["Key"].startswith("locks/"):
                body = str(json.loads(body)["seconds"]).encode()
            found[one["Key"]] = hashlib.sha256(body).hexdigest()
    return found
