"""What Matrix clients are told: what changed for somebody since a position of every stream.

    token.py          where a client stands: one position per stream (PURE)
    filters.py        what a client wants to hear of (PURE); filter_store.py keeps and parses them
    request.py        what a client asks for

From the database, for who begins or was away for long:
    visits.py         which rooms are told, and how much of each
    loading.py        inputs.py is read in one snapshot by a fixed number of queries:
                      room_reading.py, other_reading.py, encryption_reading.py, with
                      reading.py and shown.py
    build.py          inputs to an answer

From memory, for who is caught up:
    journal.py        follows the tails, keeps their newest rows (recent.py), wakes who waits
    rosters.py        active users: their rooms, whom they ignore, their requests that wait
    device_list_news.py
                      whom changes of devices concern
    live.py           the journal's news to an answer, written once for all who hear the same

Both:
    bodies.py         events as client JSON, made once
    members.py        who the senders are; lazy.py: which members each device was told of
    summaries.py      how many members rooms have, and who names them
    inboxes.py        which devices have messages waiting, and what they have fetched
    counts.py         what is needed of the counts of notifications
    answer.py         pieces of JSON to an answer (PURE)
    waiting.py        a request that waits; waiting_room.py: all of them, and who lets them go
    sync.py           the use case: from memory if possible, else from the database; waits

Beside them:
    peeking.py        one room for who looks into it without having joined: pages of the database,
                      woken by the tail of events

Sliding sync (MSC4186, `sliding/`) is another reading and building over the same sources, visits,
bodies, journal and waiting room.
"""
