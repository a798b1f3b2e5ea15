"""What a verb works on: everything that was ever published, whether layers.yaml has it or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith.errors import ConfigError
from layersmith.plan import plan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from layersmith.config.models import Config
    from layersmith.ship.index.document import Index
    from layersmith.ship.pointers.interface import Place
    from layersmith.ship.publish.models import Quarantined
    from layersmith.ship.publish.site import RegionChoice, Site


@dataclass(frozen=True)
class Filters:
    """Names of what is worked on; an empty one lets everything pass."""

    layers: Sequence[str] = ()
    runtimes: Sequence[str] = ()
    architectures: Sequence[str] = ()

    def take(self, place: Place) -> bool:
        """Whether a target is among them."""
        named = (self.layers, self.runtimes, self.architectures)
        return all(not names or one in names for names, one in zip(named, place, strict=True))

    def beyond(self, index: Index) -> Filters:
        """Return those names that the index does not have."""
        known = [(one.layer, one.runtime, one.architecture) for one in index.layers]
        return Filters(
            *(
                [name for name in names if name not in {place[n] for place in known}]
                for n, names in enumerate((self.layers, self.runtimes, self.architectures))
            )
        )


@dataclass(frozen=True)
class Reach:
    """What a verb works on.

    Attributes:
        site: Where.
        where: Region -> targets, those of layers.yaml first.
        versions: Target of layers.yaml -> its version there.
        wanted: Regions and targets of layers.yaml; the others were published once.
        unread: The home region, where its index could not be read.
    """

    site: Site
    where: dict[str, list[Place]]
    versions: dict[Place, str]
    wanted: Collection[tuple[str, Place]]
    unread: list[Quarantined]


def spots(
    config: Config, index: Index, filters: Filters, choice: RegionChoice
) -> tuple[dict[str, list[Place]], set[tuple[str, Place]]]:
    """Return region -> targets of layers.yaml and of the index, and which are of layers.yaml.

    Raises:
        ConfigError: A filter names what neither has, or nothing is left.
    """
    beyond = filters.beyond(index)
    # Says which name it does not know, and what may be meant.
    targets = plan(
        config,
        layers=beyond.layers,
        only_runtimes=beyond.runtimes,
        architectures=beyond.architectures,
    )
    targets = [target for target in targets if filters.take(target.place)]
    wanted = [
        (region, target.place)
        for region, there in (choice.by_region(targets) if targets else {}).items()
        for target in there
    ]
    published = [
        (one.region, (one.layer, one.runtime, one.architecture))
        for one in index.layers
        if choice.takes(one.region) and filters.take((one.layer, one.runtime, one.architecture))
    ]
    found = _grouped([*wanted, *published])
    if not found:
        raise ConfigError(
            "no target matches the filters",
            cause="neither layers.yaml nor the index has it in these regions",
            hint="run `python build/layers.py arn` to see all that is published",
        )
    return found, set(wanted)


def _grouped(pairs: Iterable[tuple[str, Place]]) -> dict[str, list[Place]]:
    found: dict[str, list[Place]] = {}
    for region, place in dict.fromkeys(pairs):
        found.setdefault(region, []).append(place)
    return found
