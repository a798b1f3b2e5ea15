"""Deleting what holds data, one resource at a time."""

from __future__ import annotations

import re
from typing import Any

import botocore.session
import pytest
from layersmith.stacks import destroy

from tests.unit.ship.fakes import FakeAws, refusal


@pytest.mark.parametrize(
    ("kind", "service", "operation"),
    [
        ("AWS::S3Vectors::VectorBucket", "s3vectors", "DeleteVectorBucket"),
        ("AWS::ECR::Repository", "ecr", "DeleteRepository"),
        ("AWS::EFS::FileSystem", "efs", "DeleteFileSystem"),
        ("AWS::KMS::Key", "kms", "ScheduleKeyDeletion"),
        ("AWS::SSM::Parameter", "ssm", "DeleteParameter"),
    ],
)
def test_what_somebody_deleted_by_hand_counts_as_deleted(
    kind: str, service: str, operation: str
) -> None:
    # By the name that the service's own model gives the error.
    model = botocore.session.get_session().get_service_model(service)
    shapes = model.operation_model(operation).error_shapes
    [missing] = [one.name for one in shapes if re.search("NotFound(Exception)?$", one.name)]
    called = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
    aws: Any = FakeAws(list_indexes=[[{"indexes": []}]], **{called: [refusal(missing)]})
    assert destroy.delete(aws, "eu-west-1", destroy.Kept("chroma", kind, "gone"))
    assert called in aws.names()
