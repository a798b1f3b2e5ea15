"""What CloudFormation's resource handlers call, and which actions know no resource.

Both are AWS's data, as cfn-lint ships it: the resource schemas (``handlers.*.permissions``) and the
service authorization reference. ``python -m tests.support.aws_actions`` takes them over anew.
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
    """Return ``handlers`` (type -> handler -> actions), ``unbound`` actions, source and date."""
    found: dict[str, Any] = json.loads(DATA.read_text("utf-8"))
    return found


def refresh() -> None:
    """Write the data for the types that the templates make."""
    from tests.support.policies import listed
    from tests.support.resolved import Stage

    spec = importlib.util.find_spec("cfnlint")
    assert spec and spec.origin
    data = Path(spec.origin).parent / "data"
    schemas = data / "schemas"
    digests = json.loads((schemas / f"providers/{REGION}.json").read_text())
    made = (one.resources.values() for one in Stage().templates.values())
    types = sorted({resource["Type"] for each in made for resource in each})
    handlers = {}
    for kind in types:
        schema = json.loads((schemas / f"resources/{digests[kind]}.json").read_text())
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
        "unbound": sorted(filter(is_unbound, called | granted)),
    }
    DATA.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    refresh()
