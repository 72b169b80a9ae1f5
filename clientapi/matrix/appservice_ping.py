"""Whether this server reaches an application service (appservice_ping.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Body, Call, Json, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.services import MatrixServices
from homeserver.actions.appservice_ping import (
    AppservicePing,
    BadStatus,
    NoAddress,
    TooSlow,
    Unreachable,
)
from homeserver.application_services import ApplicationServices
from homeserver.requester import Requester


class PingBody(Body):
    transaction_id: str | None = None


class Ping:
    """Endpoints of appservice_ping.yaml."""

    def __init__(self, *, ping: AppservicePing, application_services: ApplicationServices) -> None:
        self._ping = ping
        self._application_services = application_services

    async def ping_appservice(self, call: Call[NoQuery, PingBody], by: Requester) -> Json:
        service = self._application_services.by_id(call.parameters["appserviceId"])
        if service is None or by.appservice != service.id:
            raise MatrixError(403, "M_FORBIDDEN", "This is not the application service's token.")
        try:
            return {"duration_ms": await self._ping.ping(service, call.body.transaction_id)}
        except NoAddress as error:
            raise MatrixError(400, "M_URL_NOT_SET", str(error)) from None
        except BadStatus as bad:
            sentence = "The application service answered with an error."
            extra = {"status": bad.status, "body": bad.body}
            raise MatrixError(502, "M_BAD_STATUS", sentence, extra) from None
        except Unreachable as error:
            raise MatrixError(502, "M_CONNECTION_FAILED", str(error)) from None
        except TooSlow as error:
            raise MatrixError(504, "M_CONNECTION_TIMEOUT", str(error)) from None


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = Ping(
        ping=services.appservice_ping,
        application_services=services.accounts.application_services,
    )
    yield Route(
        method="POST",
        path="v1/appservice/{appserviceId}/ping",
        run=endpoints.ping_appservice,
        body=PingBody,
        unstable=("unstable/fi.mau.msc2659/appservice/{appserviceId}/ping",),
    )
