"""What a kind of pointer has to do, and the names of pointers, which are the same for all kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from layersmith.ship.aws.accounts import Aws
    from layersmith.ship.publish.models import Pointers

Place = tuple[str, str, str]
"""Layer, runtime and architecture."""

LATEST = "latest"
"""Name of the pointer to the version that people should use."""

YANKED = "yanked/"
"""Names under this folder mark versions that were withdrawn; their value is the reason."""


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
