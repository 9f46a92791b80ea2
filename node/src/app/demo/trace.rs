//! One figure traced down to a signed change set, proven with the anchor alone; and one byte changed, found.

use anyhow::{Context as _, ensure};
use danso_proto::change::{Body, ChangeSet};
use danso_proto::envelope::Envelope;
use danso_proto::ids::Fingerprint;
use danso_proto::pb::query::v1 as query;
use danso_proto::proof;

use super::Voice;
use super::data::{self, COMMUNES, MONTHS};
use super::federation::Federation;

pub(super) async fn trace(voice: &Voice, federation: &Federation, anchor: Fingerprint) -> anyhow::Result<()> {
    let root = federation.member(data::ROOT)?;
    let unit = COMMUNES[0].unit;
    voice.head("One figure, traced down", "Truy nguyên một con số");
    let question = query::Query {
        unit: unit.into(),
        from: MONTHS.0,
        to: MONTHS.1,
        measures: vec!["births".into()],
        dimensions: vec!["month".into()],
        ..Default::default()
    };
    let (_, cells) = root.pull(question, query::Source::Local).await?;
    let cell = cells.first().context("nobody was born in the demo's first commune")?;
    voice.say(
        &format!("   births in {unit}, {}: {}", month(cell.month), cell.value),
        &format!("   số sinh ở {unit}, tháng {}: {}", month(cell.month), cell.value),
    );
    // The commune's own log, as the root holds it.
    let prefix = format!("{unit}-");
    let logs = root.logs().await?;
    let log = logs.iter().find(|log| log.log.starts_with(&prefix) && log.log.ends_with("/records"));
    let log = log.context("the commune's log is not at the root")?.log.clone();
    let mut births = 0;
    let mut last = None;
    for (sequence, envelope) in (0u64..).zip(root.entries(&log).await?) {
        let set = ChangeSet::decode(Envelope::decode(envelope)?.payload())?;
        let here: Vec<_> = set
            .ids()
            .filter(|(_, change)| matches!(&change.body, Body::Birth(birth) if birth.birth_month == cell.month))
            .collect();
        for (id, change) in &here {
            let reported = change.reported_on.unwrap_or_default();
            voice.say(
                &format!("      change {id}, reported {reported}, entry {sequence} of {log}"),
                &format!("      biến động {id}, báo ngày {reported}, mục {sequence} của {log}"),
            );
        }
        births += here.len() as i64;
        last = if here.is_empty() { last } else { Some(sequence) };
    }
    ensure!(births == cell.value, "{births} births in the log, {} in the figure", cell.value);
    let sequence = last.context("no entry holds a birth of that month")?;

    // The commune itself holds the receipts of every tier.
    let file = federation.member(unit)?.prove(&log, sequence).await?;
    let proven = proof::check(&file, &anchor).context("the proof does not hold")?;
    voice.say(
        &format!(
            "   proof file of {} bytes, checked from the anchor alone: entry {} of {} in a log of {}, {} receipts, by way of {} nodes",
            file.len(),
            proven.sequence,
            proven.log,
            proven.size,
            proven.receipts.len(),
            proven.chain.len()
        ),
        &format!(
            "   tệp chứng minh {} byte, kiểm chỉ bằng neo tin cậy: mục {} của {} trong nhật ký {} mục, {} biên nhận, qua {} nút",
            file.len(),
            proven.sequence,
            proven.log,
            proven.size,
            proven.receipts.len(),
            proven.chain.len()
        ),
    );

    voice.head("One byte changed", "Đổi một byte");
    let mut forged = file.to_vec();
    let at = forged.len() / 2;
    forged[at] ^= 1;
    match proof::check(&forged, &anchor) {
        Err(refusal) => voice.say(
            &format!("   byte {at} flipped: refused, {}", refusal.reason),
            &format!("   lật byte {at}: bị từ chối, {}", refusal.reason),
        ),
        Ok(_) => anyhow::bail!("a changed byte was not found"),
    }
    Ok(())
}

fn month(yyyymm: u32) -> String {
    format!("{}-{:02}", yyyymm / 100, yyyymm % 100)
}
