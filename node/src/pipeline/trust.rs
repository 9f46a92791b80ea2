//! Jobs that change whom the directory trusts: a node's next log key, a child's place given back, a child revoked.

use std::collections::BTreeMap;
use std::sync::Arc;

use danso_core::verify::{KeyHistory, Node};
use danso_proto::change::{Body, NodeEnrolled, NodeRekeyed, NodeRevoked};
use danso_proto::envelope::{Envelope, Signer};
use danso_proto::ids::{Fingerprint, LogId, NodeId, Stream};
use danso_proto::limits;
use danso_proto::refusal::{Reason, Refusal};

use super::Error;
use super::batch::{Batch, Taken, directory_draft};

/// Entries of a log that are looked through at a time.
const ENTRIES_AT_A_TIME: usize = 256;

/// A node that wants its place back.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// Hash of the invite's secret; `None`: the node proved itself with its certificate, and has its key.
    pub secret_hash: Option<[u8; 32]>,
    /// The node.
    pub node: NodeId,
    /// Its log key from now on.
    pub log_public_key: [u8; 32],
    /// Keys that it had and has, as its own directory says.
    pub keys: Vec<NodeRekeyed>,
    /// Where its logs end, when its key shall be vouched for from there on.
    pub ends: Option<BTreeMap<LogId, u64>>,
}

/// A node that shall write no more.
#[derive(Debug, Clone)]
pub struct Revocation {
    /// The node.
    pub node: NodeId,
    /// Sizes up to which logs of it count. A log that is not named counts as far as it is here.
    pub bounds: Vec<(LogId, u64)>,
    /// Why.
    pub reason: String,
}

/// An entry, and who signed it.
struct Signed {
    log: LogId,
    at: u64,
    by: Vec<Fingerprint>,
}

