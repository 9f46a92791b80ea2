//! Looks a node over from the bottom up: database, logs, heads, keys, certificate, clock, room, and what waits for people. Reads only, and says
//! for each thing whether it is well; what to do about it comes with the reason. Knows nothing of gRPC or of how lines are shown.

use std::path::Path;
use std::sync::Arc;

use danso_core::ledger::{LogHead, append, check_word};
use danso_core::verify::{Node, verify_again};
use danso_proto::checkpoint;
use danso_proto::envelope::Signer as _;
use danso_proto::refusal::{Reason, Refusal};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::config::Layout;
use crate::keys::LogKey;
use crate::pipeline::heads::{self, Kept};
use crate::pipeline::{self, Snapshot};
use crate::store::{self, Level, LogRow, Store, Tx};

mod derived;
mod files;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Well.
    Ok,
    /// Somebody should look at it.
    Warn,
    /// Something is wrong.
    Fail,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The thing: `database`, `logs`, `derived`, `heads`, `keys`, `config`, `ca`, `certificate`, `clock`, `room`, `slips`, `findings`.
    pub check: &'static str,
    /// How it is.
    pub state: State,
    /// Why it is not well.
    pub reason: Option<Reason>,
    /// What was found.
    pub detail: String,
}

impl Line {
    /// It is well.
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, state: State::Ok, reason: None, detail: detail.into() }
    }

    fn bad(check: &'static str, state: State, reason: Reason, detail: impl Into<String>) -> Self {
        Self { check, state, reason: Some(reason), detail: detail.into() }
    }

    /// Something is wrong, by this refusal.
    pub fn fail(check: &'static str, refusal: Refusal) -> Self {
        Self::bad(check, State::Fail, refusal.reason, refusal.detail)
    }
}

/// Who is looked over.
#[derive(Clone)]
pub struct Patient {
    /// Its directory.
    pub layout: Layout,
    /// Its store.
    pub store: Store,
    /// What it holds.
    pub snapshot: Snapshot,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The parent's clock less ours, milliseconds, while there is a link.
    pub skew_ms: Option<i64>,
    /// It runs, and remembers what is found. In the files of one that does not run nothing is written.
    runs: bool,
}

/// Whoever asks for a running node to be looked over.
#[derive(Clone)]
pub struct Doctor {
    /// The node's directory.
    pub layout: Layout,
    /// Its store.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Doctor {
    /// What is wrong with the files for the link to the parent, which is up for as long as the node has better ones in memory.
    pub fn link_files(&self) -> Option<Refusal> {
        let line = files::certificate(&self.layout, true, self.clock.now_ms());
        (line.reason == Some(Reason::FileUnfit)).then(|| Refusal::new(Reason::FileUnfit, line.detail))
    }

    /// The node, with what it holds now.
    pub fn examined(&self, snapshot: Snapshot, skew_ms: Option<i64>) -> Patient {
        let Self { layout, store, clock } = self.clone();
        Patient { layout, store, snapshot, clock, skew_ms, runs: true }
    }
}

/// For people: the log key in this file is not the one that the directory names for its node.
pub fn other_key(file: &Path, me: &Node) -> String {
    format!(
        "{} is not the key that the directory names for {} ({}): nothing that is written with it counts. If the database is an old copy: \
         danso-node recover --data DIR. If the key is lost, or was replaced after the backup was taken that this is restored from: danso-node recover \
         --token-file FILE into an empty directory, with a token that the parent makes (danso-admin child invite --node {})",
        file.display(),
        me.id(),
        me.key().fingerprint(),
        me.id()
    )
}

/// Clocks that differ by more are worth a word.
const SKEW_MS: u64 = 60_000;
/// Entries read at a time, and their bytes.
const CHUNK: (usize, usize) = (128, 2 * 1024 * 1024);

type Lines = mpsc::Sender<Line>;

impl Patient {
    /// Looks at everything; ends early when nobody listens any more.
    pub async fn examine(&self, lines: &Lines) {
        if !self.store.is_file() {
            send(vec![self.server().await], lines).await;
        }
        send(vec![self.database().await], lines).await;
        if self.logs(lines).await.is_none() {
            return;
        }
        send(vec![derived::derived(self).await], lines).await;
        let mut told = vec![self.heads().await];
        let me = self.snapshot.directory().node(self.snapshot.me());
        told.extend(files::all(&self.layout, me, self.clock.now_ms()));
        told.push(self.time());
        told.push(room(&self.store));
        told.extend(self.people().await);
        send(told, lines).await;
    }

    /// Whether what the server acknowledges is there after a power cut.
    async fn server(&self) -> Line {
        match self.store.risk().await {
            Ok(None) => Line::ok("server", "what it acknowledges is on its disk (fsync, full_page_writes)"),
            Ok(Some(risk)) => Line::bad("server", State::Warn, Reason::StoreUnsafe, risk),
            Err(error) => Line::fail("server", pipeline::Error::from(error).refusal()),
        }
    }

