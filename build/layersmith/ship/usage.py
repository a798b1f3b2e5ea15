"""Who uses a layer version in an account: every function, version and alias of a region."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from layersmith.ship import failures

if TYPE_CHECKING:
    from collections.abc import Collection

    from types_boto3_lambda.client import LambdaClient

    from layersmith.ship.aws import Aws


def users(aws: Aws, region: str, names: Collection[str]) -> dict[str, list[str]]:
    """Return ARN of a layer version -> the functions that use it, their versions and aliases.

    Args:
        aws: Clients of the account; other accounts that a layer is shared with cannot be seen.
        region: Where.
        names: Names of layers in AWS that matter.

    Raises:
        AwsFailure: A call failed; nothing may be deleted then.
    """
    client = aws.lambda_(region)
    found: dict[str, list[str]] = defaultdict(list)
    aliases: dict[str, dict[str, list[str]]] = {}
    with failures.explained(region, "lambda"):
        for function in _functions(client):
            arns = [layer["Arn"] for layer in function.get("Layers", ())]
            ours = [arn for arn in arns if arn.split(":")[6] in names]
            if not ours:
                continue
            name, version = function["FunctionName"], function["Version"]
            if name not in aliases:
                aliases[name] = _aliases(client, name)
            called = aliases[name].get(version)
            said = f"{name}:{version}" + (f" (alias {', '.join(called)})" if called else "")
            for arn in ours:
                found[arn].append(said)
    return dict(found)


def _functions(client: LambdaClient) -> list[Any]:
    pages = client.get_paginator("list_functions").paginate(FunctionVersion="ALL")
    return [function for page in pages for function in page["Functions"]]


def _aliases(client: LambdaClient, function: str) -> dict[str, list[str]]:
    """Return version -> aliases that send traffic to it, weighted ones among them."""
    found: dict[str, list[str]] = defaultdict(list)
    for page in client.get_paginator("list_aliases").paginate(FunctionName=function):
        for alias in page["Aliases"]:
            weighted = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
            for version in (alias["FunctionVersion"], *weighted):
                found[version].append(alias["Name"])
    return dict(found)
