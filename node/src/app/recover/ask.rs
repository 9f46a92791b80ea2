//! What `recover` asks its parent, and what it takes of the answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use danso_proto::change::NodeRekeyed;
use danso_proto::envelope::{Envelope, Signer as _};
use danso_proto::ids::{LogId, Stream};
use danso_proto::limits;
use danso_proto::package::{self, Package};
use danso_proto::pb::exchange::v1 as pb;
use danso_proto::pb::exchange::v1::exchange_service_client::ExchangeServiceClient;
use danso_proto::refusal::{Reason, Refusal};
use pb::recover_response::Body;
use rustls::pki_types::CertificateDer;
use tonic::transport::Channel;

use super::super::{Error, is_refusal};
use super::{Place, passes};
use crate::clock::Clock;
use crate::config::Layout;
use crate::keys::{LinkKey, LogKey};
use crate::pipeline::{self, Handle, Outfit};
use crate::store::{LogRow, Store};
use crate::{link, pki};

/// Time for the parent's next message.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(120);

/// What the parent is asked for.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    /// What is not here yet, and the last entry of each own log, which is compared with the one that is here: it names all before it.
    Rest,
    /// That, for own logs of which the parent holds so much, and less than is here.
    Shorter(&'a BTreeMap<LogId, u64>),
    /// That it vouches for the key from the ends of what is here first.
    Vouch,
}

/// Asks the parent, and takes what it gives.
pub(super) struct Asking<'a> {
    pub(super) place: &'a Place,
    pub(super) key: &'a Arc<LogKey>,
    /// The keys that the node had and has, as far as the old database knows.
    pub(super) keys: Vec<NodeRekeyed>,
    pub(super) link_key: &'a LinkKey,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    /// The new node, from when it has its anchor.
    pub(super) handle: Option<Handle>,
    /// The pipeline that was started last: it is ended before its database is closed, however that goes.
    pub(super) started: &'a mut Option<Handle>,
    /// The parent may have written down that this is the node's key: what it answered, if anything, is no refusal.
    pub(super) may_stand: &'a mut bool,
    /// What an earlier attempt left of the own logs is no beginning of what the parent holds now.
    pub(super) is_other: bool,
}

/// What the parent gave.
pub(super) struct Given {
    pub(super) handle: Handle,
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) entries: u64,
    /// Logs of others that were not taken, and why.
    pub(super) refused: BTreeMap<LogId, Refusal>,
    /// Own logs of which more is here than the parent holds, and how much it holds.
    shorter: BTreeMap<LogId, u64>,
}

