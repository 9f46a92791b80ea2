//! A register as plain tables, for questions in SQL: residents with their dates, and events. Made from the files of simulated communes, which
//! are given to many communes in turn. Knows nothing of the cube.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use danso_core::calendar::Month;
use danso_core::tier::Tier;
use danso_core::units::UnitList;
use danso_proto::ids::UnitCode;

use crate::cluster::Cluster;
use crate::cube::sqlite;
use crate::data::{Commune, Data};
use crate::world::Place;

/// Its files.
pub struct Register {
    resident: PathBuf,
    event: PathBuf,
    place: PathBuf,
    /// Rows of the residents, former ones too.
    pub residents: u64,
}

/// The tables in a database.
pub enum Loaded<'a> {
    File(PathBuf),
    Server(&'a Cluster),
}

const TABLES: [&str; 3] = [
    "CREATE TABLE resident (unit TEXT NOT NULL, sex TEXT NOT NULL, birth_month BIGINT NOT NULL, marital TEXT NOT NULL, \
     method TEXT NOT NULL, since BIGINT NOT NULL, until BIGINT NOT NULL)",
    "CREATE TABLE event (unit TEXT NOT NULL, kind TEXT NOT NULL, month BIGINT NOT NULL, other TEXT NOT NULL)",
    "CREATE TABLE place (unit TEXT PRIMARY KEY, province TEXT NOT NULL)",
];
const NAMES: [&str; 3] = ["resident", "event", "place"];

/// Behind all months.
const EVER: i32 = 99_999;

struct Person {
    sex: String,
    birth: i32,
    marital: String,
    method: String,
    since: i32,
    until: i32,
}

/// Writes the files: each of the communes `of` gets a simulated one's people, in turn.
pub fn make(dir: &Path, data: &Data, list: &UnitList, of: &[&UnitCode]) -> anyhow::Result<Register> {
    let blocks = data.communes.iter().map(block).collect::<anyhow::Result<Vec<_>>>()?;
    let [resident, event, place] = NAMES.map(|name| dir.join(format!("{name}.csv")));
    let mut residents = 0;
    let mut out = [&resident, &event, &place].map(File::create).into_iter().map(|file| Ok(BufWriter::new(file?)));
    let mut next = || out.next().unwrap_or_else(|| Err(anyhow::anyhow!("three files")));
    let (mut to_resident, mut to_event, mut to_place) = (next()?, next()?, next()?);
    for (code, (persons, events)) in of.iter().zip(blocks.iter().cycle()) {
        for person in persons {
            writeln!(to_resident, "{code},{person}")?;
        }
        for event in events {
            writeln!(to_event, "{code},{event}")?;
        }
        residents += persons.len() as u64;
        let province = list.ancestor_at(code, Tier::Province).map_or("", |unit| unit.code.as_str());
        writeln!(to_place, "{code},{province}")?;
    }
    for mut file in [to_resident, to_event, to_place] {
        file.flush()?;
    }
    Ok(Register { resident, event, place, residents })
}

/// A commune's residents and events, as rows without the unit.
fn block(commune: &Commune) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let (mut persons, mut events) = (HashMap::new(), Vec::new());
    for row in rows(&commune.households)? {
        let person = Person {
            sex: row["sex"].clone(),
            birth: month(&row["birth_date"]),
            marital: row["marital_status"].clone(),
            method: row["contraceptive_method"].clone(),
            since: month(&row["resident_since"]),
            until: EVER,
        };
        persons.insert(row["person_ref"].clone(), person);
    }
    for row in rows(commune.slips()?)? {
        let (kind, at, who) = (row["change_type"].as_str(), month(&row["event_date"]), row["person_ref"].clone());
        events.push(format!("{kind},{at},{}", row["other_unit_code"]));
        let enters = matches!(kind, "birth" | "move_in");
        let new = || Person {
            sex: row["sex"].clone(),
            birth: if kind == "birth" { at } else { month(&row["birth_date"]) },
            marital: String::new(),
            method: String::new(),
            since: at,
            until: EVER,
        };
        if enters {
            persons.entry(who).or_insert_with(new);
        } else if let Some(person) = persons.get_mut(&who) {
            match kind {
                "death" | "move_out" => person.until = at,
                "marriage" => person.marital = "married".to_owned(),
                "divorce" => person.marital = "divorced".to_owned(),
                "contraception" => person.method.clone_from(&row["method"]),
                _ => {}
            }
        }
    }
    let mut lines: Vec<String> = persons
        .into_values()
        .map(|p| format!("{},{},{},{},{},{}", p.sex, p.birth, p.marital, p.method, p.since, p.until))
        .collect();
    lines.sort();
    Ok((lines, events))
}

