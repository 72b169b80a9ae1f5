"""What the server counts and measures, for Prometheus.

One registry per server, handed to whoever measures; there is no global one, so two servers in one
process do not add up. Labels have few values, all known beforehand: never a user, room or address.
"""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Of what `Metrics.render` returns."""

_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """Every metric as an attribute; `render` gives the page that `/metrics` serves."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._add_commits()
        self._add_connections()
        self._add_requests()

    def _add_commits(self) -> None:
        self.events_committed = self._counter(
            "foyer_events_committed", "Messages, memberships and all other events stored for good."
        )
        self.commit_batch_size = self._histogram(
            "foyer_commit_batch_size", "Events in one transaction.", _BATCH_SIZES
        )
        self.commit_seconds = self._histogram(
            "foyer_commit_seconds", "Duration of one transaction of the committer.", _SECONDS
        )
        self.database_pool_in_use = self._gauge(
            "foyer_database_pool_in_use", "Connections of the pool that somebody holds."
        )

    def _add_connections(self) -> None:
        self.websocket_connections = self._gauge(
            "foyer_websocket_connections", "Open WebSocket connections."
        )
        self.frames_in = self._counter("foyer_frames_in", "Frames of clients.", "type")
        self.frames_out = self._counter("foyer_frames_out", "Frames to clients.", "type")
        self.deliveries = self._counter(
            "foyer_deliveries", "Messages handed to a connection of a recipient."
        )
        self.slow_consumers_cut = self._counter(
            "foyer_slow_consumers_cut", "Connections closed because their client read too slowly."
        )

    def _add_requests(self) -> None:
        self.http_requests = self._counter(
            "foyer_http_requests", "Answered requests.", "method", "route", "status"
        )
        self.http_request_seconds = self._histogram(
            "foyer_http_request_seconds", "Duration of a request.", _SECONDS, "method", "route"
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)

    def render(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)
