"""Rooms that grow at random, every event allowed where it was sent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.auth.selection import POWER_LEVELS
from homeserver.events.room_version import RoomVersion
from homeserver.identifiers import UserID
from tests.support.forked_room import ALICE, BOB, CHARLIE, DORA, EVE, Branch, ForkedRoom


@dataclass(frozen=True)
class Cast:
    """Who tries what. The leaders try everything that needs power, the crowd comes and goes."""

    leaders: tuple[UserID, ...]
    crowd: tuple[UserID, ...]
    levels: tuple[int, ...]
    """The power levels that leaders hand out."""


CROWD = (BOB, CHARLIE, DORA, EVE)
ANARCHY = Cast(leaders=(ALICE, *CROWD), crowd=(ALICE, *CROWD), levels=(0, 50, 100))
ONE_LEADER = Cast(leaders=(ALICE,), crowd=CROWD, levels=(0, 50))

Choose = Callable[[Sequence[Any]], Any]
"""Takes one of a sequence: a random generator's or hypothesis's choice."""


def grow(
    version: RoomVersion, choose: Choose, *, steps: int, cast: Cast = ANARCHY
) -> tuple[ForkedRoom, list[Branch]]:
    """A room after so many attempts to do something, and its branches, at least two.

    Clocks cannot be trusted, so times are few, repeat and run backwards.
    """
    users = dict.fromkeys((BOB, CHARLIE), max(cast.levels))
    room = ForkedRoom.public_chat(version, members=(BOB, CHARLIE), users=users)
    growth = _Growth(branches=[room.start.fork(), room.start.fork()], choose=choose, cast=cast)
    for _ in range(steps):
        growth.step()
    return room, growth.branches


@dataclass
class _Growth:
    branches: list[Branch]
    choose: Choose
    cast: Cast

    def step(self) -> None:
        """Fork or merge one time in five, else one attempt somewhere."""
        branch = self.choose(self.branches)
        if self.choose(range(5)) == 0:
            self.choose((self.fork, self.merge))(branch)
        else:
            self.attempt(branch, *self.choose(self.acts)(branch))

    @property
    def acts(self) -> tuple[Callable[[Branch], tuple[Any, ...]], ...]:
        return (
            self.own_membership,
            self.own_membership,
            self.others_membership,
            self.others_membership,
            self.power,
            self.join_rule,
            self.topic,
        )

    def fork(self, branch: Branch) -> None:
        if len(self.branches) < 4:
            self.branches.append(branch.fork())

    def merge(self, branch: Branch) -> None:
        other = self.choose(self.branches)
        if other is not branch:
            self.branches[self.branches.index(branch)] = branch.room.merge(branch, other)

    def attempt(
        self, branch: Branch, event_type: str, sender: UserID, content: Any, state_key: str = ""
    ) -> None:
        time = self.choose(range(12))
        event = branch.prepare(event_type, sender, content, state_key=state_key, ts=time)
        if branch.allows(event):
            branch.append(event)

    def own_membership(self, branch: Branch) -> tuple[Any, ...]:
        user = self.choose(self.cast.crowd)
        content = {"membership": self.choose(("join", "join", "leave"))}
        return "m.room.member", user, content, user

    def others_membership(self, branch: Branch) -> tuple[Any, ...]:
        content = {"membership": self.choose(("invite", "leave", "ban"))}
        target = self.choose(self.cast.crowd)
        return "m.room.member", self.choose(self.cast.leaders), content, target

    def power(self, branch: Branch) -> tuple[Any, ...]:
        # Before v12 a merge can lose all power levels: each may fail where the others are missing.
        current = branch.state.get(POWER_LEVELS)
        users = dict(current.content["users"]) if current else {}
        users[self.choose(self.cast.crowd)] = self.choose(self.cast.levels)
        if branch.room.version.privileged_creators:
            users.pop(branch.room.creator, None)
        content = {"users": users, "state_default": self.choose((0, 50))}
        return "m.room.power_levels", self.choose(self.cast.leaders), content

    def join_rule(self, branch: Branch) -> tuple[Any, ...]:
        content = {"join_rule": self.choose(("public", "invite"))}
        return "m.room.join_rules", self.choose(self.cast.leaders), content

    def topic(self, branch: Branch) -> tuple[Any, ...]:
        return "m.room.topic", self.choose(self.cast.crowd), {"topic": "new"}
