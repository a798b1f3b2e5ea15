"""Regions and the partitions they belong to, from botocore's own endpoint data."""

from __future__ import annotations

import functools

from botocore.loaders import Loader
from botocore.regions import EndpointResolver

from layersmith.errors import ConfigError, did_you_mean

PARTITIONS = ("aws", "aws-cn", "aws-us-gov")
"""Partitions that can be published to; each has its own accounts, credentials and roles."""

HOME = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""A region of each partition that is always enabled (AWS account management, enable regions)."""


@functools.cache
def of_partition(partition: str) -> tuple[str, ...]:
    """Return the regions of a partition in which Lambda is offered, sorted."""
    return tuple(sorted(_resolver().get_available_endpoints("lambda", partition)))


@functools.cache
def _resolver() -> EndpointResolver:
    # Not through a session: that reads the user's profile, which may be missing or damaged.
    return EndpointResolver(Loader().load_data("endpoints"))


@functools.cache
def partition_of(region: str) -> str:
    """Return the partition of a region: ``aws`` for eu-west-1.

    Raises:
        ConfigError: No partition has such a region; close names are suggested.
    """
    known = {name: partition for partition in PARTITIONS for name in of_partition(partition)}
    if region in known:
        return known[region]
    raise ConfigError(
        f"{region!r} is not a region with Lambda",
        hint=did_you_mean(region, known, "see `regions` in layers.yaml"),
    )


def expand(asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return region names for what was asked: names, ``all``, or a partition's name.

    Raises:
        ConfigError: A name is neither.
    """
    found: list[str] = []
    for name in asked:
        if name in {"all", *PARTITIONS}:
            found += of_partition("aws" if name == "all" else name)
        else:
            partition_of(name)
            found.append(name)
    return tuple(dict.fromkeys(found))
