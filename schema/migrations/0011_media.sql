-- The media repository. Files are kept by their SHA-256, in the file system or in a bucket; rows here
-- say what is there and what it is for. Times are milliseconds since the epoch.

-- Every file that a store has, once, whatever number of media have its content. A file is put into
-- its store, and taken out of it, while its row is locked: what is being deleted cannot be taken for
-- there by an upload of the same content.
CREATE TABLE media_files (
    sha256        bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    size          bigint NOT NULL,
    store         text COLLATE "C" NOT NULL,  -- filesystem, s3
    stored_at     bigint NOT NULL,
    unused_since  bigint                      -- nothing was made of it any more: it may go
);
CREATE INDEX media_files_unused ON media_files (unused_since) WHERE unused_since IS NOT NULL;
CREATE INDEX media_files_store ON media_files (store, sha256);

-- Content that is not served, under whatever media ID it stands or will be uploaded.
CREATE TABLE quarantined_files (
    sha256          bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    quarantined_at  bigint NOT NULL
);

-- What mxc:// URIs name, of this server and, as far as it was fetched, of others.
CREATE TABLE media (
    uuid                uuid PRIMARY KEY,          -- UUIDv5 of the mxc:// URI
    origin              text COLLATE "C" NOT NULL, -- server name in the URI
    media_id            text COLLATE "C" NOT NULL,
    user_nid            bigint REFERENCES users,   -- who uploaded it; null for those of other servers
    sha256              bytea REFERENCES media_files, -- null: nothing was uploaded yet
    size                bigint NOT NULL DEFAULT 0,
    content_type        text NOT NULL DEFAULT 'application/octet-stream',
    filename            text,
    width               integer,                   -- of pictures that came by the native protocol
    height              integer,
    blurhash            text COLLATE "C",
    created_at          bigint NOT NULL,
    uploaded_at         bigint,
    expires_at          bigint,                    -- when a URI without content ends
    last_access_at      bigint NOT NULL,           -- to the day
    quarantined_at      bigint,
    was_referenced      boolean NOT NULL DEFAULT false,
    unreferenced_since  bigint                     -- the last event that named it is gone
);
CREATE INDEX media_files_of ON media (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX media_users ON media (user_nid, uploaded_at) INCLUDE (size) WHERE user_nid IS NOT NULL;
CREATE INDEX media_pending ON media (user_nid, expires_at) WHERE sha256 IS NULL;
CREATE INDEX media_expiry ON media (expires_at) WHERE sha256 IS NULL;
CREATE INDEX media_unreferenced ON media (unreferenced_since) WHERE unreferenced_since IS NOT NULL;
CREATE INDEX media_unused ON media (uploaded_at) WHERE NOT was_referenced;
CREATE INDEX media_access ON media (last_access_at);

-- Which events name which media, also such as is not here (yet). Rows go when an event is redacted
-- or its room is purged.
CREATE TABLE media_references (
    media_uuid  uuid NOT NULL,
    event_nid   bigint NOT NULL,
    room_nid    bigint NOT NULL,
    PRIMARY KEY (media_uuid, event_nid)
);
CREATE INDEX media_references_event ON media_references (event_nid);

-- Pictures of profiles are named by no event until their owner is in a room.
CREATE INDEX users_avatar ON users USING hash (avatar_url) WHERE avatar_url IS NOT NULL;

-- What was made of pictures, by the picture's content. They go with it, or after a while.
CREATE TABLE thumbnails (
    source        bytea NOT NULL REFERENCES media_files ON DELETE CASCADE,
    width         integer NOT NULL,            -- of the size that was chosen, not of the result
    height        integer NOT NULL,
    method        text COLLATE "C" NOT NULL,   -- crop, scale
    animated      boolean NOT NULL,
    content_type  text COLLATE "C" NOT NULL,
    sha256        bytea REFERENCES media_files, -- null: the picture itself is small enough
    created_at    bigint NOT NULL,
    PRIMARY KEY (source, width, height, method, animated)
);
CREATE INDEX thumbnails_file ON thumbnails (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX thumbnails_created ON thumbnails (created_at);

-- What links lead to, for a while.
CREATE TABLE url_previews (
    url_hash    bytea PRIMARY KEY CHECK (octet_length(url_hash) = 32),  -- SHA-256 of the URL
    answer      bytea,                         -- JSON; null: nothing could be found out
    media_uuid  uuid,                          -- of its picture, which goes with it
    created_at  bigint NOT NULL,
    expires_at  bigint NOT NULL
);
CREATE INDEX url_previews_expiry ON url_previews (expires_at);
CREATE INDEX url_previews_created ON url_previews (created_at);
