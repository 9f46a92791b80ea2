-- The cube summed up, so that questions about many people read little (danso-core, rollup). It is made with the next start, when all that is
-- derived is made again by the rules of this version.
CREATE TABLE rollup (
    list  TEXT COLLATE "C" NOT NULL,                 -- version of the unit list, '' for the unit alone
    unit  TEXT COLLATE "C" NOT NULL,
    stock BIGINT NOT NULL,                           -- 1 steps of stocks, 0 flows
    span  BIGINT NOT NULL,                           -- 0 all before 2020, below zero a year, else year * 12 + month - 1
    data  BYTEA  NOT NULL,
    PRIMARY KEY (list, unit, stock, span)
) WITH (fillfactor = 70); -- room for the sums that change with what comes
-- Sums are small numbers in few bytes: there is nothing for the server to compress.
ALTER TABLE rollup ALTER COLUMN data SET STORAGE EXTERNAL;
