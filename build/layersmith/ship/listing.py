"""Keeps the index in the home region's bucket in step with the pointers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith import console
from layersmith.ship import buckets, failures, index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.ship.index import Index, Observed
    from layersmith.ship.publisher import Site


def refresh(site: Site, observed: Sequence[Observed]) -> Index | None:
    """Write the index from what was read; return it, or None where its region is down.

    Args:
        site: Where, with the home region.
        observed: What was read of the pointers.

    Raises:
        AwsFailure: It concerns the whole run, such as expired credentials.
        ShipError: The index is damaged, or others kept writing it.
    """
    aws = site.aws[site.home]
    try:
        bucket = buckets.ensure(aws, site.stack, site.home)
        return index.update(aws, site.home, bucket, observed)
    except failures.AwsFailure as failure:
        if failure.kind in failures.OF_THE_RUN:
            raise
        console.warn(f"the index was not written, the next run does it: {failure.line}")
        return None