    async fn database(&self) -> Line {
        let checked = async {
            self.store.read("doctor").await?.integrity_check().await?;
            match self.runs {
                true => self.store.checked().await,
                false => Ok(()),
            }
        };
        match checked.await {
            Ok(()) if self.store.is_file() => Line::ok("database", "all pages, indices and references hang together"),
            Ok(()) => Line::ok(
                "database",
                "the server has read no page with a wrong checksum; indices are checked where it has amcheck",
            ),
            Err(error) => {
                if self.runs
                    && error.is_damage()
                    && let Err(error) = self.store.remember_damage().await
                {
                    tracing::warn!(%error, "it could not be remembered that the database is damaged");
                }
                let mut refusal = pipeline::Error::from(error).refusal();
                if refusal.detail.contains(" index ") {
                    refusal.detail += "; where only indices are wrong, danso-node rebuild makes them again";
                }
                Line::fail("database", refusal)
            }
        }
    }

    /// A line for each log that is not well, and one for the others. `None`: nobody listens.
    async fn logs(&self, lines: &Lines) -> Option<()> {
        let (mut logs, mut entries, mut cut) = (0u64, 0u64, 0u64);
        for row in self.snapshot.logs() {
            let line = match self.log(row).await {
                Err(error) => {
                    let refusal = told(error, row);
                    if refusal.reason == Reason::StoreDamaged {
                        self.store.condition().note(&store::Error::Damaged { what: refusal.detail.clone() });
                    }
                    Line::fail("logs", refusal)
                }
                Ok(counts) => match &row.trouble {
                    Some((code, detail)) => {
                        let reason = Reason::from_code(code).unwrap_or(Reason::LogQuarantined);
                        Line::bad("logs", State::Fail, reason, format!("{} is stopped: {detail}", row.log))
                    }
                    None => {
                        logs += 1;
                        entries += row.head.size();
                        cut += u64::from(!counts);
                        continue;
                    }
                },
            };
            lines.send(line).await.ok()?;
        }
        let mut detail = format!("{logs} logs with {entries} entries give their roots, and their authors signed them");
        if cut > 0 {
            detail += &format!("; of {cut} of them what is at the end does not count, because the author was revoked");
        }
        lines.send(Line::ok("logs", detail)).await.ok()
    }

    /// Every entry from its bytes to the root, and the author's word for it; whether all of it counts.
    async fn log(&self, row: &LogRow) -> Result<bool, pipeline::Error> {
        let mut tx: Tx = self.store.read("doctor").await?;
        let directory = self.snapshot.directory();
        let (mut head, mut last) = (LogHead::default(), Vec::new());
        while head.size() < row.head.size() {
            let left = usize::try_from(row.head.size() - head.size()).unwrap_or(usize::MAX);
            let entries = tx.entry_read(row.pk, head.size(), left.min(CHUNK.0), CHUNK.1).await?;
            if entries.is_empty() {
                let what = format!("it ends at entry {}, not at {}", head.size(), row.head.size());
                return Err(self.store.condition().noted(store::Error::Damaged { what }).into());
            }
            for entry in entries {
                let opened = directory.open(entry.envelope, entry.parts)?;
                last = opened.signers().to_vec();
                let verified = verify_again(opened, directory, &head.position())?;
                append(&mut head, verified);
            }
        }
        if head.root() != row.head.root() {
            let what = "the entries do not make the kept root".into();
            return Err(self.store.condition().noted(store::Error::Damaged { what }).into());
        }
        let counts = self.snapshot.counted(&row.log) == head.size();
        let Some(note) = &row.checkpoint else { return Ok(counts) };
        let (signed, word_counts) = check_word(directory, &checkpoint::parse(note)?, &last)?;
        match signed.log == row.log && signed.size == head.size() && signed.root == head.root() {
            true => Ok(counts && word_counts),
            false => Err(Refusal::new(Reason::RootDiffers, "its author signed another root").into()),
        }
    }

    async fn heads(&self) -> Line {
        let key = LogKey::load(&self.layout.log_key()).ok().map(|key| *key.public_key());
        let kept = match heads::read(&heads::path(&self.store)).signed(&self.snapshot, key.as_ref()) {
            Kept::Heads(kept) => kept,
            Kept::Missing if self.snapshot.own_logs().all(|row| row.checkpoint.is_none()) => {
                return Line::ok("heads", "this node has written nothing yet");
            }
            Kept::Missing => return Line::bad("heads", State::Warn, Reason::HeadsMissing, "the file is missing"),
            Kept::Unreadable(why) => return Line::bad("heads", State::Warn, Reason::HeadsMissing, why),
        };
        let compared = async {
            let mut tx = self.store.read("doctor").await?;
            heads::contradiction(&mut tx, &self.snapshot, &kept).await
        };
        match compared.await {
            Ok(None) => {
                Line::ok("heads", format!("the database is the one that wrote the heads of {} logs", kept.len()))
            }
            Ok(Some(why)) => {
                let advice = heads::advice(self.snapshot.is_root(), self.store.is_file(), &self.layout.dir().display());
                Line::bad("heads", State::Fail, Reason::ReadOnly, format!("{why}. {advice}"))
            }
            Err(error) => Line::fail("heads", error.refusal()),
        }
    }

