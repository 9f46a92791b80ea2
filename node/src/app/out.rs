//! What verbs print. Whoever reads may have gone (`doctor | head`): that is no fault, and ends nothing that a verb does. Knows no verb.

use std::fmt::Display;
use std::io::{self, Write as _};

use super::Error;

/// Prints a line of data.
///
/// # Errors
/// When it cannot be written, but for want of a reader.
pub(super) fn print(line: impl Display) -> Result<(), Error> {
    // Standard output is written out at the end of each line.
    match writeln!(io::stdout(), "{line}") {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Io { what: "cannot write the output".into(), source })
        }
        _ => Ok(()),
    }
}

/// Writes a line for people. Whoever does not listen misses nothing that programs rely on.
pub(super) fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes over the line for people that was written last.
pub(super) fn progress(line: impl Display) {
    let _ = write!(io::stderr(), "\r{line}");
}

/// Writes a line that is for people although nothing else is printed: what the demo shows.
pub(super) fn show(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}
