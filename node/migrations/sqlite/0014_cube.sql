-- The cube again, its rows in groups (danso-core, cube::group): what a unit counts of a measure in a month, or in a year before 2020. It is made with
-- the next start, when all that is derived is made again by the rules of this version.
DROP TABLE cube;
CREATE TABLE cube (
    unit    TEXT    NOT NULL,
    measure INTEGER NOT NULL,
    month   INTEGER NOT NULL,                         -- the first of the group: year * 12 + month - 1
    data    BLOB    NOT NULL,
    PRIMARY KEY (unit, measure, month)
) STRICT;
