"""What clients are told who have logged in, whichever endpoint it was."""

from typing import Any

from clientapi.matrix.endpoint import Body
from homeserver.actions.tokens import Grant
from homeserver.config import Config

MEDIA = "chat.foyer.media"
"""Where clients that know it find media at an address of their own."""


class SessionBody(Body):
    """What a client wishes of the session that it opens."""

    device_id: str | None = None
    initial_device_display_name: str | None = None
    refresh_token: bool = False


def session_answer(grant: Grant) -> dict[str, Any]:
    """Fields of the answers of `login` and `register`."""
    return {
        "user_id": grant.requester.user_id,
        "device_id": grant.requester.device_id,
        **token_answer(grant),
    }


def token_answer(grant: Grant) -> dict[str, Any]:
    """Fields of the answer of `refresh`; a token that does not expire has no time."""
    answer: dict[str, Any] = {"access_token": grant.access_token}
    if grant.refresh_token is not None:
        answer["refresh_token"] = grant.refresh_token
    if grant.expires_in_s is not None:
        answer["expires_in_ms"] = grant.expires_in_s * 1000
    return answer


def well_known(config: Config) -> dict[str, Any] | None:
    """How clients find this server; None where no public address is configured."""
    url, media_url = config.server.public_url, config.media.public_url
    if not url:
        return None
    media = {MEDIA: {"base_url": media_url}} if media_url else {}
    return {"m.homeserver": {"base_url": url}, **media}
