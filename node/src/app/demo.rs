//! `demo`: a whole federation on this machine, as real processes with real keys, links and files, from a commune's slips to the ministry's
//! table. Takes its data from `deploy/demo`, shows what happens, checks every figure against the truth, and leaves nothing running.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use danso_core::messages::Lang;
use danso_proto::ids::Fingerprint;

use super::out;
use crate::clock::{Clock as _, SystemClock};

mod data;
mod federation;
mod figures;
mod trace;

use data::COMMUNES;
use federation::{Federation, Member};

/// What the demo is told.
pub(super) struct Demo {
    /// Stay up afterwards, until Ctrl-C.
    pub(super) keep: bool,
    /// Where the nodes' directories go; a temporary directory when not said.
    pub(super) data: Option<PathBuf>,
    /// Language of what is shown.
    pub(super) lang: Lang,
}

/// Tells people what happens, in their language.
struct Voice(Lang);

impl Voice {
    fn say(&self, en: &str, vi: &str) {
        out::show(self.pick(en, vi));
    }

    fn head(&self, en: &str, vi: &str) {
        out::show(format_args!("\n== {}", self.pick(en, vi)));
    }

    fn pick<'a>(&self, en: &'a str, vi: &'a str) -> &'a str {
        match self.0 {
            Lang::En => en,
            Lang::Vi => vi,
        }
    }
}

/// Time for a receipt to come down from the top.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(90);

pub(super) async fn demo(what: Demo) -> anyhow::Result<()> {
    let clock = SystemClock::new();
    let voice = Voice(what.lang);
    let mut federation = tokio::select! {
        shown = show(&voice, what.data.clone()) => shown?,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("stopped by Ctrl-C; nothing was left running"),
    };
    let took = clock.monotonic().as_secs_f64();
    voice.head(&format!("Done in {took:.0} s."), &format!("Xong trong {took:.0} giây."));
    if what.keep {
        keep(&voice, &federation).await?;
    }
    federation.stop().await
}

async fn show(voice: &Voice, data: Option<PathBuf>) -> anyhow::Result<Federation> {
    voice.head("A federation comes up: one process for each node", "Liên đoàn khởi động: mỗi nút là một tiến trình");
    let mut federation = Federation::found(data).await?;
    let root = federation.member(data::ROOT)?.status().await?;
    let anchor: Fingerprint = root.anchor.parse()?;
    voice.say(
        &format!("   {}  {}   trust anchor {anchor}", root.unit, root.unit_name),
        &format!("   {}  {}   neo tin cậy {anchor}", root.unit, root.unit_name),
    );
    for (unit, parent) in data::BELOW {
        let status = federation.join(unit, parent).await?;
        out::show(format_args!("   {}  {}  <- {parent}   {}", status.unit, status.unit_name, status.node));
    }

    voice.head("The communes hand in their household books and slips", "Các xã nộp sổ hộ và phiếu biến động");
    for commune in &COMMUNES {
        let member = federation.member(commune.unit)?;
        for (form, text) in [(true, commune.households), (false, commune.changes)] {
            let done = member.import(form, text).await?;
            let waiting = done.waiting.saturating_sub(done.released);
            voice.say(
                &format!(
                    "   {}  {:10}  {:5} rows, {:5} taken, {} waiting, {} refused, {} signed change sets",
                    commune.unit,
                    if form { "households" } else { "changes" },
                    done.rows,
                    done.taken + done.released,
                    waiting,
                    done.refused,
                    done.entries
                ),
                &format!(
                    "   {}  {:10}  {:5} dòng, {:5} nhận, {} chờ, {} từ chối, {} bộ biến động đã ký",
                    commune.unit,
                    if form { "sổ hộ" } else { "phiếu" },
                    done.rows,
                    done.taken + done.released,
                    waiting,
                    done.refused,
                    done.entries
                ),
            );
            ensure!(done.refused == 0 && done.reason.is_empty(), "the demo's files are clean, but rows were refused");
        }
    }

    voice.head(
        "Change sets flow up; receipts come down from every tier",
        "Các bộ biến động chuyển lên; biên nhận từ mọi cấp chuyển xuống",
    );
    for commune in &COMMUNES {
        federation.member(commune.unit)?.wait_receipt(&root.tier, RECEIPT_TIMEOUT).await?;
    }
    receipts(voice, federation.member(COMMUNES[0].unit)?).await?;

    figures::table(voice, &federation).await?;
    figures::check(voice, &federation).await?;
    trace::trace(voice, &federation, anchor).await?;
    Ok(federation)
}

async fn receipts(voice: &Voice, commune: &Member) -> anyhow::Result<()> {
    voice.say(&format!("   receipts of {}:", commune.unit()), &format!("   biên nhận của {}:", commune.unit()));
    for receipt in commune.receipts().await? {
        if receipt.log.ends_with("/records") {
            out::show(format_args!(
                "   {:32}  {:8}  {:>3}/{:<3} {}",
                receipt.giver,
                receipt.giver_tier,
                receipt.size,
                receipt.log_size,
                voice.pick("durable there, cosigned", "đã lưu bền ở đó, có đồng ký"),
            ));
        }
    }
    Ok(())
}

async fn keep(voice: &Voice, federation: &Federation) -> anyhow::Result<()> {
    let root = federation.member(data::ROOT)?;
    let commune = federation.member(COMMUNES[0].unit)?;
    let admin = "cargo run -q --release -p danso-admin --";
    voice.head("The nodes stay up. Try, in another terminal:", "Các nút vẫn chạy. Hãy thử ở cửa sổ khác:");
    for line in [
        format!("{admin} --data {} status", commune.data().display()),
        format!("{admin} --data {} receipt list", commune.data().display()),
        format!("{admin} --data {} log verify", root.data().display()),
        format!(
            "{admin} --data {} aggregate pull --unit {} --by {} --from 2021-01 --to 2021-12 --source children",
            root.data().display(),
            data::ROOT,
            commune.status().await?.tier
        ),
    ] {
        out::show(format_args!("   {line}"));
    }
    voice.say("   Ctrl-C ends everything.", "   Ctrl-C để kết thúc tất cả.");
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
}
