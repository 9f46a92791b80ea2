//! The reject file: refused rows as they came, and behind them where they stood and why they were refused, so that they can be corrected
//! in a spreadsheet and imported again. The import ignores the columns that are added here.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use danso_proto::pb::admin::v1::{ImportHeader, RowProblem};

use crate::exit::Failure;
use crate::files::Draft;
use crate::lang::Lang;

/// Columns that are added behind those of the form.
const ADDED: [&str; 4] = ["file", "line", "reason", "message"];

/// A reject file that is being written.
pub(super) struct RejectFile {
    place: PathBuf,
    several: bool,
    csv: csv::Writer<BufWriter<std::fs::File>>,
    draft: Draft,
    /// Columns of the reject file, once a header was read.
    columns: Option<Vec<String>>,
    /// For each column the position in the rows of the file at hand.
    from: Vec<Option<usize>>,
    file: String,
    /// A row waits for further problems of the same line.
    pending: Option<RowProblem>,
    left: Left,
}

/// What is in a finished reject file.
#[derive(Debug, Default)]
pub(super) struct Left {
    place: PathBuf,
    rows: u64,
    /// Refused rows that came without their fields.
    beyond: u64,
}

impl RejectFile {
    /// Begins a file at `place`. Nothing stands there until it is finished.
    pub(super) fn begin(place: &Path, several: bool) -> Result<Self, Failure> {
        let mut draft = Draft::begin(place)?;
        let file = draft.file().try_clone().map_err(|e| unwritable(place, e))?;
        let csv = csv::WriterBuilder::new().from_writer(BufWriter::new(file));
        Ok(Self {
            place: place.into(),
            several,
            csv,
            draft,
            columns: None,
            from: Vec::new(),
            file: String::new(),
            pending: None,
            left: Left { place: place.into(), ..Left::default() },
        })
    }

    /// The rows that follow are those of another file.
    pub(super) fn next_file(&mut self, file: &str) -> Result<(), Failure> {
        self.write_pending()?;
        self.file = file.into();
        self.from = Vec::new();
        Ok(())
    }

    /// The header of the file at hand. The first one makes the columns of the reject file; columns that an earlier reject file added
    /// are made anew.
    pub(super) fn header(&mut self, header: &ImportHeader) -> Result<(), Failure> {
        let ours = |name: &String| header.ignored.contains(name) && ADDED.contains(&name.as_str());
        if self.columns.is_none() {
            let columns: Vec<String> = header.columns.iter().filter(|name| !ours(name)).cloned().collect();
            let added = ADDED.into_iter().filter(|name| self.several || *name != "file");
            let record = columns.iter().map(String::as_str).chain(added);
            self.csv.write_record(record).map_err(|e| unwritable(&self.place, e))?;
            self.columns = Some(columns);
        }
        let columns = self.columns.as_deref().unwrap_or_default();
        self.from = columns.iter().map(|name| header.columns.iter().position(|other| other == name)).collect();
        let lost = header.columns.iter().find(|name| !ours(name) && !columns.contains(name));
        match lost {
            None => Ok(()),
            Some(name) => Err(Failure::Usage(format!(
                "{}: has a column {name:?} that the files before did not have, so that its rows do not fit into the same reject file; \
                 import it on its own",
                self.file
            ))),
        }
    }

    /// A refused row; further problems of the same line join it.
    pub(super) fn row(&mut self, problem: &RowProblem) -> Result<(), Failure> {
        if let Some(pending) = self.pending.as_mut().filter(|pending| pending.line == problem.line) {
            if pending.fields.is_empty() {
                pending.fields.clone_from(&problem.fields);
            }
            pending.reason = format!("{} {}", pending.reason, problem.reason);
            pending.message = format!("{} {}", pending.message, problem.message);
            return Ok(());
        }
        self.write_pending()?;
        self.pending = Some(problem.clone());
        Ok(())
    }

    fn write_pending(&mut self) -> Result<(), Failure> {
        let Some(row) = self.pending.take() else { return Ok(()) };
        if row.fields.is_empty() || self.columns.is_none() {
            self.left.beyond += 1;
            return Ok(());
        }
        let field = |at: &Option<usize>| at.and_then(|at| row.fields.get(at)).map_or("", String::as_str);
        let line = row.line.to_string();
        let added = [&*self.file, &*line, &*row.reason, &*row.message];
        let added = added.into_iter().skip(usize::from(!self.several));
        let record = self.from.iter().map(field).chain(added);
        self.csv.write_record(record).map_err(|e| unwritable(&self.place, e))?;
        self.left.rows += 1;
        Ok(())
    }

