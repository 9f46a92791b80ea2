-- Findings say how bad they are and what they saw, and they are answered. All of it is derived, and made again with the next start by the rules
-- of this version.
ALTER TABLE finding ADD COLUMN severity BIGINT NOT NULL DEFAULT 1; -- 1 error: the record does not count, 2 warning, 3 notice
ALTER TABLE finding ADD COLUMN other BYTEA;                        -- another change that it is about
ALTER TABLE finding ADD COLUMN seen BYTEA NOT NULL DEFAULT ''::bytea; -- danso-core, finding::Sights
-- How many records of a unit do not count, which every answer says.
CREATE INDEX finding_error ON finding (unit, change) WHERE severity = 1;

-- What was answered to findings, whether they are known here or not.
CREATE TABLE finding_answer (
    log       BIGINT NOT NULL REFERENCES log (id),
    sequence  BIGINT NOT NULL,
    answer    BYTEA  NOT NULL,                        -- the change that says so
    change    BYTEA  NOT NULL,
    reason    TEXT COLLATE "C" NOT NULL,              -- a code that this version may not know
    unit      TEXT COLLATE "C" NOT NULL,              -- in whose name; counts for records of this unit
    withdraws BYTEA,                                  -- the answer that holds no longer; NULL: the record is right as it is
    PRIMARY KEY (log, sequence, answer)
);
-- Whether an answer stands is asked of each: it was withdrawn, or not.
CREATE INDEX finding_answer_change ON finding_answer (change, reason, unit, withdraws);

-- What nodes above say, as the columns of `finding`. What was said by an earlier version is taken for an error.
ALTER TABLE finding_said ADD COLUMN severity BIGINT NOT NULL DEFAULT 1;
ALTER TABLE finding_said ADD COLUMN other BYTEA;
ALTER TABLE finding_said ADD COLUMN seen BYTEA NOT NULL DEFAULT ''::bytea;
