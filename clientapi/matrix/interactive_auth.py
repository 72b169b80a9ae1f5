"""User-interactive authentication: whoever asks proves, step by step, that he may.

Attempts are kept in memory, for some minutes: after a restart a client begins again. An attempt
belongs to one operation of one user, and from its first stage on to one body; who sends no
parameters but `auth` means those that he sent before.

Source: C-S API v1.19 "User-Interactive Authentication API".
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from clientapi.matrix.auth_stages import PASSWORD, REGISTRATION_TOKEN, TERMS, Flow, Flows
from clientapi.matrix.endpoint import Body
from clientapi.matrix.errors import MatrixError
from clientapi.rate_limits import RateLimits
from homeserver.actions.login import Login, ProvenAccount
from homeserver.actions.registration import Registration
from homeserver.actions.tokens import Client, RandomBytes
from homeserver.clock import Clock
from homeserver.errors import NotAllowed, WrongPassword
from homeserver.events import base64
from homeserver.requester import Requester

_LIFETIME_MS = 15 * 60_000
_MAX_ATTEMPTS = 20_000
_MAX_REMEMBERED_BYTES = 4096
_SESSION_BYTES = 18


class Identifier(Body):
    """Who somebody says he is: C-S API v1.19 "Identifier types"."""

    type: str
    user: str | None = None
    medium: str | None = None
    address: str | None = None


class AuthData(Body):
    """What a client sends as `auth`."""

    type: str | None = None
    session: str | None = None
    password: str | None = None
    identifier: Identifier | None = None
    user: str | None = None
    token: str | None = None


class ProvingBody(Body):
    """The body of an operation that must be proved."""

    auth: AuthData | None = None

    def parameters(self) -> dict[str, Any]:
        """Everything that the client sent besides."""
        return self.model_dump(exclude={"auth"}, exclude_unset=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An operation that somebody wants. operation: its name, with what its path says."""

    operation: str
    flows: Flows
    body: ProvingBody
    by: Requester | None
    client: Client


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proved. parameters: of the operation. account: of whoever gave his password.
    code: an invitation that can be used.
    """

    parameters: Mapping[str, Any]
    account: ProvenAccount | None
    code: str | None


class Challenge(MatrixError):
    """There is more to prove; `errcode` "" unless an attempt failed."""

    def __init__(self, told: Mapping[str, Any], *, errcode: str = "", error: str = "") -> None:
        super().__init__(401, errcode, error, told)

    def body(self) -> dict[str, Any]:
        return super().body() if self.errcode else dict(self.extra)


@dataclass(slots=True)
class _Attempt:
    """An authentication that somebody began."""

    session: str
    operation: str
    user_nid: int | None
    flows: Flows
    until_ms: int
    completed: Flow = ()
    fingerprint: bytes | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    account: ProvenAccount | None = None
    code: str | None = None

    def is_about(self, asked: Asked) -> bool:
        user_nid = None if asked.by is None else asked.by.user_nid
        return self.operation == asked.operation and self.user_nid == user_nid

    def take(self, parameters: dict[str, Any]) -> None:
        """What the client wants now. Raises M_FORBIDDEN when it is something else than before."""
        if not parameters:
            return
        encoded = orjson.dumps(parameters, option=orjson.OPT_SORT_KEYS)
        fingerprint = sha256(encoded).digest()
        if self.completed and fingerprint != self.fingerprint:
            raise MatrixError(
                403, "M_FORBIDDEN", "The request has changed since its authentication began."
            )
        self.fingerprint = fingerprint
        self.parameters = parameters if len(encoded) <= _MAX_REMEMBERED_BYTES else {}


class InteractiveAuth:
    """Asks for proofs, and checks them."""

    def __init__(
        self,
        *,
        login: Login,
        registration: Registration,
        rate_limits: RateLimits,
        clock: Clock,
        random_bytes: RandomBytes,
    ) -> None:
        self._login = login
        self._registration = registration
        self._rate_limits = rate_limits
        self._clock = clock
        self._random_bytes = random_bytes
        self._attempts: OrderedDict[str, _Attempt] = OrderedDict()

    async def require(self, asked: Asked) -> Proof:
        """What was proved, when nothing is left to prove; the attempt is then used up.
        Raises Challenge, M_FORBIDDEN, LimitExceeded.
        """
        if asked.by is not None and asked.by.appservice is not None:
            raise MatrixError(403, "M_FORBIDDEN", "Application services cannot do this.")
        attempt = self._attempt(asked)
        parameters = asked.body.parameters()
        attempt.take(parameters)
        if asked.body.auth is None:
            raise Challenge(attempt.flows.challenge(attempt.session, ()))
        await self._advance(attempt, asked.body.auth, asked.by, asked.client)
        if not attempt.flows.are_complete(attempt.completed):
            raise self._challenge(attempt)
        self._attempts.pop(attempt.session, None)
        return Proof(parameters or attempt.parameters, attempt.account, attempt.code)

    async def complete_elsewhere(self, stage: str, auth: AuthData, client: Client) -> None:
        """A stage is completed on a page instead of by the client that began.
        Raises Challenge; M_NOT_FOUND when there is no such attempt.
        """
        attempt = self._find(auth.session)
        if attempt is None or not attempt.flows.has(stage) or stage == PASSWORD:
            raise MatrixError(404, "M_NOT_FOUND", "This authentication is over: begin again.")
        await self._advance(attempt, auth.model_copy(update={"type": stage}), None, client)

    def terms_of(self, session: str | None) -> Mapping[str, Any]:
        """The documents that an attempt shall accept; none when there is no such attempt."""
        attempt = self._find(session)
        if attempt is None:
            return {}
        terms: Mapping[str, Any] = attempt.flows.params.get(TERMS, {}).get("policies", {})
        return terms

    async def _advance(
        self, attempt: _Attempt, auth: AuthData, by: Requester | None, client: Client
    ) -> None:
        """One stage more, if the client attempts one. Completed ones cannot be tried again."""
        stage = auth.type
        if stage is None or stage in attempt.completed:
            return
        if not attempt.flows.has(stage):
            raise self._challenge(attempt, "M_UNRECOGNIZED", "This is no stage of any flow.")
        if not attempt.flows.allow(attempt.completed, stage):
            raise self._challenge(attempt, "M_FORBIDDEN", "Another stage comes first.")
        try:
            await self._check(stage, attempt, auth, by, client)
        except (WrongPassword, NotAllowed) as error:
            raise self._challenge(attempt, "M_FORBIDDEN", str(error)) from None
        attempt.completed = (*attempt.completed, stage)

    async def _check(
        self, stage: str, attempt: _Attempt, auth: AuthData, by: Requester | None, client: Client
    ) -> None:
        """Dummy and terms prove nothing but that they were sent."""
        if stage == PASSWORD:
            attempt.account = await self._password(auth, by, client)
        elif stage == REGISTRATION_TOKEN:
            attempt.code = await self._registration_token(auth)

    async def _password(
        self, auth: AuthData, by: Requester | None, client: Client
    ) -> ProvenAccount:
        """The caller's own, or with no caller that of the account that he names."""
        identifier = identifier_of(auth.identifier, auth.user)
        if identifier is None and by is None:
            raise WrongPassword("Say whose password it is: identifier is missing.")
        subject = by.user_id if by is not None else self._login.subject(identifier or "")
        with self._rate_limits.password_attempt(subject, client.address):
            if by is None:
                return await self._login.prove(identifier or "", auth.password or "")
            account = await self._login.prove_owner(by, auth.password or "")
            if identifier is not None and not self._login.names(identifier, account):
                raise WrongPassword("This is the name of somebody else.")
            return account

    async def _registration_token(self, auth: AuthData) -> str:
        if not auth.token or not await self._registration.is_usable(auth.token):
            raise NotAllowed("The registration token is not valid: wrong, used up, or too old.")
        return auth.token

    def _attempt(self, asked: Asked) -> _Attempt:
        """The one that the client goes on with, or a new one."""
        given = None if asked.body.auth is None else asked.body.auth.session
        if given is None:
            return self._begin(asked)
        attempt = self._find(given)
        if attempt is None:
            raise self._challenge(
                self._begin(asked), "M_UNKNOWN", "This authentication is over: begin again."
            )
        if not attempt.is_about(asked):
            raise MatrixError(403, "M_FORBIDDEN", "The session belongs to another request.")
        return attempt

    def _begin(self, asked: Asked) -> _Attempt:
        now_ms = self._clock.now_ms()
        attempt = _Attempt(
            session=base64.encode_urlsafe(self._random_bytes(_SESSION_BYTES)),
            operation=asked.operation,
            user_nid=None if asked.by is None else asked.by.user_nid,
            flows=asked.flows,
            until_ms=now_ms + _LIFETIME_MS,
        )
        self._make_room(now_ms)
        self._attempts[attempt.session] = attempt
        return attempt

    def _find(self, session: str | None) -> _Attempt | None:
        attempt = self._attempts.get(session or "")
        if attempt is None or attempt.until_ms <= self._clock.now_ms():
            return None
        return attempt

    def _make_room(self, now_ms: int) -> None:
        """Drop what is too old, which stands first, and the oldest when there are too many."""
        while self._attempts:
            oldest = next(iter(self._attempts.values()))
            if now_ms < oldest.until_ms and len(self._attempts) < _MAX_ATTEMPTS:
                return
            del self._attempts[oldest.session]

    def _challenge(self, attempt: _Attempt, errcode: str = "", error: str = "") -> Challenge:
        told = attempt.flows.challenge(attempt.session, attempt.completed)
        return Challenge(told, errcode=errcode, error=error)


def identifier_of(identifier: Identifier | None, user: str | None = None) -> str | None:
    """What `Login.prove` takes: a user ID, a username or an e-mail address. None: nothing usable.

    user: how clients said it before there were identifiers.
    """
    if identifier is None:
        return user
    if identifier.type == "m.id.user":
        return identifier.user
    if identifier.type == "m.id.thirdparty" and identifier.medium == "email":
        return identifier.address
    return None
