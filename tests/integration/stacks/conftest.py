"""The service models of AWS, which all clients of a process share."""

from tests.integration.ship.conftest import shared_service_models

__all__ = ["shared_service_models"]