impl Asking<'_> {
    fn outfit(&self) -> Outfit {
        let Self { place, key, store, clock, .. } = self;
        Outfit { store: store.clone(), signer: (*key).clone(), clock: clock.clone(), anchor: place.anchor }
    }

    async fn start(&mut self) -> Result<Handle, Error> {
        let handle = Handle::start(self.outfit()).await?;
        *self.started = Some(handle.clone());
        Ok(handle)
    }

    fn request(&self, what: Ask<'_>) -> Result<pb::RecoverRequest, Error> {
        let Self { place, key, .. } = self;
        let csr = pki::csr(self.link_key, &place.node)?;
        let statement = link::recover_statement(&place.node, &place.secret, &csr);
        let proof = key.sign(&statement).map_err(pipeline::Error::from)?;
        let size = |row: &LogRow| match what {
            Ask::Vouch => row.head.size(),
            _ if *row.log.node() != place.node => row.head.size(),
            Ask::Rest => row.head.size().saturating_sub(1),
            Ask::Shorter(ends) => ends.get(&row.log).map_or(row.head.size(), |end| end.saturating_sub(1)),
        };
        let head = |row: &LogRow| pb::RecoverHead { log: row.log.to_string(), size: size(row) };
        let there = self.handle.as_ref().map(Handle::snapshot);
        let there = there.iter().flat_map(|snapshot| snapshot.logs());
        Ok(pb::RecoverRequest {
            node: place.node.to_string(),
            secret: place.secret.clone().into(),
            log_public_key: key.public_key().as_bytes().to_vec().into(),
            link_csr: csr.into(),
            proof: proof.to_vec().into(),
            heads: there.map(head).collect(),
            vouch: matches!(what, Ask::Vouch),
            keys: self.keys.iter().map(Into::into).collect(),
        })
    }

    /// All that the parent holds and is not here yet, from where an attempt that was cut left it.
    pub(super) async fn go_on(
        &mut self,
        layout: &Layout,
        channel: &Channel,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Given, Error> {
        self.handle = match pipeline::node_of(&mut self.store.read("recover").await?).await? {
            Some(node) if node == self.place.node => Some(self.start().await?),
            Some(_) => {
                let detail = format!("{} is of another node; move it away", layout.recovering().display());
                return Err(Refusal::new(Reason::AlreadyJoined, detail).into());
            }
            None => None,
        };
        let given = self.ask(channel, Ask::Rest, progress).await?;
        if given.shorter.is_empty() {
            return Ok(given);
        }
        // That attempt took more from an old database. What the parent has of these logs by now may be something else.
        self.handle = Some(given.handle);
        let compared = self.ask(channel, Ask::Shorter(&given.shorter), &mut |_| {}).await?;
        Ok(Given { entries: given.entries, ..compared })
    }

    /// Asks, and takes what comes.
    pub(super) async fn ask(
        &mut self,
        channel: &Channel,
        what: Ask<'_>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Given, Error> {
        let place = self.place;
        let request = self.request(what)?;
        let could_stand = std::mem::replace(self.may_stand, true);
        let mut answer = Answer::open(channel.clone(), request).await.inspect_err(|error| {
            *self.may_stand = could_stand || !is_refusal(error);
        })?;
        let Some(Body::Enrolment(enrolled)) = answer.next().await? else {
            return Err(Refusal::new(Reason::Malformed, "the parent's answer does not begin with a place").into());
        };
        if enrolled.node != place.node.as_str() || enrolled.parent_node != place.parent.as_str() {
            let detail = format!("the parent answers for {} below {}", enrolled.node, enrolled.parent_node);
            return Err(Refusal::new(Reason::AnchorMismatch, detail).into());
        }
        let (mut entries, mut refused) = (0, BTreeMap::new());
        let end = loop {
            match answer.next().await? {
                Some(Body::Package(frame)) => {
                    let package = package::decode(&frame.zstd)?;
                    entries += package.entries.len() as u64;
                    let running = match self.handle.take() {
                        Some(running) => running,
                        None => {
                            found(&self.store, place, &package, self.clock.now_ms()).await?;
                            self.start().await?
                        }
                    };
                    let log = package.log.clone();
                    let answer = running.receive(package).await?.await?.refused;
                    self.handle = Some(running);
                    match answer {
                        Some((_, refusal)) if *log.node() == place.node => {
                            self.is_other = is_other(&refusal);
                            return Err(refusal.into());
                        }
                        Some((_, refusal)) if passes(&refusal) => return Err(refusal.into()),
                        // Somebody else's log stops nobody: it comes over the link when what is missing to read it has come.
                        Some((_, refusal)) => drop(refused.entry(log).or_insert(refusal)),
                        None => {}
                    }
                    progress(entries);
                }
                Some(Body::End(end)) => break end,
                Some(Body::Enrolment(_)) => {
                    return Err(Refusal::new(Reason::Malformed, "the parent named a place twice").into());
                }
                None => return Err(cut()),
            }
        };
        let handle =
            self.handle.take().ok_or_else(|| Refusal::new(Reason::AnchorMismatch, "the parent sent no directory"))?;
        complete(&handle, place, self.key, &end, &refused)?;
        let snapshot = handle.snapshot();
        let held = end.heads.iter().filter_map(|head| Some((head.log.parse::<LogId>().ok()?, head.size)));
        let shorter = held.filter(|(log, held)| {
            *log.node() == place.node && snapshot.log(log).is_some_and(|row| row.head.size() > *held)
        });
        let shorter = shorter.collect();
        let certificates = enrolled.certificates.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        Ok(Given { handle, certificates, entries, refused, shorter })
    }
}

/// Whether what refuses an entry is that another one, or another log, is here.
fn is_other(refusal: &Refusal) -> bool {
    matches!(
        refusal.reason,
        Reason::ReplayDiffers
            | Reason::PreviousHashWrong
            | Reason::RootDiffers
            | Reason::LogQuarantined
            | Reason::ReadOnly
    )
}

