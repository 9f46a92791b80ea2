-- Findings say how bad they are and what they saw, and they are answered. All of it is derived, and made again with the next start by the rules
-- of this version.
ALTER TABLE finding ADD COLUMN severity INTEGER NOT NULL DEFAULT 1; -- 1 error: the record does not count, 2 warning, 3 notice
ALTER TABLE finding ADD COLUMN other BLOB;                          -- another change that it is about
ALTER TABLE finding ADD COLUMN seen BLOB NOT NULL DEFAULT x'';      -- danso-core, finding::Sights
-- How many records of a unit do not count, which every answer says.
CREATE INDEX finding_error ON finding (unit, change) WHERE severity = 1;

-- What was answered to findings, whether they are known here or not.
CREATE TABLE finding_answer (
    log       INTEGER NOT NULL REFERENCES log (id),
    sequence  INTEGER NOT NULL,
    answer    BLOB    NOT NULL,                       -- the change that says so
    change    BLOB    NOT NULL,
    reason    TEXT    NOT NULL,                       -- a code that this version may not know
    unit      TEXT    NOT NULL,                       -- in whose name; counts for records of this unit
    withdraws BLOB,                                   -- the answer that holds no longer; NULL: the record is right as it is
    PRIMARY KEY (log, sequence, answer)
) STRICT, WITHOUT ROWID;
-- Whether an answer stands is asked of each: it was withdrawn, or not.
CREATE INDEX finding_answer_change ON finding_answer (change, reason, unit, withdraws);

-- What nodes above say, as the columns of `finding`. What was said by an earlier version is taken for an error.
ALTER TABLE finding_said ADD COLUMN severity INTEGER NOT NULL DEFAULT 1;
ALTER TABLE finding_said ADD COLUMN other BLOB;
ALTER TABLE finding_said ADD COLUMN seen BLOB NOT NULL DEFAULT x'';
