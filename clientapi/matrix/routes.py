"""All endpoints of the Matrix client-server API, and the handler that finds them."""

from collections.abc import Iterable, Iterator
from itertools import chain

from aiohttp import web

from clientapi.matrix import (
    account_data,
    account_deactivation,
    admin,
    administrative_contact,
    appservice_ping,
    appservice_room_directory,
    auth_fallback,
    banning,
    capabilities,
    create_room,
    cross_signing,
    dehydrated_device,
    device_management,
    directory,
    event_context,
    inviting,
    joining,
    key_backup,
    keys,
    kicking,
    knocking,
    leaving,
    list_joined_rooms,
    list_public_rooms,
    login,
    login_token,
    logout,
    message_pagination,
    mutual_rooms,
    notifications,
    oauth_server_metadata,
    openid,
    password_management,
    peeking_events,
    policy_server,
    presence,
    profile,
    pusher,
    pushrules,
    read_markers,
    receipts,
    redaction,
    refresh,
    registration,
    registration_tokens,
    relations,
    report_content,
    room_event_by_timestamp,
    room_initial_sync,
    room_send,
    room_state,
    room_summary,
    room_upgrades,
    rooms,
    search,
    sliding_sync,
    space_hierarchy,
    sso_login_redirect,
    support,
    synapse_admin,
    sync,
    tags,
    third_party_lookup,
    threads_list,
    to_device,
    typing,
    users,
    versions,
    voip,
    wellknown,
    whoami,
)
from clientapi.matrix import filter as filters
from clientapi.matrix.dialect import PREFIXES, preflight
from clientapi.matrix.endpoint import Callers, Route, answer
from clientapi.matrix.errors import unrecognized
from clientapi.matrix.router import Found, Router
from clientapi.matrix.services import MatrixServices
from clientapi.middleware import ROUTE


def routes(services: MatrixServices) -> Iterator[Route]:
    """Every endpoint, a module for each OpenAPI file of the specification."""
    return chain(
        account_data.routes(services),
        account_deactivation.routes(services),
        admin.routes(services),
        administrative_contact.routes(services),
        appservice_ping.routes(services),
        appservice_room_directory.routes(services),
        auth_fallback.routes(services),
        banning.routes(services),
        capabilities.routes(services),
        create_room.routes(services),
        cross_signing.routes(services),
        dehydrated_device.routes(services),
        device_management.routes(services),
        directory.routes(services),
        event_context.routes(services),
        filters.routes(services),
        inviting.routes(services),
        joining.routes(services),
        key_backup.routes(services),
        keys.routes(services),
        kicking.routes(services),
        knocking.routes(services),
        leaving.routes(services),
        list_joined_rooms.routes(services),
        list_public_rooms.routes(services),
        login.routes(services),
        login_token.routes(services),
        logout.routes(services),
        message_pagination.routes(services),
        mutual_rooms.routes(services),
        oauth_server_metadata.routes(services),
        notifications.routes(services),
        openid.routes(services),
        password_management.routes(services),
        policy_server.routes(services),
        peeking_events.routes(services),
        presence.routes(services),
        profile.routes(services),
        pusher.routes(services),
        pushrules.routes(services),
        read_markers.routes(services),
        receipts.routes(services),
        redaction.routes(services),
        refresh.routes(services),
        registration.routes(services),
        registration_tokens.routes(services),
        relations.routes(services),
        report_content.routes(services),
        room_event_by_timestamp.routes(services),
        room_initial_sync.routes(services),
        room_send.routes(services),
        room_state.routes(services),
        room_summary.routes(services),
        room_upgrades.routes(services),
        rooms.routes(services),
        search.routes(services),
        sliding_sync.routes(services),
        space_hierarchy.routes(services),
        sso_login_redirect.routes(services),
        support.routes(services),
        synapse_admin.routes(services),
        sync.routes(services),
        tags.routes(services),
        third_party_lookup.routes(services),
        threads_list.routes(services),
        to_device.routes(services),
        typing.routes(services),
        users.routes(services),
        versions.routes(services),
        voip.routes(services),
        wellknown.routes(services),
        whoami.routes(services),
    )


def add_routes(application: web.Application, services: MatrixServices) -> None:
    """Serve every endpoint below the prefixes; everything else there is M_UNRECOGNIZED."""
    callers = Callers(authenticator=services.authenticator, rate_limits=services.rate_limits)
    serve(application, routes(services), PREFIXES, callers)


def serve(
    application: web.Application,
    served: Iterable[Route],
    prefixes: Iterable[str],
    callers: Callers,
) -> None:
    """Serve some endpoints; everything else below the prefixes is M_UNRECOGNIZED."""
    router: Router[Route] = Router()
    for route in served:
        for path in route.paths:
            router.add(route.method, path, route)

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return preflight()
        method = "GET" if request.method == "HEAD" else request.method
        found = router.find(method, request.rel_url.raw_path)
        if not isinstance(found, Found):
            raise unrecognized(found)
        request[ROUTE] = found.path
        return await answer(found.target, found.parameters, request, callers)

    for prefix in prefixes:
        application.router.add_route("*", f"{prefix}/{{tail:.*}}", handle)
