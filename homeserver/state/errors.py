"""What state resolution asks for."""

from homeserver.identifiers import EventID


class MissingEvents(Exception):
    """The answer depends on events that were not given.

    ids: load these, each together with its full auth chain, and resolve again. A second round
    may ask for more, since some events are needed only once others are known.
    """

    def __init__(self, ids: frozenset[EventID]) -> None:
        super().__init__(f"{len(ids)} events are missing")
        self.ids = ids
