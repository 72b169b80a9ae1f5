"""Everything about accounts, built once: for the server and for the command line."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from homeserver.access_tokens import AccessTokens
from homeserver.actions.account_moderation import AccountModeration
from homeserver.actions.account_upkeep import AccountUpkeep
from homeserver.actions.accounts_admin import AccountsAdmin
from homeserver.actions.deactivation import Deactivation
from homeserver.actions.devices import Devices
from homeserver.actions.login import Login
from homeserver.actions.one_time_tokens import OneTimeTokens
from homeserver.actions.profile import Profile
from homeserver.actions.registration import Registration
from homeserver.actions.shared_secret_registration import SharedSecretRegistration
from homeserver.actions.sightings import Sightings
from homeserver.actions.tokens import Announce, RandomBytes, Tokens
from homeserver.application_services import ApplicationServices
from homeserver.clock import Clock
from homeserver.config import AuthConfig
from homeserver.identifiers import ServerName
from homeserver.passwords import Passwords
from homeserver.storage.database import Database
from homeserver.views.sessions import Sessions
from homeserver.views.users import Users

_MS_OF_A_DAY = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The actions and views of accounts. `upkeep.run` is a task for as long as a server runs.

    media_link_key: signs links to files; every process of this server has the same.
    """

    access_tokens: AccessTokens
    media_link_key: bytes
    passwords: Passwords
    tokens: Tokens
    registration: Registration
    login: Login
    one_time_tokens: OneTimeTokens
    devices: Devices
    deactivation: Deactivation
    moderation: AccountModeration
    shared_secret_registration: SharedSecretRegistration
    profile: Profile
    admin: AccountsAdmin
    sightings: Sightings
    upkeep: AccountUpkeep
    application_services: ApplicationServices
    sessions: Sessions
    users: Users


def build_accounts(
    *,
    settings: AuthConfig,
    server_name: ServerName,
    application_services: ApplicationServices,
    jwt_secret: bytes,
    database: Database,
    announce: Announce,
    status_of: Callable[[int], str],
    clock: Clock,
    random_bytes: RandomBytes,
) -> Accounts:
    """announce: tells listeners of a topic, as `Bus.announce` does.
    status_of: the presence of a user, by user_nid.
    """
    means = _Means(settings, server_name, database, announce, clock, random_bytes)
    access_tokens = AccessTokens(
        secret=jwt_secret,
        server_name=server_name,
        lifetime_s=settings.access_token_ttl_seconds,
        clock=clock,
    )
    passwords = Passwords(settings=settings, random_bytes=random_bytes)
    tokens = _tokens(means, access_tokens, jwt_secret)
    registration = _registration(means, passwords, tokens, application_services)
    sightings = Sightings(database=database, clock=clock, lifetime_ms=means.lifetime_ms)
    one_time_tokens = _one_time_tokens(means, tokens)
    return Accounts(
        access_tokens=access_tokens,
        media_link_key=hmac.digest(jwt_secret, b"links to media", "sha256"),
        passwords=passwords,
        tokens=tokens,
        registration=registration,
        login=_login(means, passwords, tokens),
        one_time_tokens=one_time_tokens,
        devices=Devices(
            database=database, announce=announce, clock=clock, random_bytes=random_bytes
        ),
        deactivation=Deactivation(database=database, announce=announce, clock=clock),
        moderation=AccountModeration(
            database=database, announce=announce, server_name=server_name, clock=clock
        ),
        shared_secret_registration=_shared_secret_registration(means, registration, tokens),
        profile=Profile(database=database, announce=announce, clock=clock),
        admin=_admin(means, registration, passwords, tokens),
        sightings=sightings,
        upkeep=AccountUpkeep(
            sightings=sightings,
            tokens=tokens,
            one_time_tokens=one_time_tokens,
            registration=registration,
        ),
        application_services=application_services,
        sessions=Sessions(database=database, clock=clock),
        users=Users(database=database, status_of=status_of),
    )


@dataclass(frozen=True, slots=True)
class _Means:
    """What nearly every part needs."""

    settings: AuthConfig
    server_name: ServerName
    database: Database
    announce: Announce
    clock: Clock
    random_bytes: RandomBytes

    @property
    def lifetime_ms(self) -> int:
        """How long a session lasts that is not used."""
        return self.settings.refresh_token_ttl_days * _MS_OF_A_DAY


def _tokens(means: _Means, access_tokens: AccessTokens, jwt_secret: bytes) -> Tokens:
    return Tokens(
        database=means.database,
        access_tokens=access_tokens,
        announce=means.announce,
        clock=means.clock,
        random_bytes=means.random_bytes,
        refresh_key=hmac.digest(jwt_secret, b"refresh tokens", "sha256"),
        refresh_ttl_ms=means.lifetime_ms,
    )


def _registration(
    means: _Means,
    passwords: Passwords,
    tokens: Tokens,
    application_services: ApplicationServices,
) -> Registration:
    return Registration(
        database=means.database,
        passwords=passwords,
        tokens=tokens,
        policy=means.settings.registration,
        server_name=means.server_name,
        application_services=application_services,
        announce=means.announce,
        clock=means.clock,
        random_bytes=means.random_bytes,
    )


def _login(means: _Means, passwords: Passwords, tokens: Tokens) -> Login:
    return Login(
        database=means.database,
        passwords=passwords,
        tokens=tokens,
        announce=means.announce,
        server_name=means.server_name,
        clock=means.clock,
    )


def _one_time_tokens(means: _Means, tokens: Tokens) -> OneTimeTokens:
    return OneTimeTokens(
        database=means.database,
        tokens=tokens,
        clock=means.clock,
        random_bytes=means.random_bytes,
        login_lifetime_s=means.settings.login_token_ttl_seconds,
    )


def _shared_secret_registration(
    means: _Means, registration: Registration, tokens: Tokens
) -> SharedSecretRegistration:
    return SharedSecretRegistration(
        registration=registration,
        tokens=tokens,
        secret=means.settings.registration_shared_secret.get_secret_value(),
        clock=means.clock,
        random_bytes=means.random_bytes,
    )


def _admin(
    means: _Means, registration: Registration, passwords: Passwords, tokens: Tokens
) -> AccountsAdmin:
    return AccountsAdmin(
        database=means.database,
        registration=registration,
        passwords=passwords,
        tokens=tokens,
        announce=means.announce,
        server_name=means.server_name,
        clock=means.clock,
    )
