"""Dehydrated devices (MSC3814, as clients use it before it is in the specification)."""

from collections.abc import Iterator
from typing import Any

import orjson

from clientapi.matrix.endpoint import Body, Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.services import MatrixServices
from e2e.dehydrated_devices import DehydratedDevices, NewDehydrated
from e2e.uploaded_keys import Upload
from homeserver.actions.tokens import printable
from homeserver.requester import Requester

_PATH = "unstable/org.matrix.msc3814.v1/dehydrated_device"


class DehydratedBody(Body):
    device_id: str
    device_data: dict[str, Any]
    initial_device_display_name: str | None = None
    device_keys: dict[str, Any]
    one_time_keys: dict[str, Any] | None = None
    fallback_keys: dict[str, Any] | None = None


class EventsBody(Body):
    next_batch: str | None = None


class DehydratedDevice:
    """Endpoints of the proposal."""

    def __init__(self, *, devices: DehydratedDevices) -> None:
        self._devices = devices

    async def put_dehydrated_device(
        self, call: Call[NoQuery, DehydratedBody], by: Requester
    ) -> Json:
        body = call.body
        new = NewDehydrated(
            device_id=body.device_id,
            data=body.device_data,
            name=printable(body.initial_device_display_name or ""),
            keys=Upload(
                device_keys=body.device_keys,
                one_time_keys=body.one_time_keys or {},
                fallback_keys=body.fallback_keys or {},
            ),
        )
        await self._devices.put(by, new)
        return {"device_id": body.device_id}

    async def get_dehydrated_device(self, _call: Call[NoQuery, NoBody], by: Requester) -> Json:
        device = await self._devices.get(by)
        return {
            "device_id": device.device_id,
            "device_data": orjson.Fragment(device.device_data),
        }

    async def delete_dehydrated_device(self, _call: Call[NoQuery, NoBody], by: Requester) -> Json:
        return {"device_id": await self._devices.delete(by)}

    async def get_dehydrated_device_events(
        self, call: Call[NoQuery, EventsBody], by: Requester
    ) -> Json:
        device_id = call.parameters["deviceId"]
        events, next_batch = await self._devices.events(by, device_id, call.body.next_batch)
        return {
            "events": [orjson.Fragment(event) for event in events],
            "next_batch": next_batch,
        }


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = DehydratedDevice(devices=services.encryption.dehydrated_devices)
    yield Route(method="PUT", path=_PATH, run=endpoints.put_dehydrated_device, body=DehydratedBody)
    yield Route(method="GET", path=_PATH, run=endpoints.get_dehydrated_device)
    yield Route(method="DELETE", path=_PATH, run=endpoints.delete_dehydrated_device)
    yield Route(
        method="POST",
        path=f"{_PATH}/{{deviceId}}/events",
        run=endpoints.get_dehydrated_device_events,
        body=EventsBody,
    )
