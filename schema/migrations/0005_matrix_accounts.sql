-- What accounts need for the Matrix client-server API.

-- Accounts made over the Matrix API have no e-mail address.
ALTER TABLE accounts ALTER COLUMN email DROP NOT NULL;
ALTER TABLE accounts ALTER COLUMN email_key DROP NOT NULL;
ALTER TABLE accounts ADD COLUMN is_guest boolean NOT NULL DEFAULT false;
ALTER TABLE accounts ADD COLUMN locked_at bigint;        -- no endpoint but logout works
ALTER TABLE accounts ADD COLUMN suspended_at bigint;     -- may read, not write
ALTER TABLE accounts ADD COLUMN appservice text COLLATE "C";  -- ID of the one it was made by

-- Fields of profiles besides display name and picture. value: JSON.
CREATE TABLE profile_fields (
    user_nid  bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    key       text COLLATE "C" NOT NULL,
    value     bytea NOT NULL,
    PRIMARY KEY (user_nid, key)
);

ALTER TABLE accounts ADD COLUMN erased_at bigint;        -- what the owner wrote shall be forgotten

-- A session without a refresh token is kept alive by use: its access token does not expire by itself.
-- previous_refresh_hash stays good until the tokens that replaced it are used, so that a client that
-- lost an answer can ask again. generation: how often the tokens were replaced.
ALTER TABLE sessions ADD COLUMN previous_refresh_hash bytea;    -- SHA-256
ALTER TABLE sessions ADD COLUMN generation integer NOT NULL DEFAULT 0;

-- Tokens that log another client in, once.
CREATE TABLE login_tokens (
    token_hash  bytea PRIMARY KEY,    -- SHA-256
    user_nid    bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at  bigint NOT NULL
);
CREATE INDEX login_tokens_expiry ON login_tokens (expires_at);

-- Tokens with which others may ask this server who somebody is (OpenID).
CREATE TABLE openid_tokens (
    token_hash  bytea PRIMARY KEY,    -- SHA-256
    user_nid    bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at  bigint NOT NULL
);
CREATE INDEX openid_tokens_expiry ON openid_tokens (expires_at);
