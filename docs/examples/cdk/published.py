"""A function with a published layer."""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_ssm as ssm

app = cdk.App()
stack = cdk.Stack(app, "Thumbnails")

# Becomes a parameter of the type AWS::SSM::Parameter::Value<String>, read at every deployment.
arn = ssm.StringParameter.value_for_string_parameter(
    stack, "/layers/imaging/python3.13/arm64/latest"
)
imaging = lambda_.LayerVersion.from_layer_version_arn(stack, "Imaging", arn)

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
