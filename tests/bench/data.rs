//! What goes in: simulated communes, as the files that they would hand over and as the rows of a plain table. Knows nothing of nodes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// A commune's files.
#[derive(Debug)]
pub struct Commune {
    pub code: String,
    pub households: PathBuf,
    /// Change slips; a generated book has none.
    pub changes: Option<PathBuf>,
}

impl Commune {
    /// Its slips, which a simulated commune has.
    pub fn slips(&self) -> anyhow::Result<&Path> {
        self.changes.as_deref().context("a simulated commune has slips")
    }
}

/// Simulated communes.
#[derive(Debug)]
pub struct Data {
    pub communes: Vec<Commune>,
    /// Rows of the household books.
    pub residents: u64,
    /// Change slips.
    pub slips: u64,
    /// How it was made.
    pub made: String,
    /// All rows, household books first, each twelve columns with a text key.
    pub plain: PathBuf,
    pub plain_slips: PathBuf,
}

impl Data {
    /// How much it is, and how it was made.
    pub fn what(&self) -> String {
        format!("{} residents, {} slips: {}", self.residents, self.slips, self.made)
    }
}

/// The repository's root: the benchmark runs where it was built.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The unit list that the communes are in.
pub fn units_file() -> PathBuf {
    repository().join("deploy/units/units-2024.csv")
}

/// Simulates `communes` communes of about `households` households, and a year of theirs.
pub fn simulate(dir: &Path, communes: usize, households: usize) -> anyhow::Result<Data> {
    simulate_months(dir, communes, households, 12)
}

