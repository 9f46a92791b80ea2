-- What became of findings here over time, for all logs; `finding` says only what holds now. Not derived from the entries (when something
-- was noticed is not in them), so that `rebuild` leaves it alone: what an author was told is not told again.
CREATE TABLE finding_state (
    change       BLOB    NOT NULL,
    reason       TEXT    NOT NULL,
    log          INTEGER NOT NULL REFERENCES log (id),
    opened_at_ms INTEGER NOT NULL,                    -- our clock
    closed_at_ms INTEGER,                             -- NULL: open
    told         INTEGER NOT NULL,                    -- 1: its author was told last that it is open
    due          INTEGER NOT NULL,                    -- 1: it opened or closed, and the author may have to be told
    PRIMARY KEY (change, reason)
) STRICT, WITHOUT ROWID;
CREATE INDEX finding_state_due ON finding_state (log) WHERE due = 1;
CREATE INDEX finding_state_told ON finding_state (log) WHERE told = 1;

-- What nodes above say about this node's own records, from the mail that they sent.
CREATE TABLE finding_said (
    giver        TEXT NOT NULL,                       -- NodeId
    change       BLOB NOT NULL,
    reason       TEXT NOT NULL,                       -- a code that this version may not know
    opened_at_ms INTEGER,                             -- giver's clock; NULL: only its end was told
    closed_at_ms INTEGER,                             -- NULL: open
    PRIMARY KEY (giver, change, reason)
) STRICT, WITHOUT ROWID;