    /// Puts the file in its place. It holds the refused rows of this run and no others, also when there were none.
    pub(super) fn finish(mut self) -> Result<Left, Failure> {
        self.write_pending()?;
        self.csv.flush().map_err(|e| unwritable(&self.place, e))?;
        drop(self.csv);
        self.draft.finish()?;
        Ok(self.left)
    }
}

impl Left {
    /// For people.
    pub(super) fn in_words(&self, lang: Lang) -> String {
        let (place, rows, beyond) = (self.place.display(), self.rows, self.beyond);
        let mut text = match lang {
            Lang::Vi => format!("Dòng bị từ chối trong {place}: {rows}."),
            Lang::En => format!("Refused rows in {place}: {rows}."),
        };
        if rows > 0 {
            text.push_str(lang.of(" Hãy sửa rồi nhập lại tệp đó.", " Correct them and import that file again."));
        }
        if beyond > 0 {
            text.push_str(&match lang {
                Lang::Vi => {
                    format!(" Còn {beyond} dòng nữa không có trong đó: sửa xong, hãy nhập lại tệp gốc để biết tiếp.")
                }
                Lang::En => format!(
                    " {beyond} more are not in it: after correcting, import the original file again to see them."
                ),
            });
        }
        text
    }
}

fn unwritable(place: &Path, error: impl Into<anyhow::Error>) -> Failure {
    Failure::Fault(error.into().context(format!("cannot write {}", place.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(columns: &[&str], ignored: &[&str]) -> ImportHeader {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ImportHeader { columns: own(columns), ignored: own(ignored), ..Default::default() }
    }

    fn problem(line: u64, reason: &str, fields: &[&str]) -> RowProblem {
        RowProblem {
            line,
            reason: reason.into(),
            message: format!("about {reason}"),
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            ..Default::default()
        }
    }

    fn written(several: bool, fill: impl FnOnce(&mut RejectFile)) -> (String, Left) {
        let dir = tempfile::tempdir().expect("temp dir");
        let place = dir.path().join("rejects.csv");
        let mut file = RejectFile::begin(&place, several).expect("begins");
        fill(&mut file);
        let left = file.finish().expect("finishes");
        (std::fs::read_to_string(&place).expect("reads"), left)
    }

    #[test]
    fn a_line_with_two_problems_is_one_row() {
        let (text, left) = written(false, |file| {
            file.next_file("a.csv").expect("file");
            file.header(&header(&["slip_no", "note"], &[])).expect("header");
            file.row(&problem(3, "date_invalid", &["1", "x, \"y\""])).expect("row");
            file.row(&problem(3, "sex_missing", &[])).expect("row");
            file.row(&problem(9, "unit_unknown", &["2", ""])).expect("row");
        });
        let expected = "slip_no,note,line,reason,message\n\
             1,\"x, \"\"y\"\"\",3,date_invalid sex_missing,about date_invalid about sex_missing\n\
             2,,9,unit_unknown,about unit_unknown\n";
        assert_eq!(text, expected);
        assert_eq!(left.rows, 2);
    }

    #[test]
    fn a_reject_file_can_be_rejected_again() {
        let again = header(&["slip_no", "line", "reason", "message"], &["line", "reason", "message"]);
        let (text, _) = written(false, |file| {
            file.header(&again).expect("header");
            file.row(&problem(2, "date_invalid", &["1", "77", "old", "old"])).expect("row");
        });
        assert_eq!(text, "slip_no,line,reason,message\n1,2,date_invalid,about date_invalid\n");
    }

    #[test]
    fn several_files_share_columns_in_any_order() {
        let (text, _) = written(true, |file| {
            file.next_file("a.csv").expect("file");
            file.header(&header(&["slip_no", "note"], &[])).expect("header");
            file.row(&problem(2, "x", &["1", "n"])).expect("row");
            file.next_file("b.csv").expect("file");
            file.header(&header(&["note", "slip_no"], &[])).expect("header");
            file.row(&problem(2, "x", &["m", "2"])).expect("row");
        });
        assert_eq!(text, "slip_no,note,file,line,reason,message\n1,n,a.csv,2,x,about x\n2,m,b.csv,2,x,about x\n");
    }

    #[test]
    fn rows_without_fields_are_counted() {
        let (text, left) = written(false, |file| {
            file.header(&header(&["slip_no"], &[])).expect("header");
            file.row(&problem(2, "x", &[])).expect("row");
        });
        assert_eq!((text.as_str(), left.beyond), ("slip_no,line,reason,message\n", 1));
        assert!(left.in_words(Lang::En).contains("1 more"));
    }
}