impl Batch<'_> {
    /// Announces this node's next log key in its own directory log. Both sign the announcement; what follows is signed by the next alone.
    pub(super) async fn rekey(&mut self, next: &Arc<dyn Signer>) -> Result<Taken, Error> {
        let own = LogId::new(self.me.clone(), Stream::Directory);
        let mut from = self.sizes_of(&self.me);
        // The key counts from the entry after this one.
        *from.entry(own).or_default() += 1;
        let body = Body::NodeRekeyed(NodeRekeyed {
            node: self.me.clone(),
            log_public_key: *next.public_key().as_bytes(),
            from: from.into_iter().collect(),
        });
        let draft = directory_draft(self.own_unit()?, body, self.outfit.clock.now_ms());
        let taken = self.write_with(&Stream::Directory, vec![draft], Some(&**next)).await?;
        (self.signer, self.rekeyed) = (next.clone(), true);
        Ok(taken)
    }

    /// Gives a node its place back.
    pub(super) async fn recover(&mut self, recovery: &Recovery) -> Result<(), Error> {
        let node = self.below(&recovery.node)?;
        let invited = self.entitled(recovery, &node).await?;
        if invited.is_some() {
            Self::check_not_given_up(recovery, &node)?;
        }
        let (mut bodies, mut signed) = (Vec::new(), Vec::new());
        if invited.is_some() {
            signed = self.signed(&node).await?;
            bodies = self.placed(recovery, &node, self.written_with(recovery, &node, &signed));
        } else if let Some(ends) = &recovery.ends {
            bodies.extend(self.vouched_on(recovery, &node, ends)?.map(Body::NodeRekeyed));
        }
        if !bodies.is_empty() {
            self.check_after(recovery, &bodies, &signed)?;
            let now_ms = self.outfit.clock.now_ms();
            let drafts = bodies.into_iter().map(|body| directory_draft(node.unit().clone(), body, now_ms));
            let drafts = drafts.collect();
            self.write(&Stream::Directory, drafts).await?;
        }
        if let Some(secret_hash) = invited {
            self.tx.invite_use(secret_hash, &recovery.node, &recovery.log_public_key).await?;
        }
        Ok(())
    }

    /// Whether a node may have its place back; the hash of the invite that it uses up for that.
    async fn entitled<'a>(&mut self, recovery: &'a Recovery, node: &Node) -> Result<Option<&'a [u8; 32]>, Error> {
        let Recovery { secret_hash, node: id, log_public_key, .. } = recovery;
        let has_key = node.key().as_bytes() == log_public_key;
        let is_child = node.parent() == Some(&self.me);
        let Some(secret_hash) = secret_hash else {
            let lost = format!(
                "{id} shows another log key than the directory names: the key was changed at another copy of it, or its files are from before a \
                 change; of several copies let one run only, and recover that with a token (child invite --node {id})"
            );
            let elsewhere = format!("{id} is a child of another node; recover it with a token of this one");
            return match (has_key, is_child) {
                (true, true) => Ok(None),
                (false, _) => Err(Refusal::new(Reason::KeyNotEnrolled, lost).into()),
                (_, false) => Err(Refusal::new(Reason::NotAChild, elsewhere).into()),
            };
        };
        let invite = self.tx.invite_get(secret_hash).await?;
        let invite = invite.ok_or_else(|| Refusal::new(Reason::TokenUnknown, "no such invite was given out here"))?;
        if invite.node.as_ref() != Some(id) {
            let detail = match &invite.node {
                Some(other) => format!("the token is for {other}, not for {id}"),
                None => format!("the token is for a new node of {}: use it with danso-node join", invite.unit),
            };
            return Err(Refusal::new(Reason::TokenWrongUnit, detail).into());
        }
        match &invite.used_by {
            // The answer was lost on the way, or the transfer was cut: the same key goes on, as long as it is the node's and the node is ours.
            Some((_, key)) if key == log_public_key && has_key && is_child => return Ok(None),
            Some(_) => {
                return Err(Refusal::new(Reason::TokenUsed, format!("{id} used it with another log key")).into());
            }
            None => {}
        }
        let now_ms = self.outfit.clock.now_ms();
        if now_ms >= invite.expires_at_ms {
            let ago = (now_ms - invite.expires_at_ms) / 1000;
            return Err(Refusal::new(Reason::TokenExpired, format!("it ended {ago} s ago")).into());
        }
        Ok(Some(secret_hash))
    }

    /// A key that the node itself replaced signs nothing more: who went back to it would look like a copy that never heard of the next one.
    fn check_not_given_up(recovery: &Recovery, node: &Node) -> Result<(), Refusal> {
        if !node.keys().gave_up(&Fingerprint::of_key(&recovery.log_public_key)) {
            return Ok(());
        }
        let detail = format!(
            "{} shows a key that was replaced since; recover it with a new key: into an empty directory, or with keys/log.pem moved away",
            recovery.node
        );
        Err(Refusal::new(Reason::KeyNotEnrolled, detail))
    }

    /// Nothing is written, and no token used up, for a node that could not come back all the same.
    fn check_after(&self, recovery: &Recovery, bodies: &[Body], signed: &[Signed]) -> Result<(), Refusal> {
        let own = LogId::new(self.me.clone(), Stream::Directory);
        let at = self.log(&own).map_or(0, |row| row.head.size());
        let after = self.directory.after(&self.me, at, bodies)?;
        let Some(node) = after.node(&recovery.node) else { return Ok(()) };
        // Said while it had no place.
        if node.is_revoked() {
            return Err(revoked(&recovery.node));
        }
        Self::check_key_after(recovery, &self.me, node.keys())?;
        let is_read = |signed: &&Signed| signed.by.contains(&node.keys().at(&signed.log, signed.at).fingerprint());
        let Some(Signed { log, at, by }) = signed.iter().find(|signed| !is_read(signed)) else { return Ok(()) };
        let (id, by) = (&recovery.node, by.first().map(Fingerprint::to_string).unwrap_or_default());
        let detail = format!(
            "entry {at} of {log}, which is here, was signed with key {by}: nobody whose word counts says that it is the node's, and {id} does not \
             know it; nobody could read what comes after. Revoke the node up to before that entry (child revoke {id} --size {log}={at}), \
             give its unit a new node (child invite --unit {} --again) and take the book in there once more",
            node.unit()
        );
        Err(Refusal::new(Reason::KeyNotEnrolled, detail))
    }

    fn check_key_after(recovery: &Recovery, me: &NodeId, keys: &KeyHistory) -> Result<(), Refusal> {
        if keys.current().as_bytes() == &recovery.log_public_key {
            return Ok(());
        }
        let (node, by) = (&recovery.node, keys.current_by());
        let detail = match by == me {
            true => format!(
                "{node} shows an older key than the last one that this node vouched for or that signed entries of it here; recover it with a new \
                 key (into an empty directory, or with keys/log.pem moved away); or, where those entries are not its own, revoke it up to \
                 before them (child revoke {node} --size LOG=N) and give its unit a new node (child invite --again)"
            ),
            false => format!(
                "{node} would still have another key, by the word of {by}; if that is not to be trusted, revoke it first: child revoke {by}"
            ),
        };
        Err(Refusal::new(Reason::KeyNotEnrolled, detail))
    }

    /// What the directory must say for a node to have its place here with its key.
    fn placed(&self, recovery: &Recovery, node: &Node, written: Vec<NodeRekeyed>) -> Vec<Body> {
        let Recovery { node: id, log_public_key, .. } = recovery;
        let mut bodies = Vec::new();
        if node.parent() != Some(&self.me) {
            // The id of a node hangs on its first key, whatever key it has now.
            bodies.push(Body::NodeEnrolled(NodeEnrolled {
                node: id.clone(),
                unit: node.unit().clone(),
                log_public_key: *node.keys().first().as_bytes(),
                policy: node.policy(),
                // What those who had it say of it from here on counts no more.
                former: self.read_so_far(self.directory.former(id, &self.me)),
            }));
            // What earlier parents vouched for is said again here: who stands below need not hold their logs to read the node's. But not what
            // the node does not know of, and nothing if it has forgotten all: that stands in their logs, for as long as their word does.
            let its_own =
                |said: &NodeRekeyed| recovery.keys.iter().any(|known| known.log_public_key == said.log_public_key);
            bodies.extend(node.keys().vouched(id).into_iter().filter(its_own).map(Body::NodeRekeyed));
        }
        // A key that it has for long signs from where it did: entries from before that are on their way, too.
        let here = self.sizes_of(id);
        let is_known = |print: &Fingerprint| self.directory.has_key(id, print);
        let mut news = node.keys().unheard(&recovery.keys, &here, is_known);
        news.retain(|said| said.node == *id);
        let is_vouched_for = written.iter().any(|said| said.log_public_key == *log_public_key);
        bodies.extend(written.into_iter().map(Body::NodeRekeyed));
        if !is_vouched_for && news.last().map_or(node.key().as_bytes(), |last| &last.log_public_key) != log_public_key {
            let from = here.into_iter().collect();
            news.push(NodeRekeyed { node: id.clone(), log_public_key: *log_public_key, from });
        }
        bodies.extend(news.into_iter().map(Body::NodeRekeyed));
        bodies
    }

    /// Who signed each entry of a node that is here and counts if the node has a place.
    async fn signed(&mut self, node: &Node) -> Result<Vec<Signed>, Error> {
        self.flush().await?;
        let mut signed = Vec::new();
        for row in self.logs_of(node.id()) {
            let mut at = 0;
            while at < row.head.size() {
                let entries = self.tx.entry_read(row.pk, at, ENTRIES_AT_A_TIME, limits::PACKAGE_BYTES_MAX).await?;
                if entries.is_empty() {
                    break;
                }
                for entry in entries {
                    signed.push(Signed { log: row.log.clone(), at, by: Envelope::decode(entry.envelope)?.keyids() });
                    at += 1;
                }
            }
        }
        Ok(signed)
    }

    /// Keys that a node states or shows, that were said to be its by one whose word counts no more, and that signed entries which are here: from
    /// the first of them on. Else nobody could read these, and the node not come back.
    fn written_with(&self, recovery: &Recovery, node: &Node, signed: &[Signed]) -> Vec<NodeRekeyed> {
        let id = &recovery.node;
        let stated = recovery.keys.iter().map(|said| said.log_public_key).chain([recovery.log_public_key]);
        let mut keys: BTreeMap<Fingerprint, [u8; 32]> = stated.map(|key| (Fingerprint::of_key(&key), key)).collect();
        keys.retain(|print, _| self.directory.has_key(id, print) && !node.keys().has(print));
        let mut first: BTreeMap<Fingerprint, BTreeMap<&LogId, u64>> = BTreeMap::new();
        for Signed { log, at, by } in signed {
            if let Some(signer) = by.iter().find(|signer| keys.contains_key(signer)) {
                first.entry(*signer).or_default().entry(log).or_insert(*at);
            }
        }
        let here = self.sizes_of(id);
        let own = LogId::new(id.clone(), Stream::Directory);
        let begins = |from: &BTreeMap<&LogId, u64>| from.get(&own).or(here.get(&own)).copied().unwrap_or(0);
        let mut first: Vec<_> = first.into_iter().collect();
        first.sort_by_key(|(_, from)| begins(from));
        let said = first.into_iter().map(|(print, from)| {
            let from = here.iter().map(|(log, size)| (log.clone(), from.get(log).copied().unwrap_or(*size))).collect();
            NodeRekeyed { node: id.clone(), log_public_key: keys[&print], from }
        });
        said.collect()
    }

    /// A node announced its key from an entry on that it then lost, and that came to nobody. The key is vouched for from where its logs end
    /// now, but for nothing that is here already, and once: else a child could make this node's directory grow without end.
    fn vouched_on(
        &self,
        recovery: &Recovery,
        node: &Node,
        ends: &BTreeMap<LogId, u64>,
    ) -> Result<Option<NodeRekeyed>, Refusal> {
        let key = &recovery.log_public_key;
        let vouched = node.keys().vouched(&recovery.node);
        if vouched.iter().any(|rekeyed| rekeyed.log_public_key == *key) {
            return Ok(None);
        }
        let mut from = self.sizes_of(&recovery.node);
        for (log, end) in ends.iter().filter(|(log, _)| *log.node() == recovery.node) {
            let held = from.entry(log.clone()).or_default();
            *held = (*held).max(*end);
        }
        let lacks = node.key().as_bytes() == key && !node.keys().signs_on(|log| from.get(log).copied().unwrap_or(0));
        if lacks && vouched.len() >= limits::VOUCHES_ASKED_MAX {
            let detail = format!(
                "{} keys of {} were vouched for; for a further one it takes a token (child invite --node)",
                vouched.len(),
                recovery.node
            );
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
        let from = from.into_iter().collect();
        Ok(lacks.then(|| NodeRekeyed { node: recovery.node.clone(), log_public_key: *key, from }))
    }

    /// Revokes a node below this one.
    pub(super) async fn revoke(&mut self, revocation: &Revocation) -> Result<Taken, Error> {
        let node = self.below_or_revoked(&revocation.node)?;
        let here = self.sizes_of(&revocation.node);
        let mut bounds: BTreeMap<LogId, u64> = here.clone();
        for (log, size) in &revocation.bounds {
            match here.get(log) {
                Some(held) if size <= held => drop(bounds.insert(log.clone(), *size)),
                Some(held) => {
                    let detail = format!("{log} has {held} entries here; it cannot count up to {size}");
                    return Err(Refusal::new(Reason::RequestInvalid, detail).into());
                }
                None => {
                    let detail = format!("{log} is no log of {} that is here", revocation.node);
                    return Err(Refusal::new(Reason::NotFound, detail).into());
                }
            }
        }
        let body = Body::NodeRevoked(NodeRevoked {
            node: revocation.node.clone(),
            bounds: bounds.into_iter().collect(),
            reason: revocation.reason.clone(),
        });
        let draft = directory_draft(node.unit().clone(), body, self.outfit.clock.now_ms());
        self.write(&Stream::Directory, vec![draft]).await
    }

    /// A node that may be given its place back here.
    fn below(&self, id: &NodeId) -> Result<Node, Refusal> {
        let node = self.below_or_revoked(id)?;
        // One that lost its place with who enrolled it was not revoked itself.
        match node.is_revoked() && node.has_place() {
            true => Err(revoked(id)),
            false => Ok(node),
        }
    }

    fn below_or_revoked(&self, id: &NodeId) -> Result<Node, Refusal> {
        let unknown = || Refusal::new(Reason::NotFound, format!("{id} is not in the directory"));
        let node = self.directory.node(id).ok_or_else(unknown)?;
        match self.directory.is_above(&self.me, id) {
            true => Ok(node.clone()),
            false => Err(Refusal::new(Reason::UnitNotBelow, format!("{id} is not below this node"))),
        }
    }
}

fn revoked(id: &NodeId) -> Refusal {
    Refusal::new(Reason::KeyRevoked, format!("{id} was revoked; its unit gets a new node with child invite --again"))
}
