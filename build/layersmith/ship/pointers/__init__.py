"""Pointers: the names under which a region publishes the ARNs of a target's versions.

A kind of pointer is one module with the functions of ``PointerKind``. It is registered
in ``KINDS``: the first is what is read and believed, and all are written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from layersmith.ship.pointers import ssm

if TYPE_CHECKING:
    from layersmith.ship.aws.accounts import Aws
    from layersmith.ship.publish.models import Place, Pointers


class PointerKind(Protocol):
    """One way to publish pointers; a module with these functions is one."""

    def read(self, aws: Aws, region: str, place: Place, /) -> Pointers:
        """Return the pointers of one target in one region.

        Raises:
            AwsFailure: A call failed.
        """
        ...

    def write(
        self, aws: Aws, region: str, place: Place, name: str, value: str, /, *, note: str = ""
    ) -> None:
        """Write one pointer, over what it was.

        Args:
            aws: Clients of the account.
            region: Where.
            place: Layer, runtime and architecture.
            name: ``latest``, a semver, or ``yanked/<semver>``.
            value: An ARN, or the reason of a withdrawal.
            note: For people: why it is written.

        Raises:
            AwsFailure: A call failed.
        """
        ...

    def remove(self, aws: Aws, region: str, place: Place, name: str, /) -> None:
        """Remove one pointer; one that is not there is fine.

        Raises:
            AwsFailure: A call failed.
        """
        ...


KINDS: tuple[PointerKind, ...] = (ssm,)


def read(aws: Aws, region: str, place: Place) -> Pointers:
    """Return the pointers of one target in one region.

    Raises:
        AwsFailure: A call failed.
    """
    return KINDS[0].read(aws, region, place)


def write(aws: Aws, region: str, place: Place, name: str, value: str, *, note: str = "") -> None:
    """Write one pointer of every kind, over what it was.

    The kind that is read comes last: a run that is killed in between is seen by the next one.

    Raises:
        AwsFailure: A call failed.
    """
    for kind in reversed(KINDS):
        kind.write(aws, region, place, name, value, note=note)


def remove(aws: Aws, region: str, place: Place, name: str) -> None:
    """Remove one pointer of every kind, the one that is read last; a missing one is fine.

    Raises:
        AwsFailure: A call failed.
    """
    for kind in reversed(KINDS):
        kind.remove(aws, region, place, name)
