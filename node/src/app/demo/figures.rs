//! The ministry's table, and its comparison with the truth.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use danso_proto::pb::query::v1 as query;

use super::Voice;
use super::data::{self, EXPECTED, MONTHS};
use super::federation::Federation;
use crate::app::out;

/// What the table shows: measure, heading in English and in Vietnamese.
const COLUMNS: [(&str, &str, &str); 8] = [
    ("residents", "residents", "nhân khẩu"),
    ("households", "households", "số hộ"),
    ("births", "births", "sinh"),
    ("births_order3", "3rd+", "con thứ 3+"),
    ("deaths", "deaths", "chết"),
    ("marriages", "marriages", "kết hôn"),
    ("arrivals", "arrivals", "đến"),
    ("departures", "departures", "đi"),
];

fn question(unit: &str, by: &str, dimensions: &[&str]) -> query::Query {
    query::Query {
        unit: unit.into(),
        by: by.into(),
        from: MONTHS.0,
        to: MONTHS.1,
        dimensions: dimensions.iter().map(|d| (*d).into()).collect(),
        ..Default::default()
    }
}

/// The year, by every tier, as the root sees it.
pub(super) async fn table(voice: &Voice, federation: &Federation) -> anyhow::Result<()> {
    voice.head("The ministry's table, 2021 (stocks at the year's end)", "Bảng của bộ, năm 2021 (số cuối năm)");
    let root = federation.member(data::ROOT)?;
    let headings = COLUMNS.map(|(_, en, vi)| format!(" {:>10}", voice.pick(en, vi)));
    out::show(format_args!("   {:26}{}", "", headings.concat()));
    let mut made_from = 0;
    let units = [(data::ROOT, "")].into_iter().chain(data::BELOW);
    for (unit, _) in units {
        let name = federation.member(unit)?.status().await?.unit_name;
        let (header, cells) = root.pull(question(unit, "", &[]), query::Source::Local).await?;
        made_from = made_from.max(header.frontier.len());
        let values: BTreeMap<&str, i64> = cells.iter().map(|cell| (cell.measure.as_str(), cell.value)).collect();
        let row = COLUMNS.map(|(measure, _, _)| format!(" {:>10}", values.get(measure).copied().unwrap_or(0)));
        out::show(format_args!("   {unit:>5} {name:20}{}", row.concat()));
    }
    voice.say(&format!("   made from {made_from} signed logs"), &format!("   lập từ {made_from} nhật ký đã ký"));
    Ok(())
}

/// Unit, month, measure, sex, age group.
type Key = (String, String, String, String, String);

/// Every figure of the truth, asked at every tier, of the own cube and of the children.
pub(super) async fn check(voice: &Voice, federation: &Federation) -> anyhow::Result<()> {
    voice.head(
        "Every figure against the truth of the simulated people",
        "Đối chiếu từng số với sự thật của dân số mô phỏng",
    );
    let truth = truth()?;
    let root = federation.member(data::ROOT)?;
    for (source, en, vi) in [
        (query::Source::Local, "from the ministry's own logs", "từ nhật ký tại bộ"),
        (query::Source::Children, "by asking the provinces", "hỏi các tỉnh"),
    ] {
        let mut right = 0;
        for (unit, _) in [(data::ROOT, "")].into_iter().chain(data::BELOW) {
            let figures = pull(root, unit, source).await?;
            for (key, value) in truth.iter().filter(|(key, _)| key.0 == unit) {
                let found = figures.get(key).copied().unwrap_or(0);
                ensure!(found == *value, "{key:?}: {found} here, {value} in truth");
                right += 1;
            }
        }
        voice.say(
            &format!("   {en}: {right} of {right} figures are right"),
            &format!("   {vi}: {right}/{right} số liệu đúng"),
        );
    }
    Ok(())
}

/// A unit's figures in the shape of the truth: residents by sex and age, all else by sex.
async fn pull(root: &super::Member, unit: &str, source: query::Source) -> anyhow::Result<BTreeMap<Key, i64>> {
    let mut figures = BTreeMap::new();
    for dimensions in [&["month", "sex"][..], &["month", "sex", "age_group"]] {
        for cell in root.pull(question(unit, "", dimensions), source).await?.1 {
            if (cell.measure == "residents") == (dimensions.len() == 3) {
                let month = format!("{}-{:02}", cell.month / 100, cell.month % 100);
                figures.insert((cell.unit, month, cell.measure, cell.sex, cell.age_group), cell.value);
            }
        }
    }
    Ok(figures)
}

fn truth() -> anyhow::Result<BTreeMap<Key, i64>> {
    let mut truth = BTreeMap::new();
    for row in csv::Reader::from_reader(EXPECTED.as_bytes()).into_deserialize() {
        let (unit, month, measure, sex, age_group, value): (String, String, String, String, String, i64) =
            row.context("expected.csv")?;
        truth.insert((unit, month, measure, sex, age_group), value);
    }
    Ok(truth)
}
