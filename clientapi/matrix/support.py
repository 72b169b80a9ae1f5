"""Whom people can turn to for help (support.yaml)."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Auth, Call, Json, NoBody, NoQuery, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.services import MatrixServices
from homeserver.config import SupportConfig


class Support:
    """Endpoints of support.yaml."""

    def __init__(self, *, settings: SupportConfig) -> None:
        self._content = _content(settings)

    async def get_wellknown_support(self, _call: Call[NoQuery, NoBody]) -> Json:
        if not self._content:
            raise MatrixError(404, "M_NOT_FOUND", "No support is configured.")
        return self._content


def _content(settings: SupportConfig) -> Json:
    """Empty where nothing is configured."""
    given = (
        ("m.role.admin", settings.admin_email, settings.admin_matrix_id),
        ("m.role.security", settings.security_email, ""),
    )
    contacts = [
        {
            "role": role,
            **({"email_address": email} if email else {}),
            **({"matrix_id": matrix_id} if matrix_id else {}),
        }
        for role, email, matrix_id in given
        if email or matrix_id
    ]
    content: Json = {"contacts": contacts} if contacts else {}
    return {**content, "support_page": settings.page} if settings.page else content


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = Support(settings=services.config.support)
    yield Route(
        method="GET",
        path="/.well-known/matrix/support",
        run=endpoints.get_wellknown_support,
        auth=Auth.NONE,
    )
