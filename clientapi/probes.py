"""What watches the server: /health, /ready and /metrics."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from homeserver.metrics import CONTENT_TYPE, Metrics

HEALTH, READY, METRICS = "/health", "/ready", "/metrics"
PROBES = (HEALTH, READY, METRICS)

IsReady = Callable[[], Awaitable[bool]]


def add_probes(application: web.Application, *, is_ready: IsReady) -> None:
    """/health answers while the process lives; /ready only while it can do its work."""

    async def health(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_request: web.Request) -> web.Response:
        if await is_ready():
            return web.json_response({"status": "ready"})
        return web.json_response({"status": "the database does not answer"}, status=503)

    application.router.add_get(HEALTH, health)
    application.router.add_get(READY, ready)


def add_metrics(application: web.Application, *, metrics: Metrics) -> None:
    """The Prometheus page."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    application.router.add_get(METRICS, page)
