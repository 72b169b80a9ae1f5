-- Identifiers are COLLATE "C": compared by bytes, whatever the database's locale is.
-- `_nid` columns are local numbers; Matrix IDs and native UUIDs stand once, in users, rooms, events.

-- What this database belongs to. One row, written at the first start.
CREATE TABLE server (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    server_name  text COLLATE "C" NOT NULL,
    created_at   bigint NOT NULL
);

-- One row a stream. Its lock, held from the update to the commit, makes positions become visible
-- in order and without gaps (design section 6).
CREATE TABLE stream_positions (
    stream    text COLLATE "C" PRIMARY KEY,
    position  bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO stream_positions (stream, position) VALUES ('events', 0), ('backfill', 0), ('receipts', 0);

-- Every user that a room or this server knows, of this server or another.
CREATE TABLE users (
    user_nid      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id       text COLLATE "C" NOT NULL UNIQUE,
    uuid          uuid NOT NULL UNIQUE,
    display_name  text,
    avatar_url    text
);

-- People (and bots) who log in here. Times are milliseconds since the epoch.
CREATE TABLE accounts (
    user_nid        bigint PRIMARY KEY REFERENCES users,
    email           text NOT NULL,
    email_key       text COLLATE "C" NOT NULL UNIQUE,  -- case-folded: what must be unique
    password_hash   text NOT NULL,                     -- argon2id, "" when there is no password
    is_admin        boolean NOT NULL DEFAULT false,
    created_at      bigint NOT NULL,
    updated_at      bigint NOT NULL,
    deactivated_at  bigint
);

-- One row a log-in. Native: a session; Matrix: a device with its access token.
CREATE TABLE sessions (
    session_nid         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid                uuid NOT NULL UNIQUE,
    user_nid            bigint NOT NULL REFERENCES users,
    device_id           text COLLATE "C" NOT NULL,
    display_name        text NOT NULL DEFAULT '',
    created_at          bigint NOT NULL,
    last_seen_at        bigint NOT NULL,
    last_seen_ip        inet,
    user_agent          text NOT NULL DEFAULT '',
    refresh_hash        bytea,            -- SHA-256 of the refresh token that is valid now
    spent_refresh_hash  bytea,            -- the one before: its use means theft
    expires_at          bigint NOT NULL,  -- when the refresh token ends
    UNIQUE (user_nid, device_id)
);
CREATE UNIQUE INDEX sessions_refresh ON sessions (refresh_hash) WHERE refresh_hash IS NOT NULL;
CREATE UNIQUE INDEX sessions_spent_refresh ON sessions (spent_refresh_hash)
    WHERE spent_refresh_hash IS NOT NULL;
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Codes that allow a registration; 'admin' codes make administrators.
CREATE TABLE invitation_codes (
    code_hash   bytea PRIMARY KEY,        -- SHA-256
    makes_admin boolean NOT NULL DEFAULT false,
    created_by  bigint REFERENCES users,
    created_at  bigint NOT NULL,
    expires_at  bigint,
    uses_left   integer NOT NULL CHECK (uses_left >= 0)
);

CREATE TABLE rooms (
    room_nid    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room_id     text COLLATE "C" NOT NULL UNIQUE,
    uuid        uuid NOT NULL UNIQUE,
    version     text COLLATE "C" NOT NULL,
    kind        text COLLATE "C" NOT NULL,   -- native type: direct, group, channel
    published   boolean NOT NULL DEFAULT false,
    created_at  bigint NOT NULL,
    deleted_at  bigint
);
CREATE INDEX rooms_published ON rooms (room_nid) WHERE published AND deleted_at IS NULL;
CREATE INDEX rooms_deleted ON rooms (deleted_at) WHERE deleted_at IS NOT NULL;

-- The end of each room's event graph. Written by every commit, so rows stay narrow and no indexed
-- column changes (heap-only updates).
CREATE TABLE room_heads (
    room_nid       bigint PRIMARY KEY REFERENCES rooms,
    head_version   bigint NOT NULL,     -- grows with every commit: the optimistic lock
    state_version  integer NOT NULL,    -- grows when the current state changes
    depth          bigint NOT NULL,
    extremities    bigint[] NOT NULL    -- event_nids of the forward extremities
) WITH (fillfactor = 50);

-- Handed out in blocks, so an event has its number before its transaction begins. The tables that
-- every event or state change writes have no foreign keys: each would lock a row of another table
-- for each row written. `foyer admin verify` checks what they would.
CREATE SEQUENCE event_nids INCREMENT BY 1000 MINVALUE 1 START WITH 1000;

CREATE TABLE events (
    event_nid      bigint PRIMARY KEY,
    position       bigint,              -- in the stream 'events'; null for an outlier
    room_nid       bigint NOT NULL,
    sender_nid     bigint NOT NULL,
    depth          bigint NOT NULL,
    ts             bigint NOT NULL,     -- origin_server_ts
    session_nid    bigint,              -- who sent it here, with its transaction ID
    fork_nid       bigint,              -- state before it, where that is no version of the current state
    redacted_by    bigint,              -- event_nid of the redaction; raw is then the redacted form
    uuid           uuid NOT NULL,       -- of the event ID: how an event is found by its ID
    state_version  integer,             -- state before it; null for an outlier
    status         smallint NOT NULL,   -- 0 accepted, 1 soft-failed, 2 rejected, 3 outlier, 4 rejected outlier
    is_message     boolean NOT NULL,    -- stands on its own in a conversation: no edit, no reaction
    type           text COLLATE "C" NOT NULL,
    state_key      text COLLATE "C",
    event_id       text COLLATE "C" NOT NULL,
    txn_id         text COLLATE "C",
    rule           text COLLATE "C",    -- the auth rule that rejected or soft-failed it
    raw            bytea NOT NULL       -- canonical JSON as signed, without unsigned
) WITH (autovacuum_vacuum_insert_scale_factor = 0.5);
CREATE UNIQUE INDEX events_uuid ON events (uuid);
CREATE UNIQUE INDEX events_position ON events (position) WHERE position IS NOT NULL;
CREATE INDEX events_room ON events (room_nid, position) WHERE position IS NOT NULL;
CREATE INDEX events_messages ON events (room_nid, position)
    WHERE is_message AND position IS NOT NULL AND redacted_by IS NULL;
CREATE UNIQUE INDEX events_transaction ON events (session_nid, txn_id) WHERE txn_id IS NOT NULL;
CREATE INDEX events_fork ON events (fork_nid) WHERE fork_nid IS NOT NULL;

-- The auth events of each state event, for walking auth chains without parsing JSON.
CREATE TABLE event_auth (
    event_nid  bigint PRIMARY KEY,
    auth_nids  bigint[] NOT NULL
);

-- Events that others name as previous events and that are not here.
CREATE TABLE missing_events (
    room_nid  bigint NOT NULL REFERENCES rooms,
    event_id  text COLLATE "C" NOT NULL,
    PRIMARY KEY (room_nid, event_id)
);

-- Room state as intervals: the state at version v is the rows with since <= v < until.
CREATE TABLE room_state (
    room_nid       bigint NOT NULL,
    since_version  integer NOT NULL,
    until_version  integer,
    event_nid      bigint NOT NULL,
    type           text COLLATE "C" NOT NULL,
    state_key      text COLLATE "C" NOT NULL,
    PRIMARY KEY (room_nid, type, state_key, since_version)
);
CREATE INDEX room_state_current ON room_state (room_nid, type) WHERE until_version IS NULL;

-- State before an event that equals no version of the current state: a version and what differs.
CREATE TABLE state_forks (
    fork_nid      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room_nid      bigint NOT NULL REFERENCES rooms,
    base_version  integer NOT NULL
);
CREATE TABLE state_fork_entries (
    fork_nid   bigint NOT NULL REFERENCES state_forks ON DELETE CASCADE,
    type       text COLLATE "C" NOT NULL,
    state_key  text COLLATE "C" NOT NULL,
    event_nid  bigint,                    -- null: the entry is absent in the fork
    PRIMARY KEY (fork_nid, type, state_key)
);

-- Current memberships, derived from room_state in the same transaction.
CREATE TABLE memberships (
    room_nid    bigint NOT NULL,
    user_nid    bigint NOT NULL,
    event_nid   bigint NOT NULL,
    membership  text COLLATE "C" NOT NULL,
    PRIMARY KEY (room_nid, user_nid)
);
CREATE INDEX memberships_user ON memberships (user_nid, membership);

CREATE TABLE room_aliases (
    alias       text COLLATE "C" PRIMARY KEY,
    room_nid    bigint NOT NULL REFERENCES rooms,
    created_by  bigint NOT NULL REFERENCES users
);
CREATE INDEX room_aliases_room ON room_aliases (room_nid);

-- Edits, reactions, thread messages, references. The parent may be unknown here.
CREATE TABLE relations (
    event_nid    bigint PRIMARY KEY,
    room_nid     bigint NOT NULL,
    sender_nid   bigint NOT NULL,
    parent_uuid  uuid NOT NULL,
    rel_type     text COLLATE "C" NOT NULL,
    key          text COLLATE "C"               -- of m.annotation
);
CREATE INDEX relations_parent ON relations (parent_uuid, rel_type, event_nid);
CREATE UNIQUE INDEX relations_reaction ON relations (parent_uuid, sender_nid, key)
    WHERE rel_type = 'm.annotation' AND key IS NOT NULL;

-- How far each user has read ('read') and received ('delivered') in each room.
CREATE TABLE receipts (
    room_nid        bigint NOT NULL,
    user_nid        bigint NOT NULL,
    kind            text COLLATE "C" NOT NULL,
    event_nid       bigint NOT NULL,
    event_position  bigint NOT NULL,
    ts              bigint NOT NULL,
    position        bigint NOT NULL,            -- in the stream 'receipts'
    PRIMARY KEY (room_nid, user_nid, kind)
) WITH (fillfactor = 70);
CREATE INDEX receipts_position ON receipts (position);

CREATE TABLE presence (
    user_nid   bigint PRIMARY KEY REFERENCES users,
    status     text COLLATE "C" NOT NULL,
    last_seen  bigint NOT NULL
) WITH (fillfactor = 70);

-- Durable positions of what follows from events (search index, …).
CREATE TABLE cursors (
    name      text COLLATE "C" PRIMARY KEY,
    position  bigint NOT NULL
) WITH (fillfactor = 10);

-- Lexemes are made by homeserver.views.search_terms; room and sender stand among them, so one
-- index answers "this word in my rooms by that person".
CREATE TABLE message_search (
    event_nid  bigint PRIMARY KEY,
    position   bigint NOT NULL,
    lexemes    tsvector NOT NULL
);
CREATE INDEX message_search_lexemes ON message_search USING gin (lexemes);
