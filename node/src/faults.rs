//! Points at which a test lets this node's disk fail: every begin, write statement and commit of the store, every step of a file that
//! must be whole. Knows paths and nothing of what is written.
//!
//! Outside of this crate's own tests [`pass`] is an empty function, so that what is shipped has neither a switch nor a branch: there is
//! nothing that a configuration, or an attacker, could turn on.

/// What is about to be done; [`Point::Committed`] alone comes after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A write transaction begins.
    Begin,
    /// A statement that writes.
    Statement,
    /// A commit.
    Commit,
    /// A commit is done, and nobody was told yet.
    Committed,
    /// A file is made under a name that is not its own.
    Create,
    /// It gets its content.
    Write,
    /// Its content is synced.
    Sync,
    /// A whole file is about to leave its name for another one.
    Leave,
    /// It gets its own name.
    Name,
    /// A name is taken away.
    Remove,
    /// The names in a directory are synced.
    SyncNames,
}

#[cfg(not(test))]
#[inline(always)]
pub(crate) fn pass(_: &std::path::Path, _: Point) -> std::io::Result<()> {
    Ok(())
}

/// Up to how many bytes a database is checked and sealed as a whole. In tests a directory's database can count as larger than it is.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn sealed_up_to(_: &std::path::Path, bytes: u64) -> u64 {
    bytes
}

#[cfg(test)]
pub(crate) use plan::{pass, sealed_up_to};

#[cfg(test)]
pub(crate) mod harness;
#[cfg(test)]
pub(crate) mod place;
#[cfg(test)]
pub(crate) mod plan;
