"""The templates as they stand, and the order that follows from them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.errors import ConfigError
from layersmith.ship.publish import canary
from layersmith.stacks import assets, deploy, keeping, stage, templates
from vector_common import errors

from tests.support import aws_actions, resolved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layersmith.stacks.templates import Template

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "infra-templates"
ALL = templates.load(FOLDER)

HOLDS_DATA = {
    "AWS::S3Vectors::VectorBucket",
    "AWS::S3::Bucket",
    "AWS::EFS::FileSystem",
    "AWS::ECR::Repository",
    "AWS::KMS::Key",
}
UNTAGGED = {
    # Types that CloudFormation cannot tag, and Budgets, whose tags nobody filters by.
    "AWS::Budgets::Budget", "AWS::CloudWatch::Dashboard", "AWS::EC2::Route",
    "AWS::EC2::SecurityGroupEgress", "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::SubnetRouteTableAssociation", "AWS::EC2::VPCEndpoint",
    "AWS::EC2::VPCGatewayAttachment", "AWS::EFS::AccessPoint", "AWS::EFS::MountTarget",
    "AWS::Events::Rule", "AWS::IAM::ManagedPolicy", "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription", "AWS::SNS::TopicPolicy", "AWS::Scheduler::Schedule",
}  # fmt: skip


def test_a_killed_session_is_started_again_and_one_that_ended_is_not() -> None:
    """docs/chroma-server.md: what the supervisor's own exit codes ask of ECS."""
    task = ALL["chroma"].resources["TaskDefinition"]["Properties"]
    [container] = task["ContainerDefinitions"]
    ends = [errors.SettingsError, errors.NobodyWaitsError, errors.StartError]
    assert container["RestartPolicy"]["Enabled"] is True
    assert container["RestartPolicy"]["IgnoredExitCodes"] == [
        errors.EXIT_DONE,
        *(error.exit_code for error in ends),
        errors.EXIT_UNCOUNTED,
    ]
    [volume] = [mount for mount in container["MountPoints"] if mount.get("SourceVolume") == "data"]
    assert volume["ContainerPath"] == "/data", "what the next process goes on with"


def resources() -> Iterator[tuple[Template, str, dict[str, Any]]]:
    for template in ALL.values():
        for name, resource in template.resources.items():
            yield template, name, resource


def test_order_puts_every_stack_after_those_it_imports_from() -> None:
    ordered = [one.name for one in templates.order(ALL.values())]
    for name, needs in templates.dependencies(ALL.values()).items():
        assert all(ordered.index(other) < ordered.index(name) for other in needs)
    assert ordered.index("chroma") < ordered.index("functions") < ordered.index("workflows")


def test_an_import_that_nobody_exports_is_named() -> None:
    body = "Resources: {A: {Type: T, Properties: {P: {'Fn::ImportValue': nowhere-to-be-found}}}}"
    with pytest.raises(ConfigError, match=r"one\.yaml imports nowhere-to-be-found"):
        templates.order([templates.parse("one", body)])


def test_a_circle_of_imports_is_named() -> None:
    def stack(name: str, other: str) -> Template:
        return templates.parse(
            name,
            f"Resources: {{A: {{Type: T, Properties: {{P: {{'Fn::ImportValue': {other}}}}}}}}}\n"
            f"Outputs: {{O: {{Value: 1, Export: {{Name: {name}}}}}}}",
        )

    with pytest.raises(ConfigError, match="circle"):
        templates.order([stack("a", "b"), stack("b", "a")])


def test_short_tags_become_long_ones() -> None:
    body = "Resources: {A: {Type: T, Properties: {G: !GetAtt B.C.D, R: !Ref B, S: !Sub x}}}"
    properties = templates.parse("a", body).resources["A"]["Properties"]
    assert properties == {
        "G": {"Fn::GetAtt": ["B", "C.D"]},
        "R": {"Ref": "B"},
        "S": {"Fn::Sub": "x"},
    }


@pytest.mark.parametrize("body", ["Resources: {}", "[]", "Resources: {A: {"])
def test_what_is_no_template_is_refused(body: str) -> None:
    with pytest.raises(ConfigError):
        templates.parse("a", body)


def test_everything_that_holds_data_is_retained_and_nothing_else_is() -> None:
    for template, name, resource in resources():
        kept = resource.get("DeletionPolicy") == "Retain"
        holds = resource["Type"] in HOLDS_DATA
        policy = resource["Type"] == "AWS::S3::BucketPolicy"
        assert kept == (holds or policy), f"{template.name}.{name}"
        if kept:
            assert resource["UpdateReplacePolicy"] == "Retain", f"{template.name}.{name}"


