"""What a layer leaves to its runtime."""

from __future__ import annotations

from layersmith.base import runtimes


def test_what_must_go_with_it_is_kept_too() -> None:
    runtime = runtimes.get("python3.13")
    assert set(runtime.left_out([])) == runtime.provided
    kept = runtime.provided - set(runtime.left_out(["boto3"]))
    assert kept == {"boto3", "botocore", "jmespath", "s3transfer"}
    assert runtime.provided - set(runtime.left_out(["urllib3"])) == {"urllib3"}
