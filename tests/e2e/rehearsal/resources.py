"""Fills the gaps of moto's CloudFormation that the project's templates meet.

moto leaves out what it does not know. :data:`UNSUPPORTED` is the list of what it cannot create
from these templates; a test compares it with the templates, so that it can only shrink.
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

import boto3
from layersmith.stacks.templates import parse
from moto.cloudformation import parsing
from moto.cloudformation.models import CloudFormationBackend, Event, Stack
from moto.ec2.models import ec2_backends
from moto.ec2.models.route_tables import RouteTable
from moto.ec2.models.vpcs import VPCEndPoint
from moto.ecs.models import Cluster
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from tests.support import clocks

UNSUPPORTED = frozenset(
    {
        "AWS::Budgets::Budget",
        "AWS::CloudWatch::Alarm",
        "AWS::EC2::SecurityGroupEgress",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::TopicPolicy",
        "AWS::Scheduler::Schedule",
    }
)
"""Types of the templates that moto cannot create."""


def moto_knows(kind: str) -> bool:
    """Whether moto's CloudFormation can create a type of resource."""
    return parsing.resource_class_from_type(kind) is not None


_plain_clean_json = parsing.clean_json
_plain_create = parsing.parse_and_create_resource


def _clean_json(value: Any, resources: Any) -> Any:
    """As moto's, with ``Fn::Cidr``, and without what ``AWS::NoValue`` removes from lists."""
    if isinstance(value, list):
        cleaned = [_clean_json(one, resources) for one in value]
        return [one for one in cleaned if one is not None]
    if isinstance(value, dict) and "Fn::Cidr" in value:
        block, count, bits = (_clean_json(part, resources) for part in value["Fn::Cidr"])
        network = ipaddress.ip_network(block)
        subnets = network.subnets(new_prefix=network.max_prefixlen - int(bits))
        return [str(subnet) for subnet, _ in zip(subnets, range(int(count)), strict=False)]
    return _plain_clean_json(value, resources)


LIMITS = re.compile(r'((?:Timeout|Heartbeat)Seconds": |\\"heartbeatSeconds\\":)(\d+)')
"""What a definition bounds itself, the default of its input's heartbeat among it."""


def scaled(text: str) -> str:
    """A definition whose bounds are as much longer as this machine is slower."""
    return LIMITS.sub(lambda found: f"{found[1]}{clocks.whole(int(found[2]))}", text)


def definition(properties: dict[str, Any], endpoint: str, region: str) -> str:
    """Return a state machine's definition as CloudFormation hands it to Step Functions.

    Its bounds are scaled, see :func:`scaled`.
    """
    place = properties["DefinitionS3Location"]
    s3 = boto3.client("s3", region_name=region, endpoint_url=endpoint)
    text = s3.get_object(Bucket=place["Bucket"], Key=place["Key"])["Body"].read().decode()
    values = properties.get("DefinitionSubstitutions", {})
    filled = re.sub(r"\$\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), text)
    left = re.findall(r"\$\{\w+\}", filled)
    assert not left, f"{place['Key']} keeps {left}: no substitution names it"
    return scaled(json.dumps(_batched_singly(json.loads(filled))))


def _batched_singly(machine: dict[str, Any]) -> dict[str, Any]:
    """A definition whose maps hand batches of one item out: moto knows no ItemBatcher."""
    for state in machine["States"].values():
        if "ItemBatcher" in state:
            batch = state.pop("ItemBatcher")["BatchInput"]
            state["ItemSelector"] = {
                "BatchInput": batch,
                "Items.$": "States.Array($$.Map.Item.Value)",
            }
    return machine


def _machine_hooks(endpoint: str) -> dict[str, Any]:
    """Let moto create state machines from S3, and in the backend that runs them."""

    def create(
        cls: Any, resource_name: str, cloudformation_json: Any, account_id: str,
        region_name: str, **_: Any,
    ) -> StateMachine:  # fmt: skip
        properties = cloudformation_json["Properties"]
        return stepfunctions_parser_backends[account_id][region_name].create_state_machine(
            properties["StateMachineName"],
            definition(properties, endpoint, region_name),
            properties["RoleArn"],
        )

    def delete(
        cls: Any, resource_name: str, cloudformation_json: Any, account_id: str,
        region_name: str,
    ) -> None:  # fmt: skip
        stepfunctions_parser_backends[account_id][region_name].delete_state_machine(resource_name)

    def update(cls: Any, **named: Any) -> StateMachine:
        properties, region = named["cloudformation_json"]["Properties"], named["region_name"]
        backend = stepfunctions_parser_backends[named["account_id"]][region]
        return backend.update_state_machine(
            named["original_resource"].arn, definition(properties, endpoint, region)
        )

    def attribute(self: StateMachine, name: str) -> str:
        return str(self.name if name == "Name" else self.arn)

    return {
        "has_cfn_attr": classmethod(lambda _, name: name in {"Arn", "Name"}),
        "get_cfn_attribute": attribute,
        "create_from_cloudformation_json": classmethod(create),  # type: ignore[arg-type]
        "delete_from_cloudformation_json": classmethod(delete),
        "update_from_cloudformation_json": classmethod(update),  # type: ignore[arg-type]
    }


_plain_cluster = Cluster.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]


