-- Evidence gets what is needed to show it to others: both statements verbatim, what proves that they contradict each other, and who
-- showed the second one. What an older version kept is taken over; what it kept of the first statement only proves nothing, and stays where it was.
ALTER TABLE evidence RENAME TO evidence_0001;

CREATE TABLE evidence (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,       -- its number, for operators
    log      TEXT    NOT NULL,
    at_ms    INTEGER NOT NULL,                        -- our clock when it was seen
    shown_by TEXT    NOT NULL,                        -- NodeId of the peer that showed the second statement; empty: not kept
    entries  INTEGER NOT NULL,                        -- 1: the statements are envelopes, 0: checkpoints
    ours     BLOB    NOT NULL,                        -- what is kept here
    theirs   BLOB    NOT NULL,                        -- what was shown
    root     BLOB,                                    -- between checkpoints of two sizes: the larger tree's root at the smaller size
    proof    BLOB    NOT NULL,                        -- the consistency proof from there, 32 bytes a hash
    UNIQUE (log, theirs)
) STRICT;

INSERT INTO evidence (log, at_ms, shown_by, entries, ours, theirs, root, proof)
SELECT log, at_ms, '', 0, CAST(ours AS BLOB), CAST(theirs AS BLOB), NULL, x'' FROM evidence_0001 WHERE ours IS NOT NULL;
