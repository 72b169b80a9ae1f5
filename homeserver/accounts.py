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
    """The actions and views of accounts. `upkeep.run` is a task for as long as a server runs."""

    access_tokens: AccessTokens
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
    lifetime_ms = settings.refresh_token_ttl_days * _MS_OF_A_DAY
    access_tokens = AccessTokens(
        secret=jwt_secret,
        server_name=server_name,
        lifetime_s=settings.access_token_ttl_seconds,
        clock=clock,
    )
    passwords = Passwords(settings=settings, random_bytes=random_bytes)
    tokens = Tokens(
        database=database,
        access_tokens=access_tokens,
        announce=announce,
        clock=clock,
        random_bytes=random_bytes,
        refresh_key=hmac.digest(jwt_secret, b"refresh tokens", "sha256"),
        refresh_ttl_ms=lifetime_ms,
    )
    registration = Registration(
        database=database,
        passwords=passwords,
        tokens=tokens,
        policy=settings.registration,
        server_name=server_name,
        application_services=application_services,
        announce=announce,
        clock=clock,
        random_bytes=random_bytes,
    )
    sightings = Sightings(database=database, clock=clock, lifetime_ms=lifetime_ms)
    one_time_tokens = OneTimeTokens(
        database=database,
        tokens=tokens,
        clock=clock,
        random_bytes=random_bytes,
        login_lifetime_s=settings.login_token_ttl_seconds,
    )
    return Accounts(
        access_tokens=access_tokens,
        passwords=passwords,
        tokens=tokens,
        registration=registration,
        login=Login(
            database=database,
            passwords=passwords,
            tokens=tokens,
            announce=announce,
            server_name=server_name,
            clock=clock,
        ),
        profile=Profile(database=database, announce=announce, clock=clock),
        admin=AccountsAdmin(
            database=database,
            registration=registration,
            passwords=passwords,
            tokens=tokens,
            announce=announce,
            server_name=server_name,
            clock=clock,
        ),
        sightings=sightings,
        one_time_tokens=one_time_tokens,
        devices=Devices(
            database=database, announce=announce, clock=clock, random_bytes=random_bytes
        ),
        deactivation=Deactivation(database=database, announce=announce, clock=clock),
        moderation=AccountModeration(
            database=database, announce=announce, server_name=server_name, clock=clock
        ),
        shared_secret_registration=SharedSecretRegistration(
            registration=registration,
            tokens=tokens,
            secret=settings.registration_shared_secret.get_secret_value(),
            clock=clock,
            random_bytes=random_bytes,
        ),
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
