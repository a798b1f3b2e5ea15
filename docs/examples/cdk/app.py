"""A function and its layer, uploaded from dist/latest/."""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_

app = cdk.App()
stack = cdk.Stack(app, "Thumbnails")

imaging = lambda_.LayerVersion(
    stack,
    "Imaging",
    code=lambda_.Code.from_asset("dist/latest/imaging-python3.13-arm64.zip"),
    compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
    compatible_architectures=[lambda_.Architecture.ARM_64],
    removal_policy=cdk.RemovalPolicy.RETAIN,
)

lambda_.Function(
    stack,
    "Thumbnail",
    code=lambda_.Code.from_asset("src/thumbnail"),
    handler="app.handler",
    runtime=lambda_.Runtime.PYTHON_3_13,
    architecture=lambda_.Architecture.ARM_64,
    memory_size=512,
    timeout=cdk.Duration.seconds(30),
    layers=[imaging],
)

app.synth()
