"""One's devices (device_management.yaml)."""

from collections.abc import Iterator, Sequence
from typing import Any

from clientapi.matrix.auth_stages import OWN_PASSWORD
from clientapi.matrix.endpoint import Body, Call, Json, NoBody, NoQuery, Reply, Route
from clientapi.matrix.interactive_auth import Asked, InteractiveAuth, ProvingBody
from clientapi.matrix.services import MatrixServices
from homeserver.actions.devices import Devices
from homeserver.requester import Requester
from homeserver.views.sessions import Sessions, SessionView


class DeviceBody(Body):
    display_name: str | None = None


class DevicesBody(ProvingBody):
    devices: list[str] | None = None


class DeviceManagement:
    """Endpoints of device_management.yaml."""

    def __init__(
        self, *, devices: Devices, sessions: Sessions, interactive_auth: InteractiveAuth
    ) -> None:
        self._devices = devices
        self._sessions = sessions
        self._interactive_auth = interactive_auth

    async def get_devices(self, _call: Call[NoQuery, NoBody], by: Requester) -> Json:
        return {"devices": [_device(each) for each in await self._sessions.list(by)]}

    async def get_device(self, call: Call[NoQuery, NoBody], by: Requester) -> Json:
        return _device(await self._sessions.device(by, call.parameters["deviceId"]))

    async def update_device(self, call: Call[NoQuery, DeviceBody], by: Requester) -> Json | Reply:
        device_id, name = call.parameters["deviceId"], call.body.display_name
        is_new = await self._devices.update(by, device_id, name)
        return Reply({}, status=201) if is_new else {}

    async def delete_device(self, call: Call[NoQuery, ProvingBody], by: Requester) -> Json:
        device_id = call.parameters["deviceId"]
        await self._prove(f"delete device {device_id}", call, by)
        await self._devices.delete(by, [device_id])
        return {}

    async def delete_devices(self, call: Call[NoQuery, DevicesBody], by: Requester) -> Json:
        devices = await self._prove("delete devices", call, by)
        await self._devices.delete(by, devices)
        return {}

    async def _prove(
        self, operation: str, call: Call[NoQuery, Any], by: Requester
    ) -> Sequence[str]:
        """Application services need prove nothing: their API, "Device management".
        Returns the devices that are named.
        """
        parameters = call.body.parameters()
        if by.appservice is None:
            proof = await self._interactive_auth.require(
                Asked(
                    operation=operation,
                    flows=OWN_PASSWORD,
                    body=call.body,
                    by=by,
                    client=call.client,
                )
            )
            parameters = dict(proof.parameters)
        return parameters.get("devices") or ()


def _device(view: SessionView) -> Json:
    shown: Json = {"device_id": view.device_id, "last_seen_ts": view.last_seen_at_ms}
    if view.name:
        shown["display_name"] = view.name
    if view.last_seen_ip is not None:
        shown["last_seen_ip"] = view.last_seen_ip
    return shown


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = DeviceManagement(
        devices=services.accounts.devices,
        sessions=services.accounts.sessions,
        interactive_auth=services.interactive_auth,
    )
    one = "v3/devices/{deviceId}"
    yield Route(method="GET", path="v3/devices", run=endpoints.get_devices, guests=True)
    yield Route(method="GET", path=one, run=endpoints.get_device, guests=True)
    yield Route(method="PUT", path=one, run=endpoints.update_device, body=DeviceBody, guests=True)
    yield Route(method="DELETE", path=one, run=endpoints.delete_device, body=ProvingBody)
    yield Route(
        method="POST", path="v3/delete_devices", run=endpoints.delete_devices, body=DevicesBody
    )
