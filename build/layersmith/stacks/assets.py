"""What stacks take from the artifact bucket: function code, state machines, large templates.

A key holds the digest of its content. So a change of the content is a change of the parameter that
names it, an upload is never repeated, and what an older deployment used stays where it was.
"""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.base import zips
from layersmith.errors import ConfigError
from layersmith.ship.aws import failures

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.stacks.templates import Template

FUNCTIONS = "functions/"
"""Begin of the keys of functions' code."""

SKIPPED = {"__pycache__", "tests"}


@dataclass(frozen=True)
class Asset:
    """One object for the artifact bucket.

    Attributes:
        parameter: The template parameter that takes the key, such as ``VectorSearchKey``.
        key: Where it goes.
        content: Its bytes.
    """

    parameter: str
    key: str
    content: bytes = field(repr=False)


def collect(lambdas: Path, machines: Path) -> dict[str, Asset]:
    """Return every function and state machine as an asset, by parameter.

    Args:
        lambdas: Folder with a folder of Python files for each function.
        machines: Folder with ``<machine>.asl.json``.

    Raises:
        ConfigError: A state machine is not JSON, or a function's module is not Python.
    """
    assets = [_function(path) for path in sorted(lambdas.glob("*")) if _is_function(path)]
    assets += [_machine(path) for path in sorted(machines.glob("*.asl.json"))]
    return {asset.parameter: asset for asset in assets}


def needed(template: Template, assets: dict[str, Asset]) -> dict[str, Asset]:
    """Return the assets that a template takes as parameters."""
    return {name: assets[name] for name in template.parameters if name in assets}


def template_asset(template: Template) -> Asset:
    """Return the template itself as an asset, for ``TemplateURL``."""
    key = f"templates/{template.name}-{template.digest}.yaml"
    return Asset("TemplateURL", key, template.body.encode())


def upload(s3: Any, bucket: str, asset: Asset, account: str) -> bool:
    """Put an asset where it is missing; say whether it was put.

    Raises:
        botocore.exceptions.ClientError: S3 refuses.
    """
    try:
        s3.head_object(Bucket=bucket, Key=asset.key, ExpectedBucketOwner=account)
    except ClientError as error:
        if not failures.is_missing(error):
            raise
    else:
        return False
    s3.put_object(
        Bucket=bucket, Key=asset.key, Body=asset.content, ExpectedBucketOwner=account,
        ChecksumAlgorithm="SHA256",
    )  # fmt: skip
    return True


def _files(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        relative.as_posix(): path.read_bytes()
        for relative, path in found.items()
        if not SKIPPED & set(relative.parts) and path.suffix != ".pyc"
    }


def parameter_of(name: str) -> str:
    """Return the parameter that takes the key of a function or state machine.

    ``vector_search`` and ``vector-search`` give ``VectorSearchKey``.
    """
    words = name.replace("-", "_").split("_")
    return "".join(word.capitalize() for word in words) + "Key"


def zip_function(folder: Path) -> bytes:
    """Return the zip of a function, sorted and dated 1980: the same on every machine.

    It holds the function's folder and those of the functions that it imports: ``from vector_search
    import handler`` brings ``vector_search/`` in, so that one function can do the work of others
    without an invocation of each.

    Raises:
        ConfigError: One of its modules is not Python.
    """
    return zips.pack(
        _files(folder)
        | {
            f"{other.name}/{name}": content
            for other in _imported(folder)
            for name, content in _files(other).items()
        }
    )


def _imported(folder: Path) -> list[Path]:
    modules = {
        node.module
        for path in sorted(folder.glob("*.py"))
        for node in ast.walk(_parsed(path))
        if isinstance(node, ast.ImportFrom) and not node.level
    }
    siblings = [folder.parent / module for module in sorted(filter(None, modules))]
    return [one for one in siblings if one != folder and _is_function(one)]


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise ConfigError(f"{path} is not Python: {error}") from error


def _is_function(folder: Path) -> bool:
    """Whether a folder is a function: Python files that no pyproject.toml makes a package of."""
    files = (path.relative_to(folder) for path in folder.rglob("*.py"))
    own = (path for path in files if not SKIPPED & set(path.parts))
    return not (folder / "pyproject.toml").exists() and any(own)


def _function(folder: Path) -> Asset:
    content = zip_function(folder)
    key = f"{FUNCTIONS}{folder.name}-{digest(content)}.zip"
    return Asset(parameter_of(folder.name), key, content)


def _machine(path: Path) -> Asset:
    name = path.name.removesuffix(".asl.json")
    content = path.read_bytes()
    try:
        json.loads(content)
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    return Asset(parameter_of(name), f"state-machines/{name}-{digest(content)}.asl.json", content)


def digest(content: bytes) -> str:
    """Return the 16 hex digits of SHA-256 that name a content."""
    return hashlib.sha256(content).hexdigest()[:16]
