//! The truth to compare with: the simulator's people, what their communes hand over, and the figures counted from the people themselves.
//!
//! It knows the simulator and what `aggregate pull` prints. It may not know how a figure is made.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::node::Node;
use crate::process;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Codes of the communes.
    pub communes: &'a [&'a str],
    /// Median households of a commune.
    pub households: u32,
    /// Months from January 2021.
    pub months: u32,
    /// Same seed, same people.
    pub seed: u64,
    /// Share of faulty extra rows, in percent.
    pub dirt_percent: u32,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self { communes: &[], households: 80, months: 12, seed: 7, dirt_percent: 0 }
    }
}

/// Simulated communes and their true figures.
#[derive(Debug)]
pub struct Truth {
    dir: PathBuf,
    seed: u64,
    to: String,
    figures: BTreeMap<Cell, i64>,
}

/// What a figure is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Unit code.
    pub unit: String,
    /// `YYYY-MM`.
    pub month: String,
    /// Measure as in `expected.csv`.
    pub measure: String,
    /// `M`, `F` or empty.
    pub sex: String,
    /// Age group or empty.
    pub age_group: String,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {} {}", self.unit, self.month, self.measure, self.sex, self.age_group)
    }
}

/// The measures, in groups that share their dimensions.
const QUESTIONS: [(&str, &str); 3] = [
    ("residents", "month,sex,age_group"),
    ("households", "month"),
    (
        "births,births_order3,births_mother_under20,deaths,deaths_under1,marriages,divorces,arrivals,departures,\
         contraception_starts,women_15_49,married_women_15_49,contraception_any,contraception_modern",
        "month,sex",
    ),
];

/// First month of every simulation.
pub const FROM: &str = "2021-01";

impl Truth {
    /// Simulates a plan into `dir`.
    ///
    /// # Panics
    /// When the simulator does not run.
    pub fn simulate(dir: &Path, plan: &Plan<'_>) -> Self {
        fs::create_dir_all(dir).expect("the story's directory can be written");
        let units = dir.join("units.csv");
        fs::write(&units, units_for(plan.communes)).expect("the story's directory can be written");
        let out = dir.join("data");
        let mut args: Vec<String> = vec![repository().join("tests/tools/simulate_population.py").display().to_string()];
        let mut option = |name: &str, value: String| args.extend([format!("--{name}"), value]);
        option("units", units.display().to_string());
        for commune in plan.communes {
            option("root", (*commune).to_owned());
        }
        option("households", plan.households.to_string());
        option("months", plan.months.to_string());
        option("seed", plan.seed.to_string());
        option("dirt", format!("{}", f64::from(plan.dirt_percent) / 100.0));
        option("out", out.display().to_string());
        process::run("python3", &args).must(process::DONE);
        let text = fs::read_to_string(out.join("expected.csv")).expect("the simulator writes expected.csv");
        let to = format!("{}-{:02}", 2021 + (plan.months - 1) / 12, (plan.months - 1) % 12 + 1);
        Self { dir: out, seed: plan.seed, to, figures: figures(&text) }
    }

    /// Last month simulated, `YYYY-MM`.
    pub fn to(&self) -> &str {
        &self.to
    }

    /// A commune's household book.
    pub fn households(&self, commune: &str) -> PathBuf {
        self.dir.join(commune).join("households.csv")
    }

    /// A commune's change slips.
    pub fn changes(&self, commune: &str) -> PathBuf {
        self.dir.join(commune).join("changes.csv")
    }

