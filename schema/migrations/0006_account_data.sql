-- What users keep on the server for their own clients, and what they say of how they are.

INSERT INTO stream_positions (stream, position) VALUES ('account_data', 0);

-- Also tags, push rules and ignored users, which are account data of certain types. content: JSON.
-- The room stands first in the key, so that what belongs to a deleted room is found.
CREATE TABLE account_data (
    room_nid        bigint NOT NULL,         -- 0: of no room
    user_nid        bigint NOT NULL,
    position        bigint NOT NULL,         -- in the stream 'account_data'
    event_position  bigint,                  -- of m.fully_read: where its event stands
    type            text COLLATE "C" NOT NULL,
    content         bytea NOT NULL,
    PRIMARY KEY (room_nid, user_nid, type)
) WITH (fillfactor = 80);
CREATE INDEX account_data_changes ON account_data (user_nid, position);
CREATE INDEX account_data_position ON account_data (position);

-- Filters never change; the same one has one row. definition: JSON as it was given.
CREATE TABLE filters (
    filter_nid  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_nid    bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    digest      bytea NOT NULL,              -- SHA-256 of the definition
    definition  bytea NOT NULL,
    UNIQUE (user_nid, digest)
);

ALTER TABLE presence ADD COLUMN status_msg text;
