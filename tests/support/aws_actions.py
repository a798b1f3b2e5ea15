"""What CloudFormation's resource handlers call, what regions lack, which actions know no resource.

All is AWS's data, as cfn-lint ships it: the resource schemas (``handlers.*.permissions``) of every
region and the service authorization reference. ``python -m tests.support.aws_actions`` takes them
over anew.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("aws_actions.json")
REGION = "eu-west-1"


def load() -> dict[str, Any]:
    """Return what was taken over.

    ``handlers`` (type -> handler -> actions), ``lacking`` (type -> regions in which CloudFormation
    does not know it), ``create_only`` (type -> properties that only a new resource gets),
    ``unbound`` actions, source and date.
    """
    found: dict[str, Any] = json.loads(DATA.read_text("utf-8"))
    return found


def refresh() -> None:
    """Write the data for the types that the templates make."""
    from layersmith.ship.aws import regions

    from tests.support.policies import listed
    from tests.support.resolved import Stage

    spec = importlib.util.find_spec("cfnlint")
    assert spec and spec.origin
    data = Path(spec.origin).parent / "data"
    schemas = data / "schemas"
    digests = json.loads((schemas / f"providers/{REGION}.json").read_text())
    made = (one.resources.values() for one in Stage().templates.values())
    types = sorted({resource["Type"] for each in made for resource in each})
    known = {
        path.stem: set(json.loads(path.read_text()))
        for path in (schemas / "providers").glob("*.json")
    }
    offered = [name for one in regions.PARTITIONS for name in regions.of_partition(one)]
    handlers, create_only = {}, {}
    for kind in types:
        schema = json.loads((schemas / f"resources/{digests[kind]}.json").read_text())
        create_only[kind] = sorted(
            path.removeprefix("/properties/") for path in schema.get("createOnlyProperties", ())
        )
        handlers[kind] = {
            name: sorted(set(one.get("permissions", ())))
            for name, one in sorted(schema["handlers"].items())
            if name != "list"
        }
    services = json.loads((data / "AdditionalSpecs/Policies.json").read_text())
    called = {one for each in handlers.values() for each_ in each.values() for one in each_}
    granted = {
        action
        for _, policies in Stage().roles()
        for statement in policies.identity
        for action in listed(statement["Action"])
    }

    def is_unbound(action: str) -> bool:
        service, name = action.lower().split(":", 1)
        found = services.get(service, {}).get("Actions", {}).get(name)
        return found is not None and not found.get("Resources")

    document = {
        "source": f"cfn-lint {importlib.metadata.version('cfn-lint')}",
        "date": json.loads((schemas / "version.json").read_text())["schema_date"][:10],
        "handlers": handlers,
        "lacking": {
            kind: lacking
            for kind in types
            if (lacking := [one for one in offered if kind not in known.get(one, {kind})])
        },
        "create_only": create_only,
        "unbound": sorted(filter(is_unbound, called | granted)),
    }
    DATA.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    refresh()
