"""Requests that schemathesis makes up from the OpenAPI files of the Matrix specification.

Made-up identifiers end at "not found", so about half of them are replaced by those of a small
world that exists: people, a room, a message in it, and what belongs to them.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import count
from secrets import token_hex
from typing import Any
from urllib.parse import quote

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode

from homeserver.spec_coverage import operations as covered
from tests.support.matrix_spec import CLIENT_SERVER

Json = Any

_PASSWORD = "correct horse battery staple"
_MOST_MS = 5
"""A long poll that waits longer would only hold the test up."""
_txn_ids = count(1)


@dataclass(frozen=True)
class Operation:
    """An operation that is served. base: the path that those of its file stand below."""

    name: str
    base: str
    operation: Any

    @property
    def modes(self) -> list[GenerationMode]:
        """What takes nothing cannot be given anything wrong."""
        takes = self.operation.definition.raw.keys() & {"parameters", "requestBody"}
        return list(GenerationMode) if takes else [GenerationMode.POSITIVE]

    def cases(self, mode: GenerationMode) -> "st.SearchStrategy[Case]":
        return self.operation.as_strategy(generation_mode=mode)


@cache
def served() -> Mapping[str, Operation]:
    """Every operation of the client-server API that has a function here, by its ID."""
    names = {each.operation_id for each in covered() if each.where and each.api == "client-server"}
    return {each.name: each for each in _all() if each.name in names}


def _all() -> Iterator[Operation]:
    for file in sorted(CLIENT_SERVER.glob("*.yaml")):
        schema = schemathesis.openapi.from_path(file)
        base = schema.raw_schema["servers"][0]["variables"]["basePath"]["default"]
        for result in schema.get_all_operations():
            operation = result.ok()
            name = operation.definition.raw["operationId"]
            yield Operation(name=name, base=base, operation=operation)


class World:
    """A person who asks, another one, and a room that both are in.

    `known`: values of path parameters and fields that mean something, by name.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()
        self._token = ""
        other, me = self._registers(), self._registers()
        room = self._asks("POST", "createRoom", {"invite": [other], "name": "Fuzz"})["room_id"]
        self._room = f"rooms/{quote(room, safe='')}"
        message = self._says({"msgtype": "m.text", "body": "hello"})
        thread = {"rel_type": "m.thread", "event_id": message}
        reply = self._says({"msgtype": "m.text", "body": "aside", "m.relates_to": thread})
        self.known: dict[str, list[Json]] = {
            "roomId": [room],
            "roomIdOrAlias": [room],
            "room_id": [room],
            "userId": [me, other],
            "user_id": [me, other],
            "eventId": [message, reply],
            "event_id": [message, reply],
            "m.fully_read": [message],
            "m.read": [reply],
            "roomAlias": [f"#{token_hex(4)}:{me.partition(':')[2]}"],
            "eventType": ["m.room.message", "m.room.name", "m.room.power_levels"],
            "stateKey": ["", me],
            "relType": ["m.thread"],
            "kind": ["override", "content", "sender"],
            "ruleId": [".m.rule.master", "hello"],
            "scope": ["global"],
            "keyName": ["displayname", "org.example.custom"],
            "tag": ["m.favourite"],
            "deviceId": [self._device],
        }

    def is_in(self, case: Case, draw: Any) -> Case:
        """The same request, about things that there are."""
        for place in (case.path_parameters, case.query, case.body):
            for name in [each for each in _keys(place) if each in self.known]:
                value = draw(st.one_of(st.none(), st.sampled_from(self.known[name])))
                if value is not None:
                    place[name] = value
        if isinstance(case.query, dict) and "timeout" in case.query:
            case.query["timeout"] = draw(st.integers(min_value=0, max_value=_MOST_MS))
        return case

    def answers(self, operation: Operation, case: Case) -> requests.Response:
        """Asks as the person, who logs in again if the last request was one to leave."""
        response = self._call(operation, case)
        if response.status_code == 401 and b"M_UNKNOWN_TOKEN" in response.content:
            self._registers()
            response = self._call(operation, case)
        return response

    def _call(self, operation: Operation, case: Case) -> Any:
        return case.call(
            base_url=self.url + operation.base,
            session=self.http,
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=60,
        )

    def _registers(self) -> str:
        """A new person, who asks from now on; the user ID."""
        body = {
            "username": f"fuzz-{token_hex(4)}",
            "password": _PASSWORD,
            "auth": {"type": "m.login.dummy"},
        }
        answer = self._asks("POST", "register", body)
        self._token, self._device = answer["access_token"], answer["device_id"]
        return str(answer["user_id"])

    def _says(self, content: Json) -> str:
        path = f"{self._room}/send/m.room.message/{next(_txn_ids)}"
        return str(self._asks("PUT", path, content)["event_id"])

    def _asks(self, method: str, path: str, body: Json) -> Json:
        response = self.http.request(
            method,
            f"{self.url}/_matrix/client/v3/{path}",
            data=json.dumps(body),
            headers={"Authorization": f"Bearer {self._token}"} if self._token else {},
            timeout=60,
        )
        assert response.ok, (method, path, response.text)
        return response.json()


def _keys(place: Any) -> list[str]:
    return list(place) if isinstance(place, dict) else []
