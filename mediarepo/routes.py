"""All media endpoints of the Matrix API, and the handler that finds them."""

from collections.abc import Iterator
from itertools import chain

from aiohttp import web

from clientapi.matrix.endpoint import Callers, Route
from clientapi.matrix.routes import serve
from mediarepo import authed_content_repo, content_repo
from mediarepo.services import MediaServices

PREFIXES = ("/_matrix/media", "/_matrix/client/v1/media")


def routes(services: MediaServices) -> Iterator[Route]:
    """Every endpoint, a module for each OpenAPI file of the specification."""
    return chain(authed_content_repo.routes(services), content_repo.routes(services))


def add_routes(application: web.Application, services: MediaServices) -> None:
    """Serve every endpoint; everything else below the prefixes is M_UNRECOGNIZED."""
    callers = Callers(authenticator=services.authenticator, rate_limits=services.rate_limits)
    serve(application, routes(services), PREFIXES, callers)
