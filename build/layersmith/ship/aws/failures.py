"""What AWS answers when it refuses, turned into one line that says what to do.

A failure is either the run's (no credentials: nothing can work anywhere) or a region's (it is
quarantined and the others go on).
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from layersmith.errors import ShipError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Kind(StrEnum):
    """Why a call failed, as far as the next step differs."""

    CREDENTIALS = "credentials"
    SETUP = "setup"
    CLOCK = "clock"
    OPTED_OUT = "opted-out"
    DENIED = "denied"
    THROTTLED = "throttled"
    DOWN = "down"
    NOT_AWS = "not-aws"
    REJECTED = "rejected"


OF_THE_RUN = frozenset({Kind.CREDENTIALS, Kind.SETUP, Kind.CLOCK})
"""Kinds that are the same in every region, so that the run ends with one line."""

_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.UnauthorizedSSOTokenError,
    boto.SSOTokenLoadError,
)
_UNREACHABLE = (boto.HTTPClientError, boto.ConnectionError, boto.EndpointConnectionError)

# Error codes as the services document them; S3, Lambda, SSM and STS differ in spelling.
_CODES = {
    Kind.CREDENTIALS: {"ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId"},
    Kind.CLOCK: {"RequestTimeTooSkewed", "RequestExpired"},
    Kind.OPTED_OUT: {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "AuthFailure",
        "OptInRequired",
        "InvalidToken",
    },
    Kind.DENIED: {
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "AllAccessDisabled",
        "403",
    },
    Kind.THROTTLED: {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "SlowDown",
    },
}
# STS answers so to credentials that are wrong, and to all in a region that is not enabled.
_STS_CREDENTIALS = {"InvalidClientTokenId", "UnrecognizedClientException", "InvalidToken"}

_LIKELY = {
    Kind.CREDENTIALS: "there are no AWS credentials, or they have expired",
    Kind.SETUP: "~/.aws/config, ~/.aws/credentials or an AWS_ variable holds what boto3 cannot use",
    Kind.CLOCK: "the clock of this machine is more than 5 minutes off (SigV4)",
    Kind.OPTED_OUT: "the region is not enabled for this account",
    Kind.DENIED: "the role lacks a permission, or an organization's policy forbids it",
    Kind.THROTTLED: "the account's request rate is used up in this region",
    Kind.DOWN: "the region or the way to it is down",
    Kind.NOT_AWS: "a proxy, a firewall or a sign-in page of the network answered instead of AWS",
    Kind.REJECTED: "AWS rejected the request",
}
_NEXT = {
    Kind.CREDENTIALS: "sign in (`aws sso login`, or the workflow's OIDC role) and run it again",
    Kind.SETUP: "correct it (`aws configure list` shows what is used), or pass --profile",
    Kind.CLOCK: "set the clock (`timedatectl set-ntp true`) and run it again",
    Kind.OPTED_OUT: "enable the region, or take it out of `regions` in layers.yaml",
    Kind.DENIED: "allow the action for the publishing role and run it again",
    Kind.THROTTLED: "run it again; completed steps are not repeated",
    Kind.DOWN: "run it again later; completed steps are not repeated",
    Kind.NOT_AWS: "check HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL, and run it again",
    Kind.REJECTED: "read the message; nothing was changed by this call",
}


class AwsFailure(ShipError):
    """An AWS call failed after all retries.

    Args:
        kind: Why, as far as the next step differs.
        message: One line that names the call.
        region: Region of the call, such as ``eu-west-1``.
        action: The IAM action, such as ``lambda:PublishLayerVersion``, where it is known.
    """

    def __init__(self, kind: Kind, message: str, *, region: str, action: str | None) -> None:
        unread = _unread() if kind is Kind.CREDENTIALS else ""
        super().__init__(message, cause=_LIKELY[kind] + unread, hint=_NEXT[kind])
        self.kind = kind
        self.region = region
        self.action = action

    @property
    def line(self) -> str:
        """What happened and why, in one line for a table."""
        where = f"{self.target}: " if self.target else ""
        return f"{where}{self.message} ({self.cause})"


def depends_on_region(failure: AwsFailure) -> bool:
    """Whether STS refused credentials that another region may take.

    STS's endpoint of a region that the account has not enabled cannot be activated (IAM user guide,
    id_credentials_temp_enable-regions): it knows no credentials of the account.
    """
    cause = failure.__cause__
    return (
        failure.kind is Kind.CREDENTIALS
        and isinstance(cause, boto.ClientError)
        and code_of(cause) in _STS_CREDENTIALS
    )


def code_of(error: boto.ClientError) -> str:
    """Return the error code that the service answered."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_missing(error: boto.ClientError) -> bool:
    """Whether the service says that the thing is not there."""
    return code_of(error) in {
        "ResourceNotFoundException",
        "ParameterNotFound",
        "NoSuchKey",
        "NoSuchBucket",
        "NoSuchEntity",
        "RepositoryNotFoundException",
        "FileSystemNotFound",
        "NotFoundException",
        "NotFound",
        "404",
    }


