//! Rows that are new. SQLite is told as it is of others; PostgreSQL gets them with `COPY`, which looks for no conflicts, takes a page of rows at a
//! time, and puts rows away while further ones are still being made here.

use super::{Served, Transaction, Value, or_lost};
use crate::store::{Result, Tx};

/// Begins PostgreSQL's binary format: its signature, no flags, no extension.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Ends it: a row of -1 fields.
const END: [u8; 2] = (-1_i16).to_be_bytes();
/// Bytes that are sent at a time.
const PIECE: usize = 64 * 1024;

impl Tx {
    /// Adds rows that are not there yet. One that is there is an error, and the transaction with it.
    pub(in crate::store) async fn add_many(
        &mut self,
        table: &str,
        columns: &str,
        rows: impl IntoIterator<Item = impl Into<Vec<Value>> + AsRef<[Value]>>,
    ) -> Result<()> {
        if let Transaction::Sqlite(_) = &self.inner {
            let sql = format!("INSERT INTO {table} ({columns}) {{rows}}");
            return self.write_many(&sql, [], rows).await.map(drop);
        }
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        self.pass()?;
        let failed = self.failed();
        let Transaction::Postgres(Served { tx, lost, .. }) = &mut self.inner else { return Ok(()) };
        // Whoever stops waiting in the middle has lost the server: nothing else is ever asked over this connection.
        let copied = async {
            let sql = format!("COPY {table} ({columns}) FROM STDIN WITH (FORMAT binary)");
            let mut copy = tx.copy_in_raw(&sql).await?;
            let mut piece = HEAD.to_vec();
            for row in rows {
                put(&mut piece, row.as_ref());
                if piece.len() >= PIECE {
                    copy.send(&piece[..]).await?;
                    piece.clear();
                }
            }
            piece.extend_from_slice(&END);
            copy.send(piece).await?;
            copy.finish().await
        };
        or_lost(lost, copied).await.map(drop).map_err(failed)
    }
}

/// A row: its number of fields, then each field's length and bytes.
fn put(out: &mut Vec<u8>, row: &[Value]) {
    // A table has a few columns.
    out.extend_from_slice(&(row.len() as i16).to_be_bytes());
    for value in row {
        match value {
            Value::Int(Some(number)) => field(out, &number.to_be_bytes()),
            Value::Text(Some(text)) => field(out, text.as_bytes()),
            Value::Blob(Some(bytes)) => field(out, bytes),
            Value::Int(None) | Value::Text(None) | Value::Blob(None) => {
                out.extend_from_slice(&(-1_i32).to_be_bytes());
            }
        }
    }
}

fn field(out: &mut Vec<u8>, bytes: &[u8]) {
    // What a database keeps in one place is far below 2 GiB.
    out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
    out.extend_from_slice(bytes);
}
