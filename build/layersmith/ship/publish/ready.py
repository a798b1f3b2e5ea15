"""Which regions could not take a plan to its end, told before the first change of any.

A region without room for the zips, or without the role of canaries, would be left with versions
that no pointer names.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from layersmith.ship.aws import preflight
from layersmith.ship.publish import observed
from layersmith.ship.publish.models import Quarantined, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.ship.aws.clients import Aws
    from layersmith.ship.aws.preflight import Findings
    from layersmith.ship.publish.models import Desired
    from layersmith.ship.publish.plan import Plan
    from layersmith.ship.publish.site import Site

ROLE_HINT = "deploy the stack that makes it, or name another by --canary-role"


def check(
    site: Site, desired: Sequence[Desired], made: Plan
) -> tuple[list[Quarantined], Sequence[str]]:
    """Return the regions that cannot be worked on, and what could not be checked.

    Args:
        site: Where to publish.
        desired: The artifacts.
        made: What would be done.

    Raises:
        AwsFailure: The credentials are missing or expired.
    """
    sizes = {want.identifier: want.size for want in desired}
    room: dict[str, int] = {}
    proved: dict[str, None] = {}
    for action in made.actions:
        if action.step is Step.PUBLISH:
            room[action.region] = room.get(action.region, 0) + sizes[action.target]
        elif action.step is Step.CANARY:
            proved[action.region] = None
    roles = _Roles(site.canary_role)

    def look(region: str) -> Findings:
        report = preflight.Findings()
        if region in room:
            preflight.check_code_storage(report, site.aws[region], region, needs=room[region])
        if region in proved:
            found = roles.found(site.aws[region], region)
            report.problems += found.problems
            report.unread += found.unread
        return report

    found, failed = observed.in_parallel(look, list({**room, **proved}), workers=site.workers)
    refused = [
        Quarantined(region, problem.message, problem.hint or "")
        for region, report in found.items()
        for problem in report.problems
    ]
    unread = dict.fromkeys(line for report in found.values() for line in report.unread)
    return [*refused, *failed], list(unread)


class _Roles:
    """The canary's role, looked at once in each account.

    Args:
        name: The role's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._known: dict[int, Findings] = {}

    def found(self, aws: Aws, region: str) -> Findings:
        """Return what is found of the role in the account behind some clients."""
        with self._lock:
            if id(aws) not in self._known:
                report = self._known[id(aws)] = preflight.Findings()
                preflight.check_role(
                    report,
                    aws,
                    region,
                    self._name,
                    service="lambda.amazonaws.com",
                    hint=ROLE_HINT,
                )
            return self._known[id(aws)]