/// The same with so many months of theirs.
pub fn simulate_months(dir: &Path, communes: usize, households: usize, months: usize) -> anyhow::Result<Data> {
    let out = dir.join("simulated");
    let args: Vec<String> = [
        ("--root", "420".to_owned()),
        ("--root", "415".to_owned()),
        ("--communes", communes.to_string()),
        ("--households", households.to_string()),
        ("--start", "2021-01".to_owned()),
        ("--months", months.to_string()),
        ("--seed", "7".to_owned()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect();
    let ended = Command::new("python3")
        .arg(repository().join("tests/tools/simulate_population.py"))
        .arg("--units")
        .arg(units_file())
        .args(&args)
        .arg("--out")
        .arg(&out)
        .output()
        .context("python3 does not start")?;
    ensure!(ended.status.success(), "the simulator failed: {}", String::from_utf8_lossy(&ended.stderr));
    let mut found = Vec::new();
    for entry in fs::read_dir(&out)? {
        let path = entry?.path();
        if path.is_dir() {
            let code = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let changes = Some(path.join("changes.csv"));
            found.push(Commune { code, households: path.join("households.csv"), changes });
        }
    }
    found.sort_by(|a, b| a.code.cmp(&b.code));
    let (plain, plain_slips) = (dir.join("plain-households.csv"), dir.join("plain-changes.csv"));
    let residents = flatten(found.iter().map(|c| &c.households), &plain, BOOK)?;
    let slips = flatten(found.iter().filter_map(|c| c.changes.as_ref()), &plain_slips, SLIPS)?;
    let made = format!("simulate_population.py {}", args.join(" "));
    Ok(Data { communes: found, residents, slips, made, plain, plain_slips })
}

/// What a plain table would keep of a row of the household book; the first two make the key.
const BOOK: [&str; 13] = [
    "unit_code",
    "person_ref",
    "hamlet",
    "household_no",
    "full_name",
    "sex",
    "birth_date",
    "relation_to_head",
    "national_id",
    "health_insurance_no",
    "ethnicity",
    "marital_status",
    "contraceptive_method",
];
/// The same of a slip.
const SLIPS: [&str; 13] = [
    "unit_code",
    "slip_no",
    "household_no",
    "change_type",
    "event_date",
    "reported_on",
    "person_ref",
    "full_name",
    "sex",
    "birth_date",
    "national_id",
    "other_unit_code",
    "method",
];

fn flatten<'a>(files: impl Iterator<Item = &'a PathBuf>, to: &Path, columns: [&str; 13]) -> anyhow::Result<u64> {
    let mut out = csv::Writer::from_path(to)?;
    let mut rows = 0;
    for file in files {
        let mut reader = csv::Reader::from_reader(File::open(file)?);
        let headers = reader.headers()?.clone();
        let at = columns.map(|column| headers.iter().position(|h| h == column).unwrap_or(usize::MAX));
        for record in reader.records() {
            let record = record?;
            let field = |i: usize| record.get(at[i]).unwrap_or_default();
            let key = format!("{}/{}", field(0), field(1));
            out.write_record(std::iter::once(key.as_str()).chain((2..13).map(field)))?;
            rows += 1;
        }
    }
    out.flush()?;
    Ok(rows)
}

/// One commune's household book, larger than the simulator makes one in reasonable time: every name is new, and households have four.
#[derive(Debug)]
pub struct Book {
    pub file: PathBuf,
    pub rows: u64,
    pub bytes: u64,
    pub plain: PathBuf,
}

/// Writes a book of so many rows.
pub fn book(dir: &Path, unit: &str, rows: u64) -> anyhow::Result<Book> {
    let (file, plain) = (dir.join("book.csv"), dir.join("plain-book.csv"));
    let mut out = csv::Writer::from_path(&file)?;
    out.write_record([
        "unit_code",
        "household_no",
        "person_ref",
        "full_name",
        "sex",
        "birth_date",
        "relation_to_head",
        "ethnicity",
    ])?;
    for n in 0..rows {
        let (household, member) = (n / 4 + 1, n % 4);
        let birth = format!("{}-{:02}-{:02}", 1930 + n % 90, n % 12 + 1, n % 28 + 1);
        let sex = if n % 2 == 0 { "M" } else { "F" };
        let reference = format!("{household:07}.{member}");
        let name = format!("Nguyễn Thị {n}");
        let relation = ["head", "spouse", "child", "child"][member as usize];
        out.write_record([unit, &format!("{household:07}"), &reference, &name, sex, &birth, relation, "Kinh"])?;
    }
    out.flush()?;
    let rows = flatten(std::iter::once(&file), &plain, BOOK)?;
    Ok(Book { bytes: fs::metadata(&file)?.len(), file, rows, plain })
}

/// Bytes of a file compressed with `zstd -19`.
pub fn packed(file: &Path, dir: &Path) -> anyhow::Result<u64> {
    let to = dir.join("packed.zst");
    let status = Command::new("zstd").args(["-19", "-q", "-f", "-o"]).arg(&to).arg(file).status();
    let status = status.context("zstd does not start; the baseline needs its command line tool")?;
    ensure!(status.success(), "zstd failed");
    Ok(fs::metadata(&to)?.len())
}

/// The plain table: twelve columns, a text key.
pub const PLAIN: &str = "CREATE TABLE plain (key TEXT PRIMARY KEY, c1 TEXT, c2 TEXT, c3 TEXT, c4 TEXT, c5 TEXT, c6 TEXT, c7 TEXT, c8 TEXT, \
                     c9 TEXT, c10 TEXT, c11 TEXT)";

/// Time that `sqlite3 .import` takes to put the rows of `files` into the plain table in one transaction, the program's start taken off.
pub fn plain_import(dir: &Path, files: &[&Path], rows: u64) -> anyhow::Result<Duration> {
    let database = dir.join("plain.db");
    for suffix in ["", "-wal", "-shm", "-journal"] {
        // Not there in the first round.
        let _ = fs::remove_file(dir.join(format!("plain.db{suffix}")));
    }
    let run = |commands: &[String]| -> anyhow::Result<(Duration, String)> {
        let mut command = Command::new("sqlite3");
        command.arg("-bail").arg(&database).args(commands);
        let start = Instant::now();
        let ended = command.output().context("sqlite3 does not start; the baseline needs its command line tool")?;
        let took = start.elapsed();
        if !ended.status.success() || !ended.stderr.is_empty() {
            bail!("sqlite3 failed: {}", String::from_utf8_lossy(&ended.stderr));
        }
        Ok((took, String::from_utf8_lossy(&ended.stdout).trim().to_owned()))
    };
    run(&[PLAIN.to_owned()])?;
    let (idle, _) = run(&["SELECT 1".to_owned()])?;
    let mut commands = vec!["PRAGMA synchronous = FULL".to_owned(), "BEGIN".to_owned()];
    commands.extend(files.iter().map(|file| format!(".import --csv \"{}\" plain", file.display())));
    commands.push("COMMIT".to_owned());
    let (took, _) = run(&commands)?;
    let (_, count) = run(&["SELECT COUNT(*) FROM plain".to_owned()])?;
    ensure!(count == rows.to_string(), "sqlite3 took {count} of {rows} rows");
    Ok(took.saturating_sub(idle))
}
