//! Bytes of a CSV file on their way to its reader: text in UTF-8, rows of bounded length, quotes that end. This room may not know
//! fields.

use std::collections::VecDeque;
use std::io::{self, Read};

use danso_core::forms::FileProblem;
use danso_proto::refusal::Reason;

use super::{ROW_BYTES_MAX, cut};

const BUFFER: usize = 64 * 1024;

/// Hands bytes on as long as they are good. At the first that is not it ends with an error and keeps the problem.
pub(super) struct Guard<R> {
    source: R,
    buffer: Box<[u8]>,
    /// Bytes `from..to` of the buffer are good and not handed on yet; `to..filled` is the beginning of a character.
    from: usize,
    to: usize,
    filled: usize,
    at_end: bool,
    problem: Option<FileProblem>,
    delimiter: u8,
    state: State,
    line: u64,
    row_line: u64,
    row_bytes: u64,
    in_row: bool,
    /// Lines on which the rows begin that were handed on and not asked for: no more than the buffers have.
    starts: VecDeque<u64>,
    last: u8,
}

/// Where in a row the bytes are, as RFC 4180 has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    QuoteInQuoted,
}

impl<R: Read> Guard<R> {
    /// Reads the first bytes and finds the delimiter: in Vietnamese settings spreadsheets write semicolons.
    pub(super) fn new(source: R) -> Result<Self, FileProblem> {
        let mut guard = Self {
            source,
            buffer: vec![0; BUFFER].into(),
            from: 0,
            to: 0,
            filled: 0,
            at_end: false,
            problem: None,
            delimiter: b',',
            state: State::FieldStart,
            line: 1,
            row_line: 1,
            row_bytes: 0,
            in_row: false,
            starts: VecDeque::new(),
            last: b'\n',
        };
        guard.read_more().map_err(|e| cut(&e))?;
        let start = &guard.buffer[..guard.filled];
        if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            return Err(FileProblem::new(Reason::FileEncoding, Some(1), "UTF-16"));
        }
        if start.starts_with(b"\xef\xbb\xbf") {
            guard.from = 3;
        }
        let header =
            start[guard.from..].split(|b| *b == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
        let count = |delimiter: u8| header.iter().filter(|b| **b == delimiter).count();
        // The first of the largest count; a comma when there is none at all.
        guard.delimiter = [b'\t', b';', b','].into_iter().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',');
        guard.to = guard.from;
        guard.check();
        Ok(guard)
    }

    pub(super) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// The problem, after an error; once.
    pub(super) fn take_problem(&mut self) -> Option<FileProblem> {
        self.problem.take()
    }

    /// The line on which the next row begins. To be asked once for each row: the reader's own count is a line behind after CR LF and
    /// after empty lines.
    pub(super) fn next_row_line(&mut self) -> u64 {
        self.starts.pop_front().unwrap_or(self.line)
    }

    /// Whether all was handed on and it ended in the middle of a line.
    pub(super) fn ended_inside_line(&self) -> bool {
        self.at_end && !matches!(self.last, b'\n' | b'\r')
    }

    /// Fills the buffer, so that the first one has the whole header however the source is cut into pieces.
    fn read_more(&mut self) -> io::Result<()> {
        while !self.at_end && self.filled < self.buffer.len() {
            match self.source.read(&mut self.buffer[self.filled..]) {
                Ok(0) => self.at_end = true,
                Ok(n) => self.filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Extends the good bytes as far as the buffer has them.
    fn check(&mut self) {
        let fresh = &self.buffer[self.to..self.filled];
        let (good, broken) = match std::str::from_utf8(fresh) {
            Ok(_) => (fresh.len(), false),
            Err(e) => (e.valid_up_to(), e.error_len().is_some()),
        };
        let cut_short = self.at_end && !broken && good < fresh.len();
        // Binary files are full of such bytes; that says more than the first one that is no UTF-8.
        let binary = broken && fresh.iter().any(|b| is_binary(*b));
        for i in self.to..self.to + good {
            let byte = self.buffer[i];
            if let Err(problem) = self.step(byte) {
                self.problem = Some(problem);
                self.to = i;
                return;
            }
        }
        self.to += good;
        if broken || cut_short {
            let reason = match (cut_short, binary) {
                (true, _) => Reason::FileTruncated,
                (_, true) => Reason::FileFormat,
                _ => Reason::FileEncoding,
            };
            self.problem = Some(FileProblem::new(reason, Some(self.line), ""));
        } else if self.at_end && self.state == State::Quoted {
            self.problem = Some(FileProblem::new(Reason::FileTruncated, Some(self.row_line), "\""));
        }
    }

    fn step(&mut self, byte: u8) -> Result<(), FileProblem> {
        if is_binary(byte) {
            return Err(FileProblem::new(Reason::FileFormat, Some(self.line), ""));
        }
        let last = std::mem::replace(&mut self.last, byte);
        self.row_bytes += 1;
        self.state = match (self.state, byte) {
            (State::FieldStart, b'"') => State::Quoted,
            (State::Quoted, b'"') => State::QuoteInQuoted,
            (State::Quoted, _) => State::Quoted,
            (State::QuoteInQuoted, b'"') => State::Quoted,
            (_, b'\n' | b'\r') => State::FieldStart,
            (_, byte) if byte == self.delimiter => State::FieldStart,
            _ => State::Plain,
        };
        let end_of_line = matches!(byte, b'\n' | b'\r');
        if end_of_line && self.state == State::FieldStart {
            (self.in_row, self.row_bytes) = (false, 0);
        } else if !self.in_row {
            self.in_row = true;
            self.row_line = self.line;
            self.starts.push_back(self.line);
        }
        // CR LF is one end of line, CR alone another.
        self.line += u64::from(end_of_line && !(byte == b'\n' && last == b'\r'));
        if self.row_bytes > ROW_BYTES_MAX {
            return Err(FileProblem::new(Reason::FieldTooLong, Some(self.row_line), format!("> {ROW_BYTES_MAX}")));
        }
        Ok(())
    }
}

/// Control characters that no text has.
fn is_binary(byte: u8) -> bool {
    byte < b'\t' || (0x0e..0x20).contains(&byte)
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.from == self.to {
            if self.problem.is_some() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.at_end {
                return Ok(0);
            }
            self.buffer.copy_within(self.to..self.filled, 0);
            self.filled -= self.to;
            (self.from, self.to) = (0, 0);
            match self.read_more() {
                Ok(()) => self.check(),
                // What came before the cut may be good, and is read first.
                Err(e) => {
                    self.check();
                    self.problem.get_or_insert(FileProblem { line: Some(self.line), ..cut(&e) });
                }
            }
        }
        let n = out.len().min(self.to - self.from);
        out[..n].copy_from_slice(&self.buffer[self.from..self.from + n]);
        self.from += n;
        Ok(n)
    }
}
