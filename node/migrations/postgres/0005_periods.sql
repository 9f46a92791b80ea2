-- Months. When a month was declared complete, by the clock of who says so. What is derived is made anew by the rules of this version.
ALTER TABLE period ADD COLUMN recorded_at_ms BIGINT NOT NULL DEFAULT 0;

-- How many people live in single units, as steps: what the sums of `rollup` say of that, without their content.
CREATE TABLE population (
    unit      TEXT COLLATE "C" NOT NULL,
    span      BIGINT NOT NULL,                        -- as in `rollup`
    residents BIGINT NOT NULL,
    PRIMARY KEY (unit, span)
) WITH (fillfactor = 70); -- room for the counts that change with what comes

-- When entries were here: how large a log was by the end of a minute. Not in the entries, so that `rebuild` leaves it alone.
CREATE TABLE arrival (
    log     BIGINT NOT NULL REFERENCES log (id),
    at_step BIGINT NOT NULL,                          -- minutes since 1970, our clock; 0: before this was kept
    size    BIGINT NOT NULL,
    PRIMARY KEY (log, at_step)
);
INSERT INTO arrival (log, at_step, size) SELECT id, 0, size FROM log WHERE size > 0 AND name LIKE '%/records';

-- Which logs speak about a unit.
CREATE INDEX log_unit_unit ON log_unit (unit, log);
