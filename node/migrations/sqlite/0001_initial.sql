-- What was said: logs and their entries, verbatim. Never updated, never deleted (parts can be erased).
CREATE TABLE log (
    id              INTEGER PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,          -- LogId
    size            INTEGER NOT NULL,
    root            BLOB    NOT NULL,                 -- RFC 6962 root at `size`
    tree            BLOB    NOT NULL,                 -- right edge of the tree at `size`
    last_leaf       BLOB,
    checkpoint      TEXT,                             -- the author's checkpoint at `size`, when it is here
    recorded_at_ms  INTEGER NOT NULL,                 -- author's clock at the last entry
    committed_at_ms INTEGER NOT NULL,                 -- our clock
    reason          TEXT,                             -- reason code while the log is refused or quarantined
    detail          TEXT
) STRICT;

CREATE TABLE entry (
    log      INTEGER NOT NULL REFERENCES log (id),
    sequence INTEGER NOT NULL,
    leaf     BLOB    NOT NULL,
    set_id   BLOB    NOT NULL,                        -- what the ids of its changes share (12 bytes)
    changes  INTEGER NOT NULL,                        -- how many it has; before the long columns, so that they add up quickly
    envelope BLOB    NOT NULL,                        -- the very bytes that were signed
    parts    BLOB,                                    -- detached identity parts
    PRIMARY KEY (log, sequence)
) STRICT;
CREATE INDEX entry_set ON entry (set_id);             -- from a change to the entry that holds it

-- Which logs say something about which units: who holds all records about a unit, and who does not.
CREATE TABLE log_unit (
    log  INTEGER NOT NULL REFERENCES log (id),
    unit TEXT    NOT NULL,
    PRIMARY KEY (log, unit)
) STRICT, WITHOUT ROWID;

-- What it means: derived from the entries; `rebuild` makes it again.
CREATE TABLE person (
    pk        INTEGER PRIMARY KEY,
    id        BLOB NOT NULL UNIQUE,
    unit      TEXT NOT NULL,
    reference TEXT,                                   -- the collaborator's reference, when the part is here
    data      BLOB NOT NULL                           -- facts, danso-core register
) STRICT;
CREATE INDEX person_reference ON person (unit, reference) WHERE reference IS NOT NULL;

CREATE TABLE household (
    pk     INTEGER PRIMARY KEY,
    id     BLOB NOT NULL,
    unit   TEXT NOT NULL,
    number TEXT,
    data   BLOB NOT NULL,
    UNIQUE (id, unit)
) STRICT;
CREATE INDEX household_number ON household (unit, number) WHERE number IS NOT NULL;

CREATE TABLE cube (
    unit        TEXT    NOT NULL,
    measure     INTEGER NOT NULL,
    month       INTEGER NOT NULL,                     -- year * 12 + month - 1
    recorded    INTEGER NOT NULL,
    sex         INTEGER NOT NULL,                     -- 0 none, 1 male, 2 female
    birth_month INTEGER NOT NULL,                     -- -1 none
    detail      INTEGER NOT NULL,
    other       TEXT    NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (unit, measure, month, recorded, sex, birth_month, detail, other)
) STRICT, WITHOUT ROWID;
CREATE INDEX cube_zero ON cube (unit) WHERE count = 0; -- finds the rows to drop after a correction

CREATE TABLE finding (
    change   BLOB    NOT NULL,
    person   BLOB,
    log      INTEGER NOT NULL REFERENCES log (id),
    sequence INTEGER NOT NULL,
    unit     TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    PRIMARY KEY (change, reason)
) STRICT, WITHOUT ROWID;
CREATE INDEX finding_person ON finding (person) WHERE person IS NOT NULL;

CREATE TABLE period (
    unit   TEXT    NOT NULL,
    month  INTEGER NOT NULL,
    change BLOB    NOT NULL,
    PRIMARY KEY (unit, month)
) STRICT, WITHOUT ROWID;

-- What was typed here: makes an import idempotent.
CREATE TABLE source (
    unit   TEXT    NOT NULL,
    form   INTEGER NOT NULL,
    key    TEXT    NOT NULL,                          -- slip number, or person reference for A0
    digest BLOB,
    change BLOB    NOT NULL,
    person BLOB    NOT NULL,
    birth  INTEGER NOT NULL,                          -- 1 when the change is a birth
    PRIMARY KEY (unit, form, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE waiting (
    unit         TEXT    NOT NULL,
    slip_no      TEXT    NOT NULL,
    missing_unit TEXT    NOT NULL,
    missing      TEXT    NOT NULL,                    -- `person:` and a reference, or `slip:` and a number
    kind         TEXT    NOT NULL,
    slip         BLOB    NOT NULL,
    since_ms     INTEGER NOT NULL,
    reason       TEXT,                                -- why it was refused when what it waits for was there; NULL: it only waits
    PRIMARY KEY (unit, slip_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_missing ON waiting (missing_unit, missing);

-- Others.
CREATE TABLE receipt (
    log    TEXT    NOT NULL,
    giver  TEXT    NOT NULL,
    size   INTEGER NOT NULL,
    time_s INTEGER NOT NULL,
    note   TEXT    NOT NULL,
    PRIMARY KEY (log, giver)
) STRICT, WITHOUT ROWID;

-- Two statements about one log that cannot both be true, each signed by its author.
CREATE TABLE evidence (
    log    TEXT    NOT NULL,
    at_ms  INTEGER NOT NULL,
    ours   TEXT,                                      -- the checkpoint that is kept here
    theirs TEXT    NOT NULL,                          -- the checkpoint that was shown
    PRIMARY KEY (log, theirs)
) STRICT, WITHOUT ROWID;

CREATE TABLE invite (
    secret_hash    BLOB    NOT NULL PRIMARY KEY,
    unit           TEXT    NOT NULL,
    expires_at_ms  INTEGER NOT NULL,
    used_by        TEXT,                              -- node id
    log_public_key BLOB,
    again          INTEGER NOT NULL                   -- 1: the unit has a node or records already, and that is meant
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
