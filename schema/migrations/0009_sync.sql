-- What sync needs.

-- Connections of simplified sliding sync (MSC4186): what each was told, so that a position is good
-- again after a restart. Of each, the newest version and the one before it. state: JSON.
-- Without a foreign key, for a session may end while its connection is written: those of sessions
-- that have ended are swept.
CREATE TABLE sliding_connections (
    session_nid  bigint NOT NULL,
    conn_id      text COLLATE "C" NOT NULL,
    version      bigint NOT NULL,
    state        bytea NOT NULL,
    used_at      bigint NOT NULL,            -- when it was written
    PRIMARY KEY (session_nid, conn_id, version)
);
CREATE INDEX sliding_connections_used ON sliding_connections (used_at);

-- What changed in a room's state after a version, whatever its size.
CREATE INDEX room_state_changes ON room_state (room_nid, since_version);
