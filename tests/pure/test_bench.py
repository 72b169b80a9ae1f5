"""The measuring itself: figures, what counts as a flaw, the command line, the lean clients."""

import asyncio
from itertools import islice

import orjson
import pytest

from bench import encryption_load, options, report
from bench.deliveries import Flaws, flaw_figures, flaws_of
from bench.encryption_load import Measured
from bench.figures import Figure, at_least, at_most, latency_figures, percentile
from bench.metering import Usage, usage_figures
from bench.rest import RESTClient, head
from bench.texts import texts
from bench.websocket import WebSocketClient, WebSocketRefused
from bench.workloads import WORKLOADS
from homeserver.events import base64
from homeserver.events.signing import VerifyKey, signature_valid


class TestPercentile:
    """Nearest rank: the least value that is not exceeded by that share of all."""

    @pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)])
    def test_of_a_hundred_values_it_is_the_value_of_that_rank(self, share, value):
        assert percentile(range(1, 101), share) == value

    def test_of_one_value_it_is_that_value(self):
        assert percentile([7.0], 0.01) == 7.0

    def test_of_few_values_it_is_never_too_good(self):
        assert percentile([1.0, 2.0, 3.0], 0.95) == 3.0


class TestTarget:
    def test_a_bound_itself_is_good_enough(self):
        assert not Figure("p95", 20.0, target=at_most(20)).is_missed
        assert not Figure("rate", 2000.0, target=at_least(2000)).is_missed

    def test_it_is_missed_on_the_wrong_side(self):
        assert Figure("p95", 20.1, target=at_most(20)).is_missed
        assert Figure("rate", 1999.9, target=at_least(2000)).is_missed

    def test_a_figure_without_one_is_never_missed(self):
        assert not Figure("messages", 0).is_missed


class TestLatencyFigures:
    def test_they_are_milliseconds_whatever_the_order(self):
        figures = latency_figures("latency", [0.003, 0.001, 0.002], p95_ms=2)
        assert [(each.name, each.value) for each in figures] == [
            ("latency p50", 2.0),
            ("latency p95", 3.0),
            ("latency p99", 3.0),
            ("latency max", 3.0),
        ]
        assert [each.is_missed for each in figures] == [False, True, False, False]

    def test_there_are_none_of_no_values(self):
        assert latency_figures("latency", []) == []


class TestFlaws:
    def test_everything_once_and_in_order_is_flawless(self):
        assert flaws_of([4, 8, 15], [4, 8, 15]) == Flaws()

    def test_what_never_came_is_lost(self):
        assert flaws_of([4, 8, 15], [4, 15]) == Flaws(lost=1)

    def test_what_came_again_is_doubled_and_not_out_of_order(self):
        assert flaws_of([4, 8, 15], [4, 8, 4, 15]) == Flaws(doubled=1)

    def test_what_came_late_is_out_of_order_once(self):
        assert flaws_of([4, 8, 15, 16], [8, 15, 4, 16]) == Flaws(disordered=1)

    def test_the_order_is_that_of_the_room_and_not_of_the_numbers(self):
        assert flaws_of([15, 4, 8], [15, 4, 8]) == Flaws()

    def test_what_belongs_to_others_is_neither_lost_nor_doubled(self):
        assert flaws_of([4], [4, 23, 23]) == Flaws(strange=2)

    def test_those_of_all_listeners_add_up_and_each_is_a_missed_target(self):
        flaws = flaws_of([1, 2], [2, 1]) + flaws_of([1, 2], [1, 1, 3])
        assert flaws == Flaws(lost=1, doubled=1, disordered=1, strange=1)
        assert all(figure.is_missed for figure in flaw_figures(flaws))


