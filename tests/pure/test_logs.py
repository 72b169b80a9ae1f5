"""Log lines: one each, machine-readable, with the request's ID and without secrets."""

import asyncio
import io
import json
import logging

import pytest
import structlog
from aiohttp.http_exceptions import BadHttpMessage

from homeserver import logs
from homeserver.config import LoggingConfig

HUNTER = "hunter2"


class Lines(io.StringIO):
    """What was logged."""

    def parsed(self):
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def configured():
    """Configures logging to a buffer; afterwards everything is as it was."""
    root, structured = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level

    def configure(**settings):
        lines = Lines()
        logs.configure(LoggingConfig(**settings), lines)
        return lines

    yield configure
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**structured)


class TestLines:
    def test_a_line_is_one_json_object(self, configured):
        lines = configured()
        structlog.get_logger().info("user created", user_id="@alice:example.org", count=3)
        (line,) = lines.parsed()
        assert line.pop("timestamp").endswith("Z")
        assert line == {
            "event": "user created",
            "level": "info",
            "user_id": "@alice:example.org",
            "count": 3,
        }

    def test_lines_of_libraries_look_the_same(self, configured):
        lines = configured()
        logging.getLogger("asyncpg").warning("lost %s", "connection")
        (line,) = lines.parsed()
        assert (line["event"], line["logger"], line["level"]) == (
            "lost connection",
            "asyncpg",
            "warning",
        )

    def test_lines_below_the_level_are_not_written(self, configured):
        lines = configured(level="warning")
        structlog.get_logger().info("too quiet")
        logging.getLogger("asyncpg").info("too quiet")
        assert lines.getvalue() == ""

    def test_an_exception_stands_in_its_line(self, configured):
        lines = configured()
        try:
            int("seven")
        except ValueError:
            structlog.get_logger().exception("failed")
        (line,) = lines.parsed()
        assert "ValueError: invalid literal" in line["exception"]

    @pytest.mark.parametrize("value", ["\ud800", 2**70, object(), {1: b"raw"}, SystemError("x")])
    def test_a_value_that_is_not_json_does_not_lose_the_line(self, configured, value):
        lines = configured()
        structlog.get_logger().info("odd", value=value)
        assert lines.parsed()[0]["event"] == "odd"

    def test_an_exception_that_a_library_kept_stands_in_its_line(self, configured):
        """As asyncio does for tasks that nobody waits for."""
        lines = configured()
        error = OSError("the disk is full")
        logging.getLogger("asyncio").error("Task exception was never retrieved", exc_info=error)
        assert "the disk is full" in lines.parsed()[0]["exception"]

    def test_what_is_no_http_is_no_error_of_the_server(self, configured):
        lines = configured()
        error = BadHttpMessage(f"Invalid header: {HUNTER}")
        logging.getLogger("aiohttp.server").error("Error handling request", exc_info=error)
        (line,) = lines.parsed()
        assert (line["level"], line["event"]) == ("info", "Error handling request")
        assert HUNTER not in lines.getvalue()

    def test_the_console_format_is_for_people(self, configured):
        lines = configured(format="console")
        structlog.get_logger().info("ready", port=8081)
        assert "ready" in lines.getvalue()
        assert "port=8081" in lines.getvalue()


class TestRequestID:
    def test_it_stands_on_every_line_of_the_request_and_on_no_other(self, configured):
        lines = configured()
        with logs.bind_request("r1"):
            structlog.get_logger().info("ours")
            logging.getLogger("asyncpg").warning("theirs")
        structlog.get_logger().info("after")
        assert [line.get("request_id") for line in lines.parsed()] == ["r1", "r1", None]

    async def test_requests_that_run_at_the_same_time_keep_their_own(self, configured):
        lines = configured()
        both_bound = asyncio.Barrier(2)

        async def request(request_id):
            with logs.bind_request(request_id):
                await both_bound.wait()
                structlog.get_logger().info(request_id)

        await asyncio.gather(request("r1"), request("r2"))
        assert all(line["event"] == line["request_id"] for line in lines.parsed())


@pytest.mark.parametrize("style", ["json", "console"])
class TestSecrets:
    @pytest.mark.parametrize("key", [*sorted(logs.SENSITIVE_KEYS), "Authorization", "PASSWORD"])
    def test_no_line_carries_a_sensitive_key(self, configured, style, key):
        lines = configured(format=style)
        structlog.get_logger().info("login", **{key: HUNTER})
        structlog.get_logger().info("login", frame={"inner": [{key: HUNTER}], "type": "x"})
        assert HUNTER not in lines.getvalue()
        assert lines.getvalue().count("login") == 2

    def test_context_that_was_bound_is_cleaned_too(self, configured, style):
        lines = configured(format=style)
        with structlog.contextvars.bound_contextvars(token=HUNTER):
            structlog.get_logger().bind(password=HUNTER).info("login")
            logging.getLogger("aiohttp.server").error("failed")
        assert HUNTER not in lines.getvalue()

    def test_a_traceback_shows_no_local_variables(self, configured, style):
        lines = configured(format=style)
        passwords = [HUNTER]
        try:
            passwords[1].encode()
        except IndexError:
            structlog.get_logger().exception("failed")
            logging.getLogger("aiohttp.server").exception("failed")
        assert HUNTER not in lines.getvalue()

    def test_addresses_of_requests_with_their_tickets_are_not_logged(self, configured, style):
        lines = configured(format=style, level="debug")
        logging.getLogger("aiohttp.access").info("GET /ws?ticket=%s", HUNTER)
        assert lines.getvalue() == ""
