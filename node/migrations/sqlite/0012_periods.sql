-- Months. When a month was declared complete, by the clock of who says so. What is derived is made anew by the rules of this version.
ALTER TABLE period ADD COLUMN recorded_at_ms INTEGER NOT NULL DEFAULT 0;

-- How many people live in single units, as steps: what the sums of `rollup` say of that, without their content.
CREATE TABLE population (
    unit      TEXT    NOT NULL,
    span      INTEGER NOT NULL,                       -- as in `rollup`
    residents INTEGER NOT NULL,
    PRIMARY KEY (unit, span)
) STRICT, WITHOUT ROWID;

-- When entries were here: how large a log was by the end of a minute. Not in the entries, so that `rebuild` leaves it alone.
CREATE TABLE arrival (
    log     INTEGER NOT NULL REFERENCES log (id),
    at_step INTEGER NOT NULL,                         -- minutes since 1970, our clock; 0: before this was kept
    size    INTEGER NOT NULL,
    PRIMARY KEY (log, at_step)
) STRICT, WITHOUT ROWID;
INSERT INTO arrival (log, at_step, size) SELECT id, 0, size FROM log WHERE size > 0 AND name LIKE '%/records';

-- Which logs speak about a unit.
CREATE INDEX log_unit_unit ON log_unit (unit, log);