class TestUsage:
    USAGE = Usage(seconds=10, server=5, postgres=2.5, generator=1, others=0.5)

    def test_cpu_time_is_told_by_message_and_in_cores(self):
        figures = {each.name: each.value for each in usage_figures(self.USAGE, 1000)}
        assert figures["server CPU per message"] == 5.0
        assert figures["Postgres CPU per message"] == 2.5
        assert figures["other processes busy"] == 0.05

    def test_without_messages_only_the_cores_are_told(self):
        names = [each.name for each in usage_figures(self.USAGE, 0)]
        assert len(names) == 4
        assert all(name.endswith("busy") for name in names)

    def test_what_stretches_cost_is_their_difference_and_adds_up(self):
        later = Usage(seconds=11, server=6, postgres=3, generator=1.5, others=0.5)
        assert self.USAGE + (later - self.USAGE) == later


class TestTexts:
    def test_they_are_the_same_for_the_same_seed_only(self):
        assert list(islice(texts(1), 50)) == list(islice(texts(1), 50))
        assert list(islice(texts(1), 50)) != list(islice(texts(2), 50))

    def test_they_have_about_sixty_characters_and_vary(self):
        written = list(islice(texts(1), 2000))
        assert 55 < sum(map(len, written)) / len(written) < 65
        assert len(set(written)) > 1990


class TestCommandLine:
    def test_without_options_everything_is_measured_in_full(self):
        chosen = options.parse([])
        assert chosen.workloads == tuple(WORKLOADS)
        assert chosen.scale == 1.0

    def test_workloads_are_measured_once_each_in_the_order_given(self):
        arguments = ["--workload", "storage", "--workload", "idle", "--workload", "storage"]
        assert options.parse(arguments).workloads == ("storage", "idle")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--workload", "fan-out"],
            ["--scale", "0"],
            ["--scale", "-1"],
            ["--scale", "nan"],
            ["--scale", "much"],
            ["--data-dir", "/nowhere"],
        ],
    )
    def test_what_cannot_be_used_is_refused(self, arguments, capsys):
        with pytest.raises(SystemExit) as exit_info:
            options.parse(arguments)
        assert exit_info.value.code == 2
        assert arguments[0] in capsys.readouterr().err


class TestReport:
    FIGURES = (
        Figure("messages", 6000),
        Figure("latency p95", 21.234, "ms", at_most(20)),
        Figure("rate", 2345.6, "messages/s", at_least(2000)),
    )

    def test_a_table_tells_values_bounds_and_verdicts(self):
        rows = [
            [cell.strip() for cell in line.split("|")[1:-1]]
            for line in report.table(self.FIGURES).splitlines()
        ]
        assert rows[2:] == [
            ["messages", "6,000", "", ""],
            ["latency p95", "21.2 ms", "≤ 20", "MISSED"],
            ["rate", "2,346 messages/s", "≥ 2,000", "met"],
        ]

    def test_json_keeps_the_values_as_they_are(self, tmp_path):
        path = tmp_path / "figures.json"
        report.write_json(path, {"fanout": self.FIGURES}, scale=0.5)
        written = orjson.loads(path.read_bytes())
        assert written["scale"] == 0.5
        latency = written["workloads"]["fanout"]["latency p95"]
        assert latency == {"value": 21.234, "unit": "ms", "at_most": 20, "missed": True}


class Wire:
    """A transport that keeps what is written to it."""

    def __init__(self):
        self.written = b""
        self.is_aborted = False

    def write(self, data):
        self.written += data

    def abort(self):
        self.is_aborted = True

    def is_closing(self):
        return self.is_aborted


