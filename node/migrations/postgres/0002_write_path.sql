-- What is replaced in place needs room beside it, and no index on what is replaced: then no index is written to (HOT). Rows of the cube that came to
-- nothing are named by the statement that made them so.
DROP INDEX cube_zero;
ALTER TABLE cube SET (fillfactor = 85);
ALTER TABLE person SET (fillfactor = 90);
ALTER TABLE household SET (fillfactor = 90);