    /// The faulty rows among a commune's slips: (`slip_no`, fault).
    pub fn faults(&self, commune: &str) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.dir.join(commune).join("faults.csv")).expect("dirt was asked for");
        rows(&text).map(|row| (row["slip_no"].clone(), row["fault"].clone())).collect()
    }

    /// The true figure of a cell; 0 when the simulation has none.
    pub fn figure(&self, cell: &Cell) -> i64 {
        self.figures.get(cell).copied().unwrap_or(0)
    }

    /// The sum of a measure over a unit's months, sexes and ages.
    pub fn total(&self, unit: &str, measure: &str) -> i64 {
        self.figures.iter().filter(|(cell, _)| cell.unit == unit && cell.measure == measure).map(|(_, n)| n).sum()
    }

    /// Compares all that `node` says about `unit` with the truth. `source` is `local` or `children`.
    ///
    /// # Panics
    /// With the first differences.
    #[track_caller]
    pub fn holds_at(&self, node: &Node, unit: &str, source: &str) {
        self.holds_for(node, unit, source, &[unit], &[]);
    }

    /// As [`Truth::holds_at`], by the units of a tier below: `below` are those that the simulation knows.
    #[track_caller]
    pub fn holds_by(&self, node: &Node, unit: &str, tier: &str, below: &[&str]) {
        self.holds_for(node, unit, "local", below, &["--by", tier]);
    }

    #[track_caller]
    fn holds_for(&self, node: &Node, unit: &str, source: &str, units: &[&str], more: &[&str]) {
        let mut wrong = Vec::new();
        let mut compared = 0;
        for (measures, dimensions) in QUESTIONS {
            let mut args =
                vec!["aggregate", "pull", "--unit", unit, "--from", FROM, "--to", &self.to, "--measure", measures];
            args.extend(["--dimensions", dimensions, "--source", source, "--output", "csv"]);
            args.extend_from_slice(more);
            let said = figures(&node.admin(args).printed());
            let asked =
                |cell: &&Cell| units.contains(&cell.unit.as_str()) && measures.split(',').any(|m| m == cell.measure);
            // What either side knows: a cell that one lacks is a zero.
            let mut cells: Vec<&Cell> = self.figures.keys().filter(asked).chain(said.keys()).collect();
            cells.sort();
            cells.dedup();
            for cell in cells {
                compared += 1;
                let (truth, answer) = (self.figure(cell), said.get(cell).copied().unwrap_or(0));
                if truth != answer {
                    wrong.push(format!("{cell}: truth {truth}, {} says {answer}", node.unit));
                }
            }
        }
        assert!(compared > 0, "nothing to compare for {unit}");
        let first = wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
        assert!(
            wrong.is_empty(),
            "{} of {compared} figures differ (unit {unit}, {source}, seed {}):\n{first}",
            wrong.len(),
            self.seed
        );
    }
}

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the repository")
}

/// The unit list of the stories.
pub fn units_file() -> PathBuf {
    repository().join("deploy/units/units-2024.csv")
}

/// The row of a unit in the list: column to value.
pub fn unit_row(code: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(units_file()).expect("the unit list is in the repository");
    rows(&text).find(|row| row["code"] == code).unwrap_or_else(|| panic!("{code} is not in the unit list"))
}

/// The unit list for the simulator, less the communes that share a district with simulated ones and are not simulated: who moves there
/// would arrive, in the truth, in a district whose slips nobody writes.
fn units_for(communes: &[&str]) -> String {
    let parents: Vec<String> = communes.iter().map(|code| unit_row(code)["parent_code"].clone()).collect();
    let text = fs::read_to_string(units_file()).expect("the unit list is in the repository");
    let kept = text.lines().filter(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        communes.contains(&fields[0]) || !parents.iter().any(|parent| fields[3] == parent)
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// The figures of a CSV text in the shape of `expected.csv`, zeros left out.
///
/// # Panics
/// When a column is missing, a number does not read, or a cell stands twice.
fn figures(text: &str) -> BTreeMap<Cell, i64> {
    let mut all = BTreeMap::new();
    for mut row in rows(text) {
        let mut take =
            |column: &str| row.remove(column).unwrap_or_else(|| panic!("no column `{column}` in the figures"));
        let value = take("value");
        let cell = Cell {
            unit: take("unit_code"),
            month: take("month"),
            measure: take("measure"),
            sex: take("sex"),
            age_group: take("age_group"),
        };
        let value: i64 = value.parse().unwrap_or_else(|e| panic!("{cell}: `{value}` is not a figure: {e}"));
        if value != 0 {
            assert!(all.insert(cell.clone(), value).is_none(), "{cell} stands twice");
        }
    }
    all
}

/// The rows of a CSV text, each column to value.
pub fn rows(text: &str) -> impl Iterator<Item = BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers().expect("a CSV text has a header").iter().map(str::to_owned).collect();
    let records: Vec<csv::StringRecord> = reader.records().map(|r| r.expect("the CSV text reads")).collect();
    records.into_iter().map(move |record| header.iter().cloned().zip(record.iter().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_plan_gives_the_same_truth_and_nobody_arrives_where_nobody_writes() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan { communes: &["17065", "16738"], ..Plan::default() };
        let (a, b) = (Truth::simulate(&dir.path().join("a"), &plan), Truth::simulate(&dir.path().join("b"), &plan));
        assert_eq!(a.figures, b.figures);
        assert_eq!(a.total("VN", "residents"), a.total("40", "residents"));
        assert_eq!(a.total("40", "residents"), a.total("17065", "residents") + a.total("16738", "residents"));
        let mut units: Vec<&str> = a.figures.keys().map(|cell| cell.unit.as_str()).collect();
        units.dedup();
        let of_415: Vec<&str> = units.into_iter().filter(|unit| unit_row(unit)["parent_code"] == "415").collect();
        assert_eq!(of_415, ["16738"]);
    }
}
