"""Messages to devices (to_device.yaml)."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from clientapi.matrix.endpoint import Body, Call, Json, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from e2e.to_device import ToDevice as ToDeviceAction
from homeserver.requester import Requester

_Name = Annotated[str, Field(max_length=255)]


class MessagesBody(Body):
    messages: dict[_Name, dict[_Name, dict[str, Any]]]


class ToDevice:
    """Endpoints of to_device.yaml."""

    def __init__(self, *, to_device: ToDeviceAction) -> None:
        self._to_device = to_device

    async def send_to_device(self, call: Call[NoQuery, MessagesBody], by: Requester) -> Json:
        event_type, txn_id = call.parameters["eventType"], call.parameters["txnId"]
        await self._to_device.send(by, event_type, txn_id, call.body.messages)
        return {}


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = ToDevice(to_device=services.encryption.to_device)
    yield Route(
        method="PUT",
        path="v3/sendToDevice/{eventType}/{txnId}",
        run=endpoints.send_to_device,
        body=MessagesBody,
        guests=True,
    )
