"""A REST façade over services that are made up, for tests of the façade alone."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from clientapi.client_addresses import ClientAddresses
from clientapi.middleware import Gate
from clientapi.native.dialect import NativeDialect
from clientapi.native.rest.endpoint import Callers, Endpoint, serve
from clientapi.rate_limits import RateLimits
from homeserver.clock import SystemClock
from homeserver.config import RateLimitsConfig
from homeserver.errors import NotAuthenticated
from homeserver.identifiers import UserID, native_uuid
from homeserver.metrics import Metrics
from homeserver.requester import Requester

TOKEN = "alices-token"
MAX_BODY_BYTES = 4096

ALICE = Requester(
    user_nid=1,
    user_id=UserID("@alice:example.org"),
    user_uuid=native_uuid("@alice:example.org"),
    session_nid=7,
    session_uuid=UUID("5d1f0000-0000-4000-8000-000000000007"),
    device_id="PHONE",
    is_admin=False,
    expires_at_ms=2**53,
)


@dataclass
class OneToken:
    """Knows Alice. `addresses`: where she was seen."""

    addresses: list[str | None] = field(default_factory=list)

    async def authenticate(self, token: str, *, address: str | None = None) -> Requester:
        self.addresses.append(address)
        if token != TOKEN:
            raise NotAuthenticated("The access token is not valid.")
        return ALICE


@dataclass(kw_only=True)
class Facade:
    """What a test may set before the server starts, and look at afterwards."""

    origins: Iterable[str] = ()
    trusted_proxies: Iterable = ()
    limits: RateLimitsConfig = field(default_factory=lambda: RateLimitsConfig(enabled=False))
    probes: Iterable[str] = ()
    metrics: Metrics = field(default_factory=Metrics)
    authenticator: OneToken = field(default_factory=OneToken)

    def application(self, endpoints: Iterable[Endpoint]) -> web.Application:
        clock = SystemClock()
        rate_limits = RateLimits(settings=self.limits, clock=clock)
        numbers = count(1)
        gate = Gate(
            addresses=ClientAddresses(trusted_proxies=tuple(self.trusted_proxies)),
            dialect=NativeDialect(cors_origins=self.origins),
            rate_limits=rate_limits,
            metrics=self.metrics,
            clock=clock,
            new_request_id=lambda: f"request-{next(numbers)}",
            probes=tuple(self.probes),
        )
        application = gate.application(max_body_bytes=MAX_BODY_BYTES)
        callers = Callers(authenticator=self.authenticator, rate_limits=rate_limits)
        for endpoint in endpoints:
            serve(application, endpoint, callers)
        return application

    @asynccontextmanager
    async def client(self, endpoints: Iterable[Endpoint]) -> AsyncIterator[TestClient]:
        """A client whose requests carry Alice's token unless told otherwise."""
        async with self.serving(self.application(endpoints)) as client:
            yield client

    @asynccontextmanager
    async def serving(self, application: web.Application) -> AsyncIterator[TestClient]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with TestClient(TestServer(application), headers=headers) as client:
            yield client
