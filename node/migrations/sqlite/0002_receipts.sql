-- When this node's own entries became durable above: a row for each receipt by which a giver covered more entries than before. The first
-- row that covers an entry says since when. Given out by others and signed, so that `rebuild` leaves it alone.
CREATE TABLE receipt_step (
    log    TEXT    NOT NULL,
    giver  TEXT    NOT NULL,
    size   INTEGER NOT NULL,
    time_s INTEGER NOT NULL,
    note   TEXT    NOT NULL,
    PRIMARY KEY (log, giver, size)
) STRICT, WITHOUT ROWID;

INSERT INTO receipt_step (log, giver, size, time_s, note)
SELECT log, giver, size, time_s, note FROM receipt
WHERE substr(log, 1, instr(log, '/') - 1) = (SELECT CAST(value AS TEXT) FROM meta WHERE key = 'node');
