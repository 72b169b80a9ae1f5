"""Pages for what a client does not know how to do.

Source: C-S API v1.19 "Fallback" (stages of user-interactive authentication), "Login Fallback".
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from clientapi.matrix.auth_stages import DUMMY, REGISTRATION_TOKEN, TERMS
from clientapi.matrix.endpoint import Auth, Call, NoBody, NoQuery, Query, Reply, Route
from clientapi.matrix.errors import MatrixError
from clientapi.matrix.interactive_auth import AuthData, InteractiveAuth
from clientapi.matrix.services import MatrixServices
from homeserver.actions.tokens import RandomBytes

_NONCE_BYTES = 16
_STAGES = (TERMS, REGISTRATION_TOKEN, DUMMY)


class SessionQuery(Query):
    session: str


class AuthFallback:
    """The pages, and what those of stages send."""

    def __init__(self, *, interactive_auth: InteractiveAuth, random_bytes: RandomBytes) -> None:
        self._interactive_auth = interactive_auth
        self._random_bytes = random_bytes
        self._stage_page = Template(_text("auth_stage.html"))
        self._login_page = Template(_text("login.html"))

    async def show_stage(self, call: Call[SessionQuery, NoBody]) -> Reply:
        """A page with what the stage asks for."""
        stage = _stage(call.parameters)
        return self._page(
            self._stage_page,
            session=escape(call.query.session),
            fields=self._fields(stage, call.query.session),
        )

    async def complete_stage(self, call: Call[NoQuery, AuthData]) -> Reply:
        """What the page sends."""
        stage = _stage(call.parameters)
        await self._interactive_auth.complete_elsewhere(stage, call.body, call.client)
        return Reply({})

    async def show_login(self, _call: Call[NoQuery, NoBody]) -> Reply:
        return self._page(self._login_page)

    def _fields(self, stage: str, session: str) -> str:
        if stage == TERMS:
            return _terms(self._interactive_auth.terms_of(session))
        return _INPUT if stage == REGISTRATION_TOKEN else ""

    def _page(self, template: Template, **values: str) -> Reply:
        """Nothing but the page's own script may run in it."""
        nonce = b64encode(self._random_bytes(_NONCE_BYTES)).decode()
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'"
        )
        return Reply(
            template.substitute(values, nonce=nonce).encode(),
            headers={"Content-Security-Policy": policy},
            content_type="text/html",
        )


_INPUT = (
    "<p><label>Registration token<br>"
    '<input name="token" autocomplete="off" required maxlength="255"></label></p>'
)


def _stage(parameters: Mapping[str, str]) -> str:
    stage = parameters["authType"]
    if stage not in _STAGES:
        raise MatrixError(404, "M_NOT_FOUND", "There is no page for this stage.")
    return stage


def _terms(policies: Mapping[str, Any]) -> str:
    """A box to tick for each document, in English where there is one in English."""
    rows = []
    for policy in policies.values():
        languages = {key: each for key, each in policy.items() if key != "version"}
        document = languages.get("en") or next(iter(languages.values()))
        link = f'<a href="{escape(document["url"])}" rel="noopener">{escape(document["name"])}</a>'
        rows.append(f'<p><label><input type="checkbox" required> I accept {link}</label></p>')
    return "".join(rows)


def _text(name: str) -> str:
    return (files("clientapi.matrix") / "pages" / name).read_text(encoding="utf-8")


def routes(services: MatrixServices) -> Iterator[Route]:
    endpoints = AuthFallback(
        interactive_auth=services.interactive_auth, random_bytes=services.random_bytes
    )
    path = "v3/auth/{authType}/fallback/web"
    yield Route(
        method="GET", path=path, run=endpoints.show_stage, query=SessionQuery, auth=Auth.NONE
    )
    yield Route(
        method="POST", path=path, run=endpoints.complete_stage, body=AuthData, auth=Auth.NONE
    )
    for login in ("/_matrix/static/client/login/", "/_matrix/static/client/login"):
        yield Route(method="GET", path=login, run=endpoints.show_login, auth=Auth.NONE)