    fn time(&self) -> Line {
        let now = self.clock.now_ms();
        let last = self.snapshot.logs().map(|row| row.committed_at_ms).max().unwrap_or_default();
        let wrong = |detail| Line::bad("clock", State::Warn, Reason::ClockWrong, detail);
        if now < last {
            return wrong(format!("{} s before the last entry was committed here", (last - now) / 1_000));
        }
        match self.skew_ms {
            Some(skew) if skew.unsigned_abs() > SKEW_MS => {
                wrong(format!("the parent's clock is {} s ahead", skew / 1_000))
            }
            Some(skew) => Line::ok("clock", format!("{skew} ms behind the parent's")),
            None => Line::ok("clock", "not before anything that was committed here"),
        }
    }

    async fn people(&self) -> Vec<Line> {
        let counted = async {
            let mut tx = self.store.read("doctor").await?;
            let waiting = tx.counts().await?.1;
            // A database that was not started since the program was replaced does not have all that is counted by.
            let findings = match tx.is_current().await? {
                true => Some(tx.finding_open().await?),
                false => None,
            };
            Ok::<_, store::Error>((waiting, findings))
        };
        let (waiting, findings) = match counted.await {
            Ok(found) => found,
            Err(error) => return vec![Line::fail("slips", pipeline::Error::from(error).refusal())],
        };
        let slips = match waiting {
            0 => Line::ok("slips", "none waits"),
            n => Line::bad("slips", State::Warn, Reason::PersonUnknown, format!("{n} wait; danso-admin waiting list")),
        };
        let finding = match findings {
            None => Line {
                check: "findings",
                state: State::Warn,
                reason: None,
                detail: "not counted: an earlier version left the database; the next start counts them".into(),
            },
            Some(findings) if findings.is_empty() => Line::ok("findings", "none is open"),
            Some(findings) => {
                let each = findings.iter().map(|(severity, count)| format!("{count} {}", severity.as_str()));
                let detail = format!("open: {}; danso-admin finding list", each.collect::<Vec<_>>().join(", "));
                Line::bad("findings", State::Warn, Reason::FindingsOpen, detail)
            }
        };
        vec![slips, finding]
    }
}

fn room(store: &Store) -> Line {
    let health = store.condition().measure();
    let figures = pipeline::figures(&health);
    match health.disk.level {
        Level::Room => Line::ok("room", figures),
        Level::Low | Level::Full => Line::bad("room", State::Fail, Reason::DiskFull, figures),
    }
}

/// What is wrong with a log, which is named.
fn told(error: pipeline::Error, row: &LogRow) -> Refusal {
    let Refusal { reason, detail } = error.refusal();
    let reason = if pipeline::is_of_this_disk(reason) { Reason::StoreDamaged } else { reason };
    Refusal::new(reason, format!("{}: {detail}", row.log))
}

/// Looks at a node that does not run, and of which perhaps not even the database was `opened`. `read` gives what the store holds.
pub async fn offline(
    layout: &Layout,
    opened: store::OpenedToLook,
    clock: Arc<dyn Clock>,
    read: impl AsyncFnOnce(Store) -> Result<Snapshot, Refusal>,
    lines: &Lines,
) {
    let (store, files_say) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let mut told = vec![Line::fail("database", pipeline::Error::from(error).refusal())];
            told.extend(files::all(layout, None, clock.now_ms()));
            return send(told, lines).await;
        }
    };
    let file = files_say.map(|says| match says {
        Ok(true) => Line::ok("file", "as long as it says, and as it was when the node ended"),
        Ok(false) => {
            Line::ok("file", "as long as it says; nothing says how it was when the node ended (danso.db.sha256)")
        }
        Err(error) => Line::fail("file", pipeline::Error::from(error).refusal()),
    });
    send(file.into_iter().collect(), lines).await;
    match read(store.clone()).await {
        Ok(snapshot) => {
            let (layout, store) = (layout.clone(), store.clone());
            let patient = Patient { layout, store, snapshot, clock, skew_ms: None, runs: false };
            patient.examine(lines).await;
        }
        Err(refusal) => {
            let mut told = vec![Line::fail("logs", refusal)];
            told.extend(files::all(layout, None, clock.now_ms()));
            send(told, lines).await;
        }
    }
    store.close_unsealed().await;
}

async fn send(told: Vec<Line>, lines: &Lines) {
    for line in told {
        if lines.send(line).await.is_err() {
            return;
        }
    }
}