class TestWebSocketClient:
    """RFC 6455, as far as the load needs it."""

    SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n"

    @pytest.fixture
    def heard(self):
        return []

    @pytest.fixture
    def wire(self):
        return Wire()

    @pytest.fixture
    async def client(self, heard, wire):
        client = WebSocketClient(path="/ws", token="secret", on_text=heard.append)
        client.connection_made(wire)
        wire.written = b""
        return client

    async def test_frames_of_any_length_are_heard_however_they_are_cut(self, client, heard):
        payloads = [b"", b"short", b"m" * 126, b"l" * 70_000]
        long_header = b"\x81\x7f" + (70_000).to_bytes(8, "big")
        headers = [b"\x81\x00", b"\x81\x05", b"\x81\x7e\x00\x7e", long_header]
        sent = self.SWITCHED + b"".join(map(bytes.__add__, headers, payloads))
        for begin in range(0, len(sent), 7):
            client.data_received(sent[begin : begin + 7])
        await client.opened()
        assert heard == payloads

    async def test_a_ping_is_answered_with_its_payload(self, client, heard, wire):
        client.data_received(self.SWITCHED + b"\x89\x02hi")
        assert wire.written == b"\x8a\x82\0\0\0\0hi"
        assert heard == []

    async def test_what_is_sent_is_a_masked_text_frame(self, client, wire):
        client.send(b"hello")
        client.send(b"x" * 300)
        assert wire.written == (b"\x81\x85\0\0\0\0hello" + b"\x81\xfe\x01\x2c\0\0\0\0" + b"x" * 300)

    async def test_the_reason_of_a_close_is_known(self, client):
        client.data_received(self.SWITCHED + b"\x88\x02\x0f\xa1")
        client.connection_lost(None)
        assert client.close_code == 4001

    async def test_an_answer_that_is_no_switch_is_a_refusal(self, client):
        client.data_received(b"HTTP/1.1 401 Unauthorized\r\n\r\n")
        with pytest.raises(WebSocketRefused, match="401"):
            await client.opened()


class TestEncryptionLoad:
    """Keys of devices, on any homeserver."""

    def test_its_keys_are_signed_by_their_devices(self):
        device = encryption_load.make_device("@alice:x", "PHONE", "token", uploads=2)
        identity = orjson.loads(device.identity)["device_keys"]
        key = VerifyKey(base64.decode(identity["keys"]["ed25519:PHONE"]))
        uploads = [orjson.loads(body)["one_time_keys"] for body in device.uploads]
        assert [len(keys) for keys in uploads] == [100, 100]
        assert len(uploads[0].keys() | uploads[1].keys()) == 200
        for obj in (identity, *uploads[0].values(), *uploads[1].values()):
            assert signature_valid(obj, "@alice:x", "ed25519:PHONE", key)

    def test_figures_are_medians_and_errors_add_up(self):
        findings = encryption_load.Findings()
        for seconds in (1.0, 4.0, 2.0):
            usage = Usage(seconds, server=seconds, postgres=0.5, generator=0.0, others=0.0)
            findings.add({"uploads": Measured(usage, [0.5, 0.5], errors=1)})
        summary = findings.summaries()["uploads"]
        assert summary["rate"] == {"median": 1.0}
        assert summary["server_cpu_ms"] == {"median": 1000.0}
        assert summary["error_count"] == 3


class TestRESTClient:
    @pytest.fixture
    async def client(self):
        client = RESTClient(("nowhere", 0))
        client.connection_made(Wire())
        return client

    async def test_an_answer_is_read_however_it_is_cut(self, client):
        answer = asyncio.ensure_future(client.request(head("GET", "/"), b""))
        await asyncio.sleep(0)
        for byte in b"HTTP/1.1 201 Created\r\nServer: x\r\nContent-Length: 4\r\n\r\nbody":
            client.data_received(bytes((byte,)))
        assert await answer == (201, b"body")

    async def test_an_answer_in_chunks_is_put_together(self, client):
        answer = asyncio.ensure_future(client.request(head("GET", "/"), b""))
        await asyncio.sleep(0)
        chunks = b"4\r\nbody\r\nA;x=y\r\n and more.\r\n0\r\n\r\n"
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks:
            client.data_received(bytes((byte,)))
        assert await answer == (200, b"body and more.")

    async def test_an_answer_without_a_body_is_complete_with_its_head(self, client):
        answer = asyncio.ensure_future(client.request(head("DELETE", "/"), b""))
        await asyncio.sleep(0)
        client.data_received(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert await answer == (204, b"")

    async def test_a_server_that_hangs_up_is_an_error(self, client):
        answer = asyncio.ensure_future(client.request(head("GET", "/"), b""))
        await asyncio.sleep(0)
        client.connection_lost(None)
        with pytest.raises(ConnectionResetError):
            await answer
