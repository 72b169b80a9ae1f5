-- What rooms need for the Matrix client-server API.

-- Reports of rooms, events and users, for administrators.
CREATE TABLE reports (
    report_nid   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reported_by  bigint NOT NULL REFERENCES users,
    room_nid     bigint,
    event_nid    bigint,
    user_nid     bigint,
    reason       text NOT NULL DEFAULT '',
    score        integer,
    reported_at  bigint NOT NULL
);
CREATE INDEX reports_reporter ON reports (reported_by, report_nid);
CREATE INDEX reports_room ON reports (room_nid) WHERE room_nid IS NOT NULL;

-- Rooms that a user who is in them no more wants to hear nothing of.
CREATE TABLE forgotten_rooms (
    user_nid  bigint NOT NULL,
    room_nid  bigint NOT NULL,
    PRIMARY KEY (user_nid, room_nid)
);
CREATE INDEX forgotten_rooms_room ON forgotten_rooms (room_nid);

-- Rooms that application services list for the networks that they bridge to.
CREATE TABLE appservice_rooms (
    appservice  text COLLATE "C" NOT NULL,
    network_id  text COLLATE "C" NOT NULL,
    room_nid    bigint NOT NULL REFERENCES rooms,
    PRIMARY KEY (appservice, network_id, room_nid)
);
CREATE INDEX appservice_rooms_room ON appservice_rooms (room_nid);

-- Users whose rooms do not show their present name and picture yet. serial: grows with each change.
CREATE TABLE profile_changes (
    user_nid  bigint PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    serial    bigint NOT NULL DEFAULT 1
);