def _create_cluster(cls: Any, name: str, template: Any, *rest: Any, **named: Any) -> Any:
    """As moto's, with the strategy that RunTask follows without a launch type."""
    cluster = _plain_cluster(cls, name, template, *rest, **named)
    properties = template["Properties"]
    cluster.capacity_providers = properties["CapacityProviders"]
    cluster.default_capacity_provider_strategy = [
        {"capacityProvider": one["CapacityProvider"], "weight": one["Weight"]}
        for one in properties["DefaultCapacityProviderStrategy"]
    ]
    return cluster


def _delete_routes(cls: Any, resource_name: str, _: Any, account_id: str, region_name: str) -> None:
    """Moto leaves route tables behind, and their VPC cannot go."""
    backend = ec2_backends[account_id][region_name]
    for endpoint in backend.vpc_end_points.values():
        in_use = resource_name in (endpoint.route_table_ids or []) and endpoint.state != "deleted"
        assert not in_use, f"{resource_name} is in use by {endpoint.id}"
    backend.route_tables[resource_name]._associations.clear()
    backend.delete_route_table(resource_name)


def _delete_endpoint(
    cls: Any, resource_name: str, _: Any, account_id: str, region_name: str
) -> None:
    """Moto leaves endpoints behind, and their VPC cannot go."""
    ec2_backends[account_id][region_name].delete_vpc_endpoints([resource_name])


_plain_change_set = CloudFormationBackend.create_change_set


def _create_change_set(self: Any, stack_name: str, *rest: Any, **named: Any) -> Any:
    """As moto's, which makes a second stack where a change set waits for the first one."""
    for stack in list(self.stacks.values()):
        if stack.name == stack_name and stack.status == "REVIEW_IN_PROGRESS":
            del self.stacks[stack.stack_id]
    return _plain_change_set(self, stack_name, *rest, **named)


def execute_change_set(
    self: CloudFormationBackend, change_set_name: str, stack_name: str | None = None
) -> None:
    """Execute a change set as CloudFormation does: with exports, and rolled back if it fails.

    moto applies a change set without outputs and exports, and answers 500 where a resource fails.
    """
    change_set = self.describe_change_set(change_set_name)
    assert change_set is not None
    stack = self.stacks[change_set.stack_id]
    kind = change_set.change_set_type
    stack.status = f"{kind}_IN_PROGRESS"
    stack._add_stack_event(stack.status, resource_status_reason="User Initiated")
    try:
        _apply(self, stack, change_set)
    except Exception as error:
        logical_id, type_ = getattr(error, "resource", ("", ""))
        _add_failure(stack, logical_id, type_, str(error) or type(error).__name__)
        stack.status = "ROLLBACK_COMPLETE" if kind == "CREATE" else "UPDATE_ROLLBACK_COMPLETE"
    else:
        stack.status = f"{kind}_COMPLETE"
    stack._add_stack_event(stack.status)
    change_set.execution_status = "EXECUTE_COMPLETE"


