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

-- Rooms that a user who is in them no more wants to hear nothing of.
CREATE TABLE forgotten_rooms (
    user_nid  bigint NOT NULL,
    room_nid  bigint NOT NULL,
    PRIMARY KEY (user_nid, room_nid)
);
