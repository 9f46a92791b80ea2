-- The cube again, its rows in groups (danso-core, cube::group): what a unit counts of a measure in a month, or in a year before 2020. It is made with
-- the next start, when all that is derived is made again by the rules of this version.
DROP TABLE cube;
CREATE TABLE cube (
    unit    TEXT COLLATE "C" NOT NULL,
    measure BIGINT NOT NULL,
    month   BIGINT NOT NULL,                         -- the first of the group: year * 12 + month - 1
    data    BYTEA  NOT NULL,
    PRIMARY KEY (unit, measure, month)
) WITH (fillfactor = 80);
-- Rows are small numbers in few bytes: there is nothing for the server to compress.
ALTER TABLE cube ALTER COLUMN data SET STORAGE EXTERNAL;