def test_what_is_kept_under_a_name_of_its_own_can_be_there_before_its_stack() -> None:
    # What outlives its stack is there when the stack comes up again, and CloudFormation cannot
    # create it a second time.
    create_only = aws_actions.load()["create_only"]
    named = {
        (template.name, name)
        for template, name, resource in resources()
        if resource.get("DeletionPolicy") == "Retain"
        if any(
            one.endswith("Name") and one in resource["Properties"]
            for one in create_only[resource["Type"]]
        )
    }
    known = {
        (template, one.resource): one for template, each in keeping.NAMED.items() for one in each
    }
    assert named == known.keys()
    for (template, name), one in known.items():
        resource = ALL[template].resources[name]
        assert resource["Type"] == one.type
        made = resolved.Stage(given={template: {one.parameter: "false"}}).stacks[template]
        assert name not in made.resources
        outputs = [output["Value"] for output in made.template.document["Outputs"].values()]
        assert not any(f"{name}-" in str(made.value(value)) for value in outputs)


def test_everything_that_can_be_tagged_is_tagged_with_project_and_stage() -> None:
    for template, name, resource in resources():
        if resource["Type"] in UNTAGGED:
            continue
        properties = resource["Properties"]
        listed = properties.get("Tags") or properties.get("FileSystemTags") or []
        keys = {tag["Key"] for tag in listed}
        if resource["Type"] == "AWS::IAM::OIDCProvider" or keys:
            assert {"project", "stage"} <= keys, f"{template.name}.{name}"
        else:
            pytest.fail(f"{template.name}.{name} ({resource['Type']}) has no tags")


def test_every_parameter_is_constrained() -> None:
    limits = {"AllowedPattern", "AllowedValues", "MinValue", "MaxValue"}
    for template in ALL.values():
        for name, parameter in template.parameters.items():
            if parameter["Type"].startswith("AWS::SSM"):
                continue
            assert limits & parameter.keys(), f"{template.name}.{name}"


def test_names_of_exports_are_unique_and_name_their_stack() -> None:
    seen: set[str] = set()
    for template in ALL.values():
        for export in template.exports:
            assert export.startswith(f"${{Project}}-${{Stage}}-{template.name}-")
            assert export not in seen
            seen.add(export)


def test_no_export_changes_with_an_update() -> None:
    # CloudFormation refuses to change a value that another stack imports; a task definition and
    # a layer version are new with every change.
    changing = {"AWS::ECS::TaskDefinition", "AWS::Lambda::LayerVersion", "AWS::Lambda::Version"}
    for template in ALL.values():
        for name, output in template.document.get("Outputs", {}).items():
            value = output["Value"]
            if isinstance(value, dict) and "Ref" in value:
                resource = template.resources.get(value["Ref"], {"Type": ""})
                assert resource["Type"] not in changing, f"{template.name}.{name}"


def exported(stack: str, given: dict[str, str]) -> dict[str, Any]:
    """Values by name of what a stack exports, the names as they are written."""
    made = resolved.Stage(given={stack: given}).stacks[stack]
    return {
        output["Export"]["Name"]["Fn::Sub"]: made.value(output["Value"])
        for output in ALL[stack].document.get("Outputs", {}).values()
        if "Export" in output
        if "Condition" not in output or made.condition(output["Condition"])
    }


def test_no_choice_of_a_parameter_changes_what_another_stack_imports() -> None:
    # While a stack imports a value, the exporting stack cannot modify it (CloudFormation user
    # guide, using-cfn-stack-exports): a stage could never take another choice.
    imported = {name for template in ALL.values() for name in template.imports}
    changing = []
    for template in ALL.values():
        for name, declared in template.parameters.items():
            values = [str(one) for one in declared.get("AllowedValues", ())]
            first, *others = [exported(template.name, {name: one}) for one in values] or [{}]
            changing += [
                f"{template.name}.{name}: {export}"
                for other in others
                for export in imported & first.keys() & other.keys()
                if first[export] != other[export]
            ]
    assert changing == []


def test_what_regions_lack_is_what_the_registry_of_cloudformation_says() -> None:
    assert tomllib.loads(templates.LACKING.read_text("utf-8")) == aws_actions.load()["lacking"]


@pytest.mark.parametrize("name", ALL)
def test_a_region_gets_no_template_with_a_type_that_it_lacks(name: str) -> None:
    lacking = aws_actions.load()["lacking"]
    for region in {one for each in lacking.values() for one in each}:
        unknown = {kind for kind, regions in lacking.items() if region in regions}
        found, left_out = templates.in_region(ALL[name], region)
        assert unknown.isdisjoint(one["Type"] for one in found.resources.values())
        assert found.resources.keys() | left_out.keys() == ALL[name].resources.keys()
        for one in left_out:
            assert templates.parse(name, found.body) == found
            # Nothing that stays may name it: Ref, Fn::GetAtt, Fn::Sub, DependsOn.
            assert not re.search(rf'"{one}[".]|\$\{{{one}[.}}]', found.body), (region, one)
    assert templates.in_region(ALL[name], "eu-west-1") == (ALL[name], {})