/// Rows by the names of their columns.
fn rows(file: &Path) -> anyhow::Result<Vec<HashMap<String, String>>> {
    let mut reader = csv::Reader::from_path(file)?;
    Ok(reader.deserialize().collect::<Result<_, _>>()?)
}

/// A date's month as the cube counts it; 0 where there is none: since ever.
fn month(date: &str) -> i32 {
    let mut parts = date.split('-').map(|part| part.parse::<i32>().unwrap_or(0));
    let (year, month) = (parts.next().unwrap_or(0), parts.next().unwrap_or(1));
    if year == 0 { 0 } else { year * 12 + month.max(1) - 1 }
}

impl Register {
    /// Puts them into a database of the same kind as `place`.
    pub fn load<'a>(&self, dir: &Path, place: &Place<'a>) -> anyhow::Result<Loaded<'a>> {
        let files = NAMES.into_iter().zip([&self.resident, &self.event, &self.place]);
        match place {
            Place::File(_) => {
                let path = dir.join("register.db");
                let mut commands: Vec<String> = TABLES.iter().map(|sql| (*sql).to_owned()).collect();
                commands.push("BEGIN".into());
                commands.extend(files.map(|(name, file)| format!(".import --csv \"{}\" {name}", file.display())));
                commands.extend(["COMMIT".into(), "ANALYZE".into()]);
                sqlite(&path, &commands.iter().map(|command| &**command).collect::<Vec<_>>())?;
                Ok(Loaded::File(path))
            }
            Place::Server(cluster, _) => {
                cluster.psql(&TABLES)?;
                for (name, file) in files {
                    cluster.psql(&[&format!("\\copy {name} FROM '{}' CSV NULL '~'", file.display())])?;
                }
                cluster.psql(&["VACUUM ANALYZE", "CHECKPOINT"])?;
                Ok(Loaded::Server(cluster))
            }
        }
    }
}

impl Loaded<'_> {
    /// Residents by sex and full years at the end of a month.
    pub fn pyramid(&self, at: Month) -> anyhow::Result<Duration> {
        let at = at.index();
        self.ask(&format!(
            "SELECT sex, ({at} - birth_month) / 12, COUNT(*) FROM resident WHERE since <= {at} AND until > {at} GROUP BY 1, 2"
        ))
    }

    /// All stocks at the ends of months, and all flows in them, by province. People who count alike are counted together first.
    pub fn year(&self, from: Month, to: Month) -> anyhow::Result<Duration> {
        let (first, last) = (from.index(), to.index());
        let months: Vec<String> = from.through(to).map(|month| format!("SELECT {} AS month", month.index())).collect();
        let age = "(month - birth_month) / 12";
        let woman = format!("sex = 'F' AND {age} BETWEEN 15 AND 49");
        let mut sums = String::new();
        for what in [
            format!("{age} < 15"),
            format!("{age} BETWEEN 15 AND 64"),
            format!("{age} >= 60"),
            format!("{age} >= 65"),
            woman.clone(),
            format!("{woman} AND marital = 'married'"),
            format!("{woman} AND marital = 'married' AND method NOT IN ('', 'none')"),
        ] {
            // Writing into a string does not fail.
            let _ = write!(sums, ", SUM(CASE WHEN {what} THEN n ELSE 0 END)");
        }
        let stocks = format!(
            "WITH alike AS (SELECT province, sex, birth_month, marital, method, CASE WHEN since < {first} THEN {first} ELSE since END AS since,
                                   until, COUNT(*) AS n
                            FROM resident JOIN place ON place.unit = resident.unit
                            WHERE since <= {last} AND until > {first} GROUP BY 1, 2, 3, 4, 5, 6, 7),
                  months AS ({})
             SELECT province, month, SUM(n){sums} FROM alike JOIN months ON since <= month AND until > month GROUP BY 1, 2",
            months.join(" UNION ALL ")
        );
        let flows = format!(
            "SELECT province, kind, month, COUNT(*) FROM event JOIN place ON place.unit = event.unit
             WHERE month BETWEEN {first} AND {last} GROUP BY 1, 2, 3"
        );
        Ok(self.ask(&stocks)? + self.ask(&flows)?)
    }

    /// What a question takes, the client's start taken off.
    fn ask(&self, sql: &str) -> anyhow::Result<Duration> {
        let run = |sql: &str| match self {
            Self::File(path) => sqlite(path, &[sql]),
            Self::Server(cluster) => cluster.psql(&[sql]),
        };
        let (idle, _) = run("SELECT 1")?;
        Ok(run(sql)?.0.saturating_sub(idle))
    }
}
