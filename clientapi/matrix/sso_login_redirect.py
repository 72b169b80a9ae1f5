"""Single sign-on (sso_login_redirect.yaml): this server has none, and offers no such flow."""

from collections.abc import Iterator

from clientapi.matrix.endpoint import Auth, Call, Json, NoBody, Query, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.services import MatrixServices


class RedirectQuery(Query):
    redirectUrl: str  # noqa: N815 - the name of the parameter


async def redirect_to_sso(_call: Call[RedirectQuery, NoBody]) -> Json:
    raise MatrixError(404, "M_UNRECOGNIZED", "This server has no single sign-on.")


async def redirect_to_idp(_call: Call[RedirectQuery, NoBody]) -> Json:
    raise MatrixError(404, "M_UNRECOGNIZED", "This server has no single sign-on.")


def routes(_services: MatrixServices) -> Iterator[Route]:
    yield Route(
        method="GET",
        path="v3/login/sso/redirect",
        run=redirect_to_sso,
        query=RedirectQuery,
        auth=Auth.NONE,
    )
    yield Route(
        method="GET",
        path="v3/login/sso/redirect/{idpId}",
        run=redirect_to_idp,
        query=RedirectQuery,
        auth=Auth.NONE,
    )