def test_a_choice_that_would_replace_a_named_resource_says_when_to_make_it() -> None:
    # CloudFormation replaces no resource that has a name of its own: the new one would need it, too
    # (CloudFormation user guide, name type).
    create_only = aws_actions.load()["create_only"]
    found = {}
    for template in ALL.values():
        for parameter, declared in template.parameters.items():
            values = [str(one) for one in declared.get("AllowedValues", ())]
            stages = [resolved.Stage(given={template.name: {parameter: one}}) for one in values]
            first, *others = [one.stacks[template.name].resources for one in stages] or [{}]
            for name, resource in first.items():
                kind = resource["Type"]
                tops = {path.partition("/")[0] for path in create_only[kind]}
                named = any(resource["Properties"].get(one) for one in tops if one.endswith("Name"))
                replaced = [
                    top
                    for other in others
                    for top in tops
                    if name in other
                    and other[name]["Properties"].get(top) != resource["Properties"].get(top)
                ]
                if named and replaced:
                    found[f"{template.name}.{parameter}"] = declared["Description"]
    assert list(found) == ["artifacts.UseKmsKey"]
    assert [one for one in found.values() if "before the first deployment" not in one] == []


@pytest.mark.parametrize("vpc", ["", "vpc-0123456789abcdef0"])
@pytest.mark.parametrize("egress", ["public-tasks", "endpoints", "nat"])
@pytest.mark.parametrize(("storage", "tokens"), [("s3", "s3"), ("efs", "ssm")])
def test_workflows_takes_by_parameters_what_network_and_chroma_give_out(
    vpc: str, egress: str, storage: str, tokens: str
) -> None:
    network = {"Egress": egress, "ExistingVpcId": vpc}
    chroma = {"Storage": storage, "TokenStore": tokens}
    made = resolved.Stage(
        given={"network": network, "chroma": chroma, "workflows": network | chroma}
    ).stacks
    session = made["workflows"].resources["VectorSession"]["Properties"]["DefinitionSubstitutions"]
    for owner, name in (
        ("network", "AssignPublicIp"),
        ("chroma", "Storage"),
        ("chroma", "TokenReferencePrefix"),
    ):
        said = made[owner].template.document["Outputs"][name]["Value"]
        assert session[name] == made[owner].value(said), name


def test_every_stage_fits_its_templates_and_leaves_only_the_image_open() -> None:
    found = assets.collect(ROOT / "lambdas", FOLDER / "state-machines")
    for path in (FOLDER / "stages").glob("*.yaml"):
        chosen = stage.load(FOLDER / "stages", path.stem)
        open_ = {
            f"{template.name}.{name}"
            for template in stage.select(chosen, ALL)
            for name, parameter in template.parameters.items()
            if "Default" not in parameter
            and name
            not in {"Project", "Stage", "BucketName", *found, *chosen.parameters(template.name)}
        }
        assert open_ == {"chroma.ImageUri"}


def test_the_parameters_of_assets_have_files() -> None:
    found = assets.collect(ROOT / "lambdas", FOLDER / "state-machines")
    signed = f"{assets.FUNCTIONS}profile/{'0' * 64}.zip"
    for template in (ALL["functions"], ALL["vectors"], ALL["workflows"]):
        for name, parameter in template.parameters.items():
            if name.endswith("Key"):
                assert re.fullmatch(parameter["AllowedPattern"], found[name].key), name
                if "CodeSigningConfigArn" in template.parameters:
                    assert re.fullmatch(parameter["AllowedPattern"], signed), name


def test_every_template_fits_a_request_or_goes_through_s3() -> None:
    assert len(ALL["artifacts"].body.encode()) <= templates.BODY_LIMIT


def test_pointers_are_read_by_parameters_that_every_update_reads_again() -> None:
    # CloudFormation does not resolve {{resolve:ssm:...}} anew when only the parameter changed.
    told = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *FOLDER.glob("*.yaml")]
    assert [path.name for path in told if "{{resolve:ssm" in path.read_text("utf-8")] == []
    assert "AWS::SSM::Parameter::Value" in (ROOT / "docs/publishing.md").read_text("utf-8")


def test_the_canary_fits_the_parameter_that_brings_it_into_a_region() -> None:
    # CloudFormation quotas: 4,096 bytes of a parameter's value.
    assert len(canary.HANDLER_SOURCE.read_bytes()) <= 4096
    assert re.fullmatch(
        ALL["layer-test"].parameters["Code"]["AllowedPattern"],
        canary.HANDLER_SOURCE.read_text("utf-8"),
    )


@pytest.mark.parametrize("name", ALL)
def test_a_plan_can_send_the_template_in_the_request(name: str) -> None:
    body = deploy.body_of(ALL[name])["TemplateBody"]
    assert len(body.encode()) <= templates.BODY_LIMIT
    assert templates.parse(name, body).document == ALL[name].document


def test_a_template_that_no_request_takes_is_refused_with_its_size() -> None:
    resources = "".join(f"  A{n}: {{Type: 'AWS::S3::Bucket'}}\n" for n in range(2000))
    large = templates.parse("large", f"Resources:\n{resources}")
    with pytest.raises(ConfigError, match="large is too large to be planned"):
        deploy.body_of(large)
