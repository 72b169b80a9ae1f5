-- The threads of a room, for the list of them. Only messages in threads have a row here.
CREATE INDEX relations_threads ON relations (room_nid) INCLUDE (event_nid, parent_uuid)
    WHERE rel_type = 'm.thread';

-- Names and topics of rooms are found by their words, too: the index is made anew, from the start.
DELETE FROM cursors WHERE name = 'search_index';
