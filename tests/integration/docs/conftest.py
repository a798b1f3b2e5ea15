"""An index on loopback, and a server that behaves like AWS."""

from tests.integration.lock.conftest import index
from tests.integration.ship.conftest import aws, aws_process, project

__all__ = ["aws", "aws_process", "index", "project"]
