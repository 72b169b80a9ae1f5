-- Who is in a room: counted and listed without a look at the rows of those who left.
CREATE INDEX memberships_joined ON memberships (room_nid, user_nid) WHERE membership = 'join';

-- A message is found by its position: the newest first, with no further index to sort by.
-- Lexemes are made by homeserver.search_terms.
DROP TABLE message_search;
CREATE TABLE message_search (
    position  bigint PRIMARY KEY,
    lexemes   tsvector NOT NULL
);
CREATE INDEX message_search_lexemes ON message_search USING gin (lexemes);
