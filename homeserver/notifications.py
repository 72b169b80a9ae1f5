"""Notifications, wired: push rules, what events mean by them, counts of that, and pushers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from homeserver.actions.push_rules import PushRules
from homeserver.actions.pushers import Pushers
from homeserver.clock import Clock
from homeserver.delivery.follower import Follower
from homeserver.delivery.notifications import NotificationSweep, notification_writer
from homeserver.storage.database import Database
from homeserver.streams.account_data import AccountDataTail, AccountDataWriter
from homeserver.streams.account_settings import IgnoredUsers
from homeserver.streams.erased import ErasedUsers
from homeserver.streams.judgements import Judgements
from homeserver.streams.judging import Judge
from homeserver.streams.people import People
from homeserver.streams.push_programs import PushPrograms
from homeserver.streams.receipts import ReceiptTail
from homeserver.streams.tail import EventTail
from homeserver.views.client_events import ClientEvents
from homeserver.views.notification_counts import NotificationCounts
from homeserver.views.notifications import NotificationList


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """Everything about who is notified of what."""

    push_rules: PushRules
    pushers: Pushers
    judgements: Judgements
    counts: NotificationCounts
    list: NotificationList
    writer: Follower
    sweep: NotificationSweep

    def background(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What must run, each until cancelled."""
        return self.writer.run, self.sweep.run


def build_notifications(
    *,
    database: Database,
    people: People,
    events: EventTail,
    receipts: ReceiptTail,
    account_data: AccountDataTail,
    account_data_writer: AccountDataWriter,
    ignored_users: IgnoredUsers,
    erased_users: ErasedUsers,
    clock: Clock,
) -> Notifications:
    """Builds every object once, by name. What follows the tails and asks for counts comes later, so
    that these are counted already when it hears of an event.
    """
    judge = Judge()
    judgements = Judgements(database=database, tail=events, account_data=account_data, judge=judge)
    programs = PushPrograms(database=database, tail=account_data)
    return Notifications(
        push_rules=PushRules(database=database, writer=account_data_writer),
        pushers=Pushers(database=database, clock=clock),
        judgements=judgements,
        counts=NotificationCounts(
            database=database,
            people=people,
            programs=programs,
            events=events,
            receipts=receipts,
            account_data=account_data,
            judgements=judgements,
        ),
        list=NotificationList(
            database=database,
            programs=programs,
            client_events=ClientEvents(ignored=ignored_users, erased=erased_users, clock=clock),
        ),
        writer=notification_writer(
            database=database, judgements=judgements, judge=judge, clock=clock
        ),
        sweep=NotificationSweep(database=database, clock=clock),
    )