def is_conflict(error: boto.ClientError) -> bool:
    """Whether somebody else was first: a conditional write failed, or the thing exists."""
    return code_of(error) in {
        "PreconditionFailed",
        "ConditionalRequestConflict",
        "ResourceConflictException",
        "412",
        "409",
    }


@contextmanager
def configuring(region: str) -> Iterator[None]:
    """Turn what boto3 raises over the user's configuration into AwsFailure.

    What it raises over a file is not always its own: a credential_process that prints no JSON or an
    endpoint that is not a URL is a ValueError, a section where a value belongs an AttributeError.

    Args:
        region: Region that the clients are for.

    Raises:
        AwsFailure: The configuration or the credentials cannot be used.
    """
    try:
        yield
    except _NO_CREDENTIALS as error:
        raise _unusable(Kind.CREDENTIALS, "credentials", error, region) from error
    except (boto.BotoCoreError, ValueError, AttributeError, TypeError, LookupError) as error:
        raise _unusable(Kind.SETUP, "configuration", error, region) from error


def _unusable(kind: Kind, what: str, error: Exception, region: str) -> AwsFailure:
    verb = "cannot be used"
    return AwsFailure(kind, f"AWS {what} {verb}: {_first_line(error)}", region=region, action=None)


@contextmanager
def explained(region: str, service: str) -> Iterator[None]:
    """Turn what botocore raises in the block into AwsFailure.

    Args:
        region: Region the block talks to.
        service: botocore's name of the service, for the IAM action.

    Raises:
        AwsFailure: A call of the block failed.
    """
    try:
        yield
    except boto.ClientError as error:
        raise from_client_error(error, region, service) from error
    except _NO_CREDENTIALS as error:
        raise _unusable(Kind.CREDENTIALS, "credentials", error, region) from error
    except (ResponseParserError, KeyError) as error:
        # A KeyError: the answer could be read, and lacks what AWS always says.
        message = f"{region}: {service} answered what AWS does not: {_first_line(error)}"
        raise AwsFailure(Kind.NOT_AWS, message, region=region, action=None) from error
    except _UNREACHABLE as error:
        message = f"{region}: {service} does not answer: {_first_line(error)}"
        raise AwsFailure(Kind.DOWN, message, region=region, action=None) from error
    except boto.BotoCoreError as error:
        message = f"{region}: {service}: {_first_line(error)}"
        raise AwsFailure(Kind.REJECTED, message, region=region, action=None) from error


def _unread() -> str:
    """Name the files of credentials that botocore passes over because this user cannot read them.

    AWS's tools read these: https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html
    """
    files = (
        Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")).expanduser(),
        Path(os.environ.get("AWS_CONFIG_FILE", "~/.aws/config")).expanduser(),
    )
    closed = [str(file) for file in files if not os.access(file, os.R_OK) and _may_exist(file)]
    return f"; this user cannot read {' and '.join(closed)}" if closed else ""


def _may_exist(file: Path) -> bool:
    try:
        file.lstat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def from_client_error(error: boto.ClientError, region: str, service: str) -> AwsFailure:
    """Return the failure for what a service answered."""
    kind = _kind(error, service)
    action = f"{service}:{error.operation_name}"
    said = _first_line(Exception(error.response.get("Error", {}).get("Message", "")))
    if kind is Kind.CREDENTIALS:
        message = f"AWS refuses the credentials ({code_of(error)}): {said}"
    else:
        message = f"{region}: {action} failed ({code_of(error)}): {said}"
    return AwsFailure(kind, message, region=region, action=action)


def _kind(error: boto.ClientError, service: str) -> Kind:
    code = code_of(error)
    message = str(error.response.get("Error", {}).get("Message", ""))
    if service == "sts" and code in _STS_CREDENTIALS:
        return Kind.CREDENTIALS
    # Outside S3 a wrong clock is answered as a bad signature; only the text tells.
    if re.search(r"[Ss]ignature (expired|not yet current)", message):
        return Kind.CLOCK
    for kind, codes in _CODES.items():
        if code in codes:
            return kind
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return Kind.DOWN if status >= 500 else Kind.REJECTED


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
