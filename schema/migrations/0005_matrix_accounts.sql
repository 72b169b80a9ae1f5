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