def _apply(backend: CloudFormationBackend, stack: Stack, change_set: Any) -> None:
    stack.template, stack.parameters = change_set.template, change_set.parameters
    stack._parse_template()
    stack.cross_stack_resources = backend.exports
    if change_set.change_set_type == "CREATE":
        stack.resource_map = stack._create_resource_map()
        stack.resource_map.create(stack.template_dict)
    else:
        stack.resource_map.cross_stack_resources = backend.exports
        stack.resource_map.update(stack.template_dict, stack.parameters)
    stack.output_map = stack._create_output_map()
    for export in stack.exports:
        before = backend.exports.get(export.name)
        if before is not None and before.value != export.value:
            importers = [one.name for one in backend.stacks.values() if _imports(one, export.name)]
            assert not importers, f"Cannot update export {export.name}: in use by {importers}"
        backend.exports[export.name] = export


def _imports(stack: Stack, export: str) -> bool:
    values = re.escape(export)
    for name, value in stack.parameters.items():
        values = values.replace(re.escape(value), f"(?:{re.escape(value)}|\\$\\{{{name}\\}})")
    return any(
        re.fullmatch(values, name) for name in parse(stack.name, str(stack.template)).imports
    )


def _add_failure(stack: Stack, logical_id: str, kind: str, reason: str) -> None:
    stack.events.append(
        Event(
            stack_id=stack.stack_id, stack_name=stack.name, logical_resource_id=logical_id,
            physical_resource_id="", resource_type=kind, resource_status="CREATE_FAILED",
            resource_status_reason=reason, resource_properties=None,
        )
    )  # fmt: skip


def _create_resource(logical_id: str, resource_json: Any, *rest: Any, **named: Any) -> Any:
    """As moto's, and an error remembers its resource."""
    try:
        return _plain_create(logical_id, resource_json, *rest, **named)
    except Exception as error:
        if not hasattr(error, "resource"):
            error.resource = (logical_id, resource_json.get("Type", ""))  # type: ignore[attr-defined]
        raise


def _exports(self: parsing.OutputMap) -> list[parsing.Export]:
    """As moto's, without the exports whose condition is false."""
    resources = self._resource_map
    return [
        parsing.Export(
            self._stack_id,
            parsing.clean_json(output["Export"]["Name"], resources),
            parsing.clean_json(output["Value"], resources),
        )
        for output in (self._output_json_map or {}).values()
        if "Export" in output
        and ("Condition" not in output or resources.lazy_condition_map[output["Condition"]])
    ]


def fill(endpoint: str) -> list[tuple[Any, str, Any]]:
    """Patch moto for this process; return what was there, for :func:`empty`."""
    patched = [
        (parsing, "clean_json"), (parsing, "parse_and_create_resource"),
        (parsing.OutputMap, "exports"), (CloudFormationBackend, "execute_change_set"),
        (CloudFormationBackend, "create_change_set"),
        (Cluster, "create_from_cloudformation_json"),
        (RouteTable, "delete_from_cloudformation_json"),
        (VPCEndPoint, "delete_from_cloudformation_json"),
        *((StateMachine, name) for name in _machine_hooks(endpoint)),
    ]  # fmt: skip
    before = [(owner, name, owner.__dict__.get(name)) for owner, name in patched]
    hooks = {
        "clean_json": _clean_json,
        "parse_and_create_resource": _create_resource,
        "exports": property(_exports),
        "execute_change_set": execute_change_set,
        "create_change_set": _create_change_set,
    }
    classes: dict[Any, Any] = {
        Cluster: _create_cluster,
        RouteTable: _delete_routes,
        VPCEndPoint: _delete_endpoint,
    }
    for owner, name in patched:
        if owner is StateMachine:
            setattr(owner, name, _machine_hooks(endpoint)[name])
        elif owner in classes:
            setattr(owner, name, classmethod(classes[owner]))
        else:
            setattr(owner, name, hooks[name])
    return before


def empty(before: list[tuple[Any, str, Any]]) -> None:
    """Undo :func:`fill`."""
    for owner, name, value in before:
        if value is None:
            delattr(owner, name)
        else:
            setattr(owner, name, value)
