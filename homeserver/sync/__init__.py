"""What Matrix clients are told: what changed for somebody since a position of every stream.

    token.py        where a client stands: one position per stream (PURE)
    filters.py      what a client wants to hear of (PURE)
    recent.py       the newest rows of a stream by room or user, in memory
    rosters.py      active users: their rooms, whom they ignore, who of them waits
    bodies.py       events as client JSON, made once
    summaries.py    how many members a room has, and who names it
    lazy.py         which members each device was told of
    inputs.py       what a sync is built of, read in one snapshot by a fixed number of queries
    build.py        inputs to an answer (PURE)
    live.py         the same inputs from memory, for who is caught up
    sync.py         the use case: from memory if possible, else from the database; waits

Sliding sync (MSC4186) is another `build` over the same inputs.
"""
