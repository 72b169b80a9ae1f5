"""A room's state as state resolution takes it and gives it."""

from collections.abc import Mapping

from homeserver.identifiers import EventID, StateKey

StateMap = Mapping[StateKey, EventID]