/// The parent's answer.
struct Answer(tonic::Streaming<pb::RecoverResponse>);

impl Answer {
    async fn open(channel: Channel, request: pb::RecoverRequest) -> Result<Self, Error> {
        let mut client = ExchangeServiceClient::new(channel)
            .max_decoding_message_size(limits::GRPC_MESSAGE_MAX)
            .max_encoding_message_size(limits::GRPC_MESSAGE_MAX);
        let call = tokio::time::timeout(MESSAGE_TIMEOUT, client.recover(request));
        Ok(Self(call.await.map_err(|_| cut())?.map_err(|error| link::refusal_of(&error))?.into_inner()))
    }

    async fn next(&mut self) -> Result<Option<Body>, Error> {
        let message = tokio::time::timeout(MESSAGE_TIMEOUT, self.0.message()).await.map_err(|_| cut())?;
        match message.map_err(|error| link::refusal_of(&error))? {
            None => Ok(None),
            Some(pb::RecoverResponse { body: Some(body) }) => Ok(Some(body)),
            Some(_) => {
                Err(Refusal::new(Reason::Malformed, "the parent sent something that this version does not know").into())
            }
        }
    }
}

fn cut() -> Error {
    Refusal::new(Reason::LinkDown, "the parent did not send everything; run recover again, it goes on where it was cut")
        .into()
}

/// The first package must begin with the anchor's genesis.
async fn found(store: &Store, place: &Place, package: &Package, now_ms: i64) -> Result<(), Error> {
    let first = package.entries.first().filter(|_| package.first == 0);
    let first = first.ok_or_else(|| Refusal::new(Reason::AnchorMismatch, "the parent's directory has no beginning"))?;
    let genesis = Envelope::decode(first.envelope.clone())?;
    Ok(pipeline::found(store, &place.node, genesis, place.anchor, now_ms).await?)
}

/// All that the parent named is here, but for what was refused, and the directory gives this node its place and its key.
fn complete(
    handle: &Handle,
    place: &Place,
    key: &LogKey,
    end: &pb::RecoverEnd,
    refused: &BTreeMap<LogId, Refusal>,
) -> Result<(), Error> {
    let snapshot = handle.snapshot();
    for head in &end.heads {
        let log: LogId = head.log.parse().map_err(Refusal::from)?;
        if snapshot.log(&log).map_or(0, |row| row.head.size()) < head.size && !refused.contains_key(&log) {
            return Err(cut());
        }
    }
    let (reason, wrong) = match snapshot.directory().node(&place.node) {
        Some(me) if me.parent() != Some(&place.parent) => {
            (Reason::AnchorMismatch, "the directory does not place this node below its parent")
        }
        Some(me) if me.key() != key.public_key() => {
            (Reason::KeyNotEnrolled, "the directory does not name the log key that is here")
        }
        Some(_) => return Ok(()),
        None => (Reason::AnchorMismatch, "the directory does not enrol this node"),
    };
    Err(why(Refusal::new(reason, wrong), refused).into())
}

/// Who misses a directory log may not know its place for that reason, which then is said first.
fn why(wrong: Refusal, refused: &BTreeMap<LogId, Refusal>) -> Refusal {
    let missed = refused.iter().find(|(log, _)| *log.stream() == Stream::Directory);
    match missed {
        None => wrong,
        Some((log, refusal)) => {
            Refusal::new(refusal.reason, format!("{log} was not taken: {}; hence {}", refusal.detail, wrong.detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_directory_was_not_taken_is_said_before_what_follows_from_that() {
        let wrong = Refusal::new(Reason::AnchorMismatch, "the directory does not place this node below its parent");
        let refused = |log: &str| {
            BTreeMap::from([(log.parse().expect("a log"), Refusal::new(Reason::KeyNotEnrolled, "entry 3"))])
        };
        let said = why(wrong.clone(), &refused("40-0123456789abcdef/directory"));
        assert_eq!(said.reason, Reason::KeyNotEnrolled);
        assert!(said.detail.contains("40-0123456789abcdef/directory was not taken: entry 3"), "{said}");
        assert!(said.detail.contains("below its parent"), "{said}");
        assert_eq!(why(wrong.clone(), &refused("40-0123456789abcdef/records")), wrong);
    }
}
