from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from layersmith.ship.aws import failures
from layersmith.ship.aws.failures import Kind


def client_error(code: str, message: str = "", status: int = 400) -> ClientError:
    said = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(said, "PublishLayerVersion")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "service", "kind"),
    [
        (client_error("ExpiredTokenException"), "lambda", Kind.CREDENTIALS),
        (client_error("InvalidClientTokenId"), "sts", Kind.CREDENTIALS),
        (client_error("UnrecognizedClientException"), "lambda", Kind.OPTED_OUT),
        (client_error("AccessDeniedException"), "lambda", Kind.DENIED),
        (client_error("TooManyRequestsException"), "lambda", Kind.THROTTLED),
        (client_error("RequestTimeTooSkewed"), "s3", Kind.CLOCK),
        (client_error("InvalidSignatureException", "Signature expired: x"), "lambda", Kind.CLOCK),
        (client_error("InternalFailure", status=500), "lambda", Kind.DOWN),
        (client_error("ValidationException"), "lambda", Kind.REJECTED),
        (NoCredentialsError(), "lambda", Kind.CREDENTIALS),
        (EndpointConnectionError(endpoint_url="https://x"), "lambda", Kind.DOWN),
    ],
)
def test_every_failure_has_a_kind_and_a_next_step(
    error: Exception, service: str, kind: Kind
) -> None:
    with pytest.raises(failures.AwsFailure) as caught, failures.explained("eu-west-1", service):
        raise error
    assert caught.value.kind is kind
    assert caught.value.hint
    assert "\n" not in caught.value.line
