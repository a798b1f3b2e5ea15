"""Pointers as SSM parameters: ``/layers/LAYER/RUNTIME/ARCHITECTURE/latest`` and their kin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from layersmith.base.versions import is_valid
from layersmith.ship.aws import failures, labels
from layersmith.ship.publish.models import LATEST, YANKED, Place, Pointers

if TYPE_CHECKING:
    from layersmith.ship.aws.accounts import Aws

DESCRIPTION_LIMIT = 1024
"""Characters of a parameter's description (AWS Systems Manager API, PutParameter)."""


def read(aws: Aws, region: str, place: Place) -> Pointers:
    """Read the parameters of one target.

    Raises:
        AwsFailure: SSM refused.
    """
    folder = labels.parameter(*place, "")
    latest: str | None = None
    versions: dict[str, str] = {}
    yanked: dict[str, str] = {}
    foreign: list[str] = []
    with failures.explained(region, "ssm"):
        pages = aws.ssm(region).get_paginator("get_parameters_by_path")
        for page in pages.paginate(Path=folder.rstrip("/"), Recursive=True):
            for parameter in page["Parameters"]:
                name = parameter.get("Name", "").removeprefix(folder)
                value = parameter.get("Value", "")
                if name == LATEST:
                    latest = value
                elif is_valid(name) and labels.is_layer_version(value):
                    versions[name] = value
                elif name.startswith(YANKED) and is_valid(name.removeprefix(YANKED)):
                    yanked[name.removeprefix(YANKED)] = value
                else:
                    foreign.append(name)
    return Pointers(latest, versions, yanked, tuple(sorted(foreign)))


def write(aws: Aws, region: str, place: Place, name: str, value: str, *, note: str = "") -> None:
    """Write one parameter, over what it was.

    Raises:
        AwsFailure: SSM refused.
    """
    with failures.explained(region, "ssm"):
        aws.ssm(region).put_parameter(
            Name=labels.parameter(*place, name),
            Value=value,
            Type="String",
            Overwrite=True,
            Description=note[:DESCRIPTION_LIMIT],
        )


def remove(aws: Aws, region: str, place: Place, name: str) -> None:
    """Remove one parameter; one that is not there is fine.

    Raises:
        AwsFailure: SSM refused.
    """
    with failures.explained(region, "ssm"):
        try:
            aws.ssm(region).delete_parameter(Name=labels.parameter(*place, name))
        except ClientError as error:
            if not failures.is_missing(error):
                raise
