-- The cube summed up, so that questions about many people read little (danso-core, rollup). It is made with the next start, when all that is
-- derived is made again by the rules of this version.
CREATE TABLE rollup (
    list  TEXT    NOT NULL,                           -- version of the unit list, '' for the unit alone
    unit  TEXT    NOT NULL,
    stock INTEGER NOT NULL,                           -- 1 steps of stocks, 0 flows
    span  INTEGER NOT NULL,                           -- 0 all before 2020, below zero a year, else year * 12 + month - 1
    data  BLOB    NOT NULL,
    PRIMARY KEY (list, unit, stock, span)
) STRICT;
