//! One-time invites for nodes below this one. The token is worth a place in the federation: it goes to the caller and nowhere else.

use danso_core::verify::{Directory, Node};
use danso_proto::ids::NodeId;
use danso_proto::limits;
use danso_proto::pb::admin::v1 as pb;
use danso_proto::refusal::{Reason, Refusal};

use super::{Parts, of_pipeline, of_view, own_unit, unit_code};
use crate::config::Address;
use crate::keys;
use crate::pipeline::InviteRow;
use crate::token::{InviteSecret, Token};

impl Parts {
    pub(super) async fn invite(&self, request: pb::CreateInviteRequest) -> Result<pb::CreateInviteResponse, Refusal> {
        self.not_revoked()?;
        let snapshot = self.pipeline.snapshot();
        let directory = snapshot.directory();
        let (own, units) = (own_unit(&snapshot)?, self.units(directory)?);
        let lost = self.lost(directory, &request.node)?;
        let code = match &lost {
            Some(node) => node.unit().clone(),
            None => unit_code(&request.unit)?,
        };
        let unit = units.get(&code).ok_or_else(|| {
            Refusal::new(Reason::UnitUnknown, format!("{code} is not in the unit list {}", units.version()))
        })?;
        if code == *own || !units.is_within(&code, own) {
            let detail = format!("{code} is not below {own}; a node for it is invited by a node above it");
            return Err(Refusal::new(Reason::UnitNotBelow, detail));
        }
        let life_s = match request.expires_in_s {
            0 => limits::INVITE_LIFE_S,
            life_s => life_s,
        };
        if life_s > limits::INVITE_LIFE_MAX_S {
            let detail = format!("an invite lives {} days at most", limits::INVITE_LIFE_MAX_S / 86_400);
            return Err(Refusal::new(Reason::RequestInvalid, detail));
        }
        let address = self.invite_address(&request.address)?;
        let expires_at_ms = self.clock.now_ms().saturating_add_unsigned(life_s * 1_000);
        let secret = InviteSecret(keys::random_bytes());
        let token = Token {
            address: address.clone(),
            unit: code.clone(),
            parent: snapshot.me().clone(),
            ca_certificate: self.ca_certificate.clone(),
            anchor: directory.anchor(),
            trust_domain: directory.trust_domain().to_owned(),
            secret,
            expires_at_ms,
            node: lost.as_ref().map(|node| node.id().clone()),
        };
        // Before it is kept: an invite whose token cannot be written is of no use.
        let token = token.to_text()?;
        let invite = InviteRow {
            secret_hash: secret.hash(),
            unit: code.clone(),
            expires_at_ms,
            used_by: None,
            again: request.again || lost.is_some(),
            node: lost.as_ref().map(|node| node.id().clone()),
        };
        self.pipeline.invite(invite).await.map_err(of_pipeline)?;
        tracing::info!(unit = %code, %address, expires_at_ms, "an invite was made");
        let unit_name = unit.name.to_string();
        let (mut former, mut persons) = (Vec::new(), 0);
        if lost.is_none() {
            let authors = self.authors(&snapshot).await?.remove(&code).unwrap_or_default();
            former = authors.iter().map(ToString::to_string).collect();
            persons = self.view.persons_of(&code).await.map_err(of_view)?;
        }
        Ok(pb::CreateInviteResponse { token, unit_name, expires_at_ms, address: address.to_string(), former, persons })
    }

    /// The node that shall get its place back; `None`: the invite is for a new node.
    fn lost(&self, directory: &Directory, node: &str) -> Result<Option<Node>, Refusal> {
        if node.trim().is_empty() {
            return Ok(None);
        }
        let id: NodeId = node.trim().parse().map_err(|error| {
            Refusal::new(Reason::RequestInvalid, format!("the node: {error}; see the list of children"))
        })?;
        match directory.node(&id) {
            // One that lost its place with who enrolled it was not revoked itself.
            Some(node) if node.is_revoked() && node.has_place() => {
                let detail = format!("{id} was revoked; its unit gets a new node with --unit {} --again", node.unit());
                Err(Refusal::new(Reason::KeyRevoked, detail))
            }
            Some(node) => {
                // It would be refused then, too; the operator shall know before.
                if let Some(link) = &self.link {
                    link.borrow().all_here_of(&id, &self.pipeline.snapshot())?;
                }
                Ok(Some(node.clone()))
            }
            None => {
                let above = self.parent.as_ref().map(|(parent, _)| {
                    format!(
                        "; if it was below a node that was revoked, this node never heard of it, and {parent} above gives it the place: \
                         danso-admin child invite --node {id} there"
                    )
                });
                let detail = format!("{id} is not in the directory here{}", above.unwrap_or_default());
                Err(Refusal::new(Reason::NotFound, detail))
            }
        }
    }

    /// The address that the child shall dial.
    fn invite_address(&self, given: &str) -> Result<Address, Refusal> {
        let advice = "give one that the new node can reach, with --address HOST:PORT, or set node.advertise in the configuration";
        let address = match given.trim() {
            "" => self.invite_address.clone(),
            given => {
                given.parse().map_err(|error| Refusal::new(Reason::RequestInvalid, format!("the address: {error}")))?
            }
        };
        if !address.is_dialable() {
            return Err(Refusal::new(Reason::RequestInvalid, format!("nobody can dial {address}; {advice}")));
        }
        Ok(address)
    }
}
