//! What every verb is given: where the node is, how to print, in which language, and where to write. It may not know any verb.

use std::fmt::Display;
use std::io::{Write, stdin};
use std::path::PathBuf;

use serde_json::Value;

use crate::exit::Failure;
use crate::lang::Lang;
use crate::output::{Format, Look, Sheet};

/// A place to write to.
pub type Sink = Box<dyn Write + Send + Sync>;

/// What every verb is given.
pub struct Context {
    /// Data directory of the node.
    pub data: Option<PathBuf>,
    /// How data is printed.
    pub format: Format,
    /// Language of what people read.
    pub lang: Lang,
    /// For data.
    pub out: Sink,
    /// For everything else.
    pub err: Sink,
    /// Columns of the terminal behind `out`, if it is one.
    pub out_width: Option<u16>,
    /// Columns of the terminal behind `err`, if it is one.
    pub err_width: Option<u16>,
    /// Bold headings are welcome.
    pub styled: bool,
    /// Somebody sits there who can be asked.
    pub interactive: bool,
}

impl Context {
    /// Writes data.
    pub fn print(&mut self, data: impl AsRef<[u8]>) -> Result<(), Failure> {
        let written = self.out.write_all(data.as_ref());
        written.map_err(of_output)
    }

    /// Says what will happen, and asks before it is done, because it cannot be undone. `yes`: it was answered beforehand.
    pub fn confirm(&mut self, yes: bool, what: &str) -> Result<(), Failure> {
        self.note(what);
        if yes {
            return Ok(());
        }
        if !self.interactive {
            let nobody = self
                .lang
                .of("không có ai để hỏi: thêm --yes nếu chắc chắn", "nobody is there to ask: add --yes to go on");
            return Err(Failure::Usage(nobody.into()));
        }
        self.note(self.lang.of("Gõ yes để tiếp tục:", "Type yes to go on:"));
        let mut line = String::new();
        stdin().read_line(&mut line).map_err(anyhow::Error::from)?;
        match line.trim() {
            "yes" => Ok(()),
            _ => Err(Failure::Usage(self.lang.of("không làm gì cả", "nothing was done").into())),
        }
    }

    /// Writes a line for people. Whoever does not listen misses nothing that programs rely on.
    pub fn note(&mut self, line: impl Display) {
        // What came before stands before it, also when both go to one terminal.
        let _ = self.out.flush();
        let _ = writeln!(self.err, "{line}");
    }

    /// Writes a sheet in the chosen format. An empty table is a sentence beside the data: an empty page tells nobody anything.
    pub fn sheet(&mut self, sheet: &Sheet) -> Result<(), Failure> {
        match self.format {
            Format::Table if sheet.is_empty() => {
                let none = self.lang.of("(không có)", "(none)");
                self.note(none);
                Ok(())
            }
            Format::Table => self.print(sheet.to_table(self.look())),
            Format::Json => self.json(&sheet.to_json()),
            Format::Csv => sheet.write_csv(&mut self.out).map_err(of_csv),
        }
    }

    /// Writes a JSON value.
    pub fn json(&mut self, value: &Value) -> Result<(), Failure> {
        self.print(format!("{value:#}\n"))
    }

    /// Writes out what is buffered.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(of_output)
    }

    /// How tables among the data look.
    pub fn look(&self) -> Look {
        Look { lang: self.lang, width: self.out_width, styled: self.styled && self.out_width.is_some() }
    }

    /// How tables beside the data look.
    pub fn look_beside(&self) -> Look {
        Look { lang: self.lang, width: self.err_width, styled: self.styled && self.err_width.is_some() }
    }
}

/// The failure to write data.
pub fn of_output(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Fault(anyhow::Error::new(error).context("cannot write the output")),
    }
}

/// The failure to write data as CSV.
pub fn of_csv(error: csv::Error) -> Failure {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => of_output(error),
        other => Failure::Fault(anyhow::anyhow!("cannot write the output as CSV: {other:?}")),
    }
}
