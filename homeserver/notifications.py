"""Notifications, wired: push rules and pushers."""

from dataclasses import dataclass

from homeserver.actions.push_rules import PushRules
from homeserver.actions.pushers import Pushers
from homeserver.clock import Clock
from homeserver.storage.database import Database
from homeserver.streams.account_data import AccountDataWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """Everything about who is notified of what."""

    push_rules: PushRules
    pushers: Pushers


def build_notifications(
    *, database: Database, account_data_writer: AccountDataWriter, clock: Clock
) -> Notifications:
    """Builds every object once, by name."""
    return Notifications(
        push_rules=PushRules(database=database, writer=account_data_writer),
        pushers=Pushers(database=database, clock=clock),
    )
