"""Reading and changing one's push rules. They are account data, so every device hears of it.

Source: C-S API v1.19 "Push Rules: API", "Push Rules: Events".
"""

from collections.abc import Callable, Sequence

import orjson

from homeserver.errors import TooLarge
from homeserver.push_rules import editing
from homeserver.push_rules.editing import WantedRule
from homeserver.push_rules.rules import Action, PushRule
from homeserver.push_rules.ruleset import PUSH_RULES, Ruleset
from homeserver.requester import Requester
from homeserver.storage import account_data
from homeserver.storage.account_data import GLOBAL
from homeserver.storage.database import Database
from homeserver.streams.account_data import AccountDataWriter

MAX_BYTES = 262_144


class PushRules:
    """A user's own. All raise Unavailable; what names a rule raises NotFound, InvalidInput."""

    def __init__(self, *, database: Database, writer: AccountDataWriter) -> None:
        self._database = database
        self._writer = writer

    async def all(self, by: Requester) -> Ruleset:
        async with self._database.connection() as db:
            return _ruleset(await account_data.get(db, by.user_nid, GLOBAL, PUSH_RULES))

    async def one(self, by: Requester, kind: str, rule_id: str) -> PushRule:
        return editing.found(await self.all(by), kind, rule_id)

    async def put(self, by: Requester, wanted: WantedRule) -> None:
        """Adds a rule or changes it. Raises NoSuchNeighbour, TooLarge."""
        await self._change(by, lambda ruleset: editing.with_rule(ruleset, wanted))

    async def delete(self, by: Requester, kind: str, rule_id: str) -> None:
        await self._change(by, lambda ruleset: editing.without_rule(ruleset, kind, rule_id))

    async def enable(self, by: Requester, kind: str, rule_id: str, *, enabled: bool) -> None:
        """Switches a rule on or off."""
        await self._change(
            by, lambda ruleset: editing.with_enabled(ruleset, kind, rule_id, enabled=enabled)
        )

    async def set_actions(
        self, by: Requester, kind: str, rule_id: str, actions: Sequence[Action]
    ) -> None:
        await self._change(
            by, lambda ruleset: editing.with_actions(ruleset, kind, rule_id, actions)
        )

    async def _change(self, by: Requester, edit: Callable[[Ruleset], Ruleset]) -> None:
        def edited(content: bytes | None) -> bytes | None:
            before = _ruleset(content)
            after = edit(before)
            return None if after == before else _content(after, by)

        await self._writer.change(by.user_nid, GLOBAL, PUSH_RULES, edited)


def _ruleset(content: bytes | None) -> Ruleset:
    return Ruleset.of(None if content is None else orjson.loads(content))


def _content(ruleset: Ruleset, by: Requester) -> bytes:
    content = orjson.dumps(ruleset.as_json(by.user_id))
    if len(content) > MAX_BYTES:
        raise TooLarge("Your push rules are too large together.")
    return content
