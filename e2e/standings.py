"""How devices stand that uploaded keys lately, in memory: who fills up his one-time keys does that
again, and then a single statement adds them.
"""

from collections import OrderedDict

from homeserver.storage.one_time_keys import Standing

CAPACITY = 2_000
_MAX_CHARS = 8_192
"""Of key IDs: of a device with more nothing is kept."""


class Standings:
    """Bounded; those not used for the longest leave first. By number of the session.

    What is kept may be out of date, because another process changed it: then nothing is added to it
    (`one_time_keys.add`).
    """

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._known: OrderedDict[int, Standing] = OrderedDict()

    def get(self, session_nid: int) -> Standing | None:
        return self._known.get(session_nid)

    def take(self, session_nid: int) -> Standing | None:
        """It is not kept any more: whoever adds keys puts back how the device stands then."""
        return self._known.pop(session_nid, None)

    def put(self, session_nid: int, standing: Standing | None) -> None:
        """After the commit. None: nobody knows."""
        self._known.pop(session_nid, None)
        if standing is None or sum(map(len, standing.key_ids.values())) > _MAX_CHARS:
            return
        self._known[session_nid] = standing
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)
