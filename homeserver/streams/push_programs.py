"""Everybody's push rules in memory, ready to be tried."""

from typing import Any

from homeserver.push_rules.evaluation import Program, program_of
from homeserver.push_rules.ruleset import PUSH_RULES, Ruleset
from homeserver.storage.database import Database
from homeserver.streams.account_data import AccountDataTail
from homeserver.streams.account_settings import AccountSetting


class PushPrograms(AccountSetting[Program]):
    """Made once for each change of somebody's rules."""

    def __init__(self, *, database: Database, tail: AccountDataTail) -> None:
        super().__init__(database=database, tail=tail, event_type=PUSH_RULES, parse=_program)


def _program(content: Any) -> Program:
    return program_of(Ruleset.of(content))
