"""Logging: one structured line per thing that happened, on standard error.

Our own loggers (`structlog.get_logger()`) and those of libraries (standard `logging`) end in the
same lines. Every line carries the ID of the request that it belongs to. Keys that name secrets, or
what people wrote, are dropped whoever logs them: a safety net, not a reason to log them.
"""

import json
import logging
from contextvars import ContextVar
from typing import Any, TextIO

import orjson
import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import TimeStamper, add_log_level, format_exc_info
from structlog.stdlib import ProcessorFormatter, add_logger_name
from structlog.typing import EventDict, Processor, WrappedLogger

from homeserver.config import LoggingConfig

SENSITIVE_KEYS = frozenset(
    {
        "access_token",
        "api_token",
        "authorization",
        "body",
        "code",
        "content",
        "cookie",
        "jwt_secret",
        "password",
        "password_hash",
        "refresh_token",
        "secret",
        "ticket",
        "token",
        "webhook_secret",
    }
)
"""Keys that no line carries, at any depth and in any case."""

_REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

# aiohttp writes one line a request with the whole URL, and /ws may carry a ticket in its query.
_SILENCED = ("aiohttp.access",)


_HTTP_ERRORS = "aiohttp.http_exceptions"


def configure(settings: LoggingConfig, stream: TextIO) -> None:
    """Send every line of this process to a stream, from now on; replaces what was configured."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    renderers = _renderers(settings, stream)
    shared: list[Processor] = [
        add_request_id,
        add_log_level,
        TimeStamper(fmt="iso", utc=True),
        drop_sensitive,
    ]
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    _configure_standard_logging(level, [add_logger_name, *shared], renderers, stream)


class bind_request:  # noqa: N801 - used as a function; a class costs half of a generator
    """Within it every line of this task, and of tasks it starts, carries `request_id`."""

    __slots__ = ("_request_id", "_token")

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def __enter__(self) -> None:
        self._token = _REQUEST_ID.set(self._request_id)

    def __exit__(self, *_: object) -> None:
        _REQUEST_ID.reset(self._token)


def add_request_id(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """A processor that names the request, if there is one."""
    request_id = _REQUEST_ID.get()
    if request_id is not None:
        event_dict["request_id"] = request_id
    return event_dict


def drop_sensitive(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """A processor that leaves out what SENSITIVE_KEYS names."""
    return _without_sensitive(event_dict)


def _without_sensitive(mapping: EventDict) -> dict[str, Any]:
    return {
        key: _clean(value)
        for key, value in mapping.items()
        if str(key).lower() not in SENSITIVE_KEYS
    }


def _clean(value: Any) -> Any:
    match value:
        case dict():
            return _without_sensitive(value)
        case list():
            return [_clean(item) for item in value]
        case tuple():
            # `exc_info` is one only as a tuple.
            return tuple(_clean(item) for item in value)
        case _:
            return value


def _renderers(settings: LoggingConfig, stream: TextIO) -> list[Processor]:
    if settings.format == "json":
        return [format_exc_info, _json]
    # plain_traceback: others print local variables, and those hold passwords.
    return [ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain_traceback)]


def _json(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> str:
    try:
        return orjson.dumps(event_dict, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Lone surrogates and integers over 64 bits; a line that cannot be written must not raise.
        return json.dumps(event_dict, default=repr, skipkeys=True)


def _configure_standard_logging(
    level: int, shared: list[Processor], renderers: list[Processor], stream: TextIO
) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    server = logging.getLogger("aiohttp.server")
    server.filters[:] = [_soften_bad_requests]


def _soften_bad_requests(record: logging.LogRecord) -> bool:
    """What came was no HTTP: no error of the server. The exception quotes it, and so perhaps a
    token, which no line may contain.
    """
    error = record.exc_info[1] if record.exc_info else None
    if type(error).__module__ != _HTTP_ERRORS:
        return True
    record.levelno, record.levelname = logging.INFO, "INFO"
    record.exc_info = None
    return logging.getLogger(record.name).isEnabledFor(record.levelno)
