"""The media endpoints of a homeserver whose media have an address of their own.

Clients know one address. Downloads and thumbnails are answered with a redirect to the other one
(`media.public_url`), which carries a link; everything else, and what may not be answered so, is
passed on to `foyer media`.
See docs/decisions/0007-media-at-an-address-of-their-own.md.
"""

from collections.abc import Iterator
from urllib.parse import urlencode

from aiohttp import web

from clientapi.matrix.dialect import preflight
from clientapi.matrix.endpoint import Auth, Call, Callers, NoBody, Query, Route, answer
from clientapi.matrix.router import Found, Router
from clientapi.middleware import ROUTE
from clientapi.native.rest.endpoint import Callers as NativeCallers
from homeserver.requester import Requester
from mediarepo.addresses import MediaAddress, parse_address
from mediarepo.content_repo import address_of
from mediarepo.links import LIFETIME_S, Links
from mediarepo.relay import Relay
from mediarepo.routes import PREFIXES
from schema.operations.attachments import GET_ATTACHMENT, UPLOAD_ATTACHMENT

LINKED = "/api/attachments/linked"
"""Where native downloads go with a link; the rest of the path is as it was."""

_ATTACHMENTS = "/api/attachments"
# What a download may be asked for; tokens in a query stay here.
_PASSED_ON = ("timeout_ms", "allow_remote", "width", "height", "method", "animated")
# A client that remembers the redirect finds a link that is good for as long again.
_CACHE = f"private, max-age={LIFETIME_S // 2}"


class AnyQuery(Query):
    """allow_redirect: of the deprecated endpoints, whose clients may follow no redirects."""

    allow_redirect: bool = False


class Pointing:
    """Sends clients to the address of the media, or passes on what they ask."""

    def __init__(self, *, public_url: str, links: Links, relay: Relay) -> None:
        self._public_url = public_url
        self._links = links
        self._relay = relay

    async def download(
        self, call: Call[AnyQuery, NoBody], by: Requester, request: web.Request
    ) -> web.StreamResponse:
        """C-S API v1.19 `getContentAuthed`, `getContentThumbnailAuthed`: "Clients MAY be redirected
        using the 307/308 responses".
        """
        return self._redirect(request, request.rel_url.raw_path, self._link(address_of(call), by))

    async def open_download(
        self, call: Call[AnyQuery, NoBody], request: web.Request
    ) -> web.StreamResponse:
        """C-S API v1.19 `allow_redirect`: "When not explicitly set to `true` the server must return
        the media content itself."
        """
        if not call.query.allow_redirect:
            return await self._relay.pass_on(request)
        return self._redirect(request, request.rel_url.raw_path, {})

    def native_download(self, request: web.Request, by: Requester) -> web.StreamResponse:
        place = request.match_info
        link = self._link(parse_address(place["server_name"], place["media_id"]), by)
        path = LINKED + request.rel_url.raw_path.removeprefix(_ATTACHMENTS)
        return self._redirect(request, path, link)

    def _link(self, address: MediaAddress, by: Requester) -> dict[str, str]:
        return {"link": self._links.make(address, by.user_nid)}

    def _redirect(
        self, request: web.Request, path: str, more: dict[str, str]
    ) -> web.StreamResponse:
        """more: of the query. Status 307, for where media are may change."""
        asked = {key: request.query[key] for key in _PASSED_ON if key in request.query}
        query = urlencode({**asked, **more})
        location = self._public_url + path + (f"?{query}" if query else "")
        return web.Response(status=307, headers={"Location": location, "Cache-Control": _CACHE})


def _routes(pointing: Pointing) -> Iterator[Route]:
    place = "{serverName}/{mediaId}"
    kinds = (f"download/{place}", f"download/{place}/{{fileName}}", f"thumbnail/{place}")
    for kind in kinds:
        yield Route(
            method="GET",
            path=f"v1/media/{kind}",
            run=pointing.download,
            query=AnyQuery,
            guests=True,
            streams=True,
        )
        yield Route(
            method="GET",
            path=f"/_matrix/media/v3/{kind}",
            run=pointing.open_download,
            query=AnyQuery,
            auth=Auth.NONE,
            streams=True,
            unstable=(f"/_matrix/media/r0/{kind}", f"/_matrix/media/v1/{kind}"),
        )


def add_pointing(
    application: web.Application,
    pointing: Pointing,
    relay: Relay,
    *,
    callers: Callers,
    native_callers: NativeCallers,
) -> None:
    """Serve the endpoints of both protocols; what else is asked below the prefixes is passed on."""
    router: Router[Route] = Router()
    for route in _routes(pointing):
        for path in route.paths:
            router.add(route.method, path, route)

    async def matrix(request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return preflight()
        method = "GET" if request.method == "HEAD" else request.method
        found = router.find(method, request.rel_url.raw_path)
        if not isinstance(found, Found):
            return await relay.pass_on(request)
        request[ROUTE] = found.path
        return await answer(found.target, found.parameters, request, callers)

    async def native(request: web.Request) -> web.StreamResponse:
        return pointing.native_download(request, await native_callers.requester(request))

    for prefix in PREFIXES:
        application.router.add_route("*", f"{prefix}/{{tail:.*}}", matrix)
    application.router.add_route("POST", UPLOAD_ATTACHMENT.path, relay.pass_on)
    for method in ("GET", "HEAD"):
        application.router.add_route(method, GET_ATTACHMENT.path, native)
    application.on_cleanup.append(relay.close)
