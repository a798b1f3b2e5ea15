"""An AWS account for a rehearsal: moto's server with its gaps filled, and what the stacks need.

Everything lives in this process but for the servers and the functions, which are processes or
containers of their own and reach the account over HTTP, as on AWS.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config
from moto.core.config import default_user_config
from moto.iam.models import SERVICE_NAME_CONVERSION
from moto.server import ThreadedMotoServer

from tests.e2e.rehearsal import events, interpreter, resources
from tests.support import clocks

if TYPE_CHECKING:
    from types import TracebackType

REGION = "eu-west-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "rehearsal",
    "AWS_SECRET_ACCESS_KEY": "rehearsal",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
MOTO = {"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
"""Of machines' images, which no stack asks for; they are most of what an empty account costs."""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Cloud:
    """moto's server on loopback, and on one more address where containers need it.

    Attributes:
        service_host: Address that servers and functions can reach; loopback in quick mode.
        service_name: Name of that address as they see it.
    """

    service_host: str = "127.0.0.1"
    service_name: str = "127.0.0.1"
    port: int = field(default_factory=_free_port)
    _opened: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Self:
        opened = self._opened
        opened.enter_context(_environment({**CREDENTIALS, **MOTO, "MOTO_PORT": str(self.port)}))
        before: Any = dict(default_user_config)
        default_user_config["stepfunctions"] = {"execute_state_machine": True}
        opened.callback(default_user_config.update, before)
        # moto would name ECS's service-linked role AWSServiceRoleForecs.
        SERVICE_NAME_CONVERSION["ecs"] = "ECS"
        for host in dict.fromkeys(("127.0.0.1", self.service_host)):
            server = ThreadedMotoServer(host, self.port, verbose=False)
            server.start()
            opened.callback(server.stop)
        opened.callback(interpreter.empty, interpreter.fill())
        opened.callback(events.empty, events.fill())
        opened.callback(resources.empty, resources.fill(self.endpoint))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _reset()
        self._opened.close()

    @property
    def endpoint(self) -> str:
        """The account's endpoint for this process."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def outside(self) -> dict[str, str]:
        """Environment of servers and functions that are to use the account."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{self.service_name}:{self.port}"}

    def client(self, service: str) -> Any:
        """Return a client of the account in its region."""
        return self.regional(service, REGION)

    def regional(self, service: str, region: str) -> Any:
        """Return a client of the account in a region."""
        config = Config(
            retries={"max_attempts": 2, "mode": "standard"}, read_timeout=clocks.seconds(300)
        )
        make: Any = boto3.client
        return make(service, region_name=region, endpoint_url=self.endpoint, config=config)

    def publish_layer(self, name: str, content: bytes, runtime: str = "python3.13") -> str:
        """Publish a layer and move its pointer, as `publish apply` does."""
        version = self.client("lambda").publish_layer_version(
            LayerName=name, Content={"ZipFile": content}, CompatibleRuntimes=[runtime]
        )
        arn = str(version["LayerVersionArn"])
        self.client("ssm").put_parameter(
            Name=f"/layers/{name}/{runtime}/arm64/latest", Type="String", Value=arn, Overwrite=True
        )
        return arn


def empty_zip() -> bytes:
    """Return a layer that holds nothing, for functions that get their packages another way."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("python/empty.txt", "")
    return memory.getvalue()


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Any:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _reset() -> None:
    from moto.core.base_backend import BackendDict
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    kind: Any = BackendDict
    for backends in (*kind._instances, stepfunctions_parser_backends):
        for account in list(backends):
            for backend in backends[account].values():
                with contextlib.suppress(Exception):
                    backend.reset()
