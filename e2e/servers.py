"""Whose keys this server has, and whose must be asked for elsewhere. Pure."""

from collections.abc import Iterable, Mapping

from homeserver.identifiers import ServerName, server_of

UNREACHABLE: Mapping[str, str] = {
    "errcode": "M_UNREACHABLE",
    "error": "This server does not talk to other servers.",
}


def split(
    user_ids: Iterable[str], server_name: ServerName
) -> tuple[list[str], dict[str, Mapping[str, str]]]:
    """The users of this server; and of the others their servers, as `failures` tells them."""
    local, failures = [], {}
    for user_id in user_ids:
        server = server_of(user_id)
        if server == server_name:
            local.append(user_id)
        elif user_id.startswith("@") and server:
            failures[str(server)] = UNREACHABLE
    return local, failures
