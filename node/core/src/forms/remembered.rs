//! Which row of a form a change came from, told by the change itself and its identity part: how a node that has its log again knows which
//! rows came before. This room may not know how rows are read.

use danso_proto::change::{Body, Change};
use danso_proto::identity::IdentityPart;
use danso_proto::ids::ChangeId;

use super::{Form, Source};
use crate::register::person_of;

/// The form and the key of the row behind a change: slip number, or person reference for the household book. `None` when no row of a form
/// is behind it, or its part does not say which.
///
/// The digest stays unknown: a slip leaves out of its part what the register implies, so that the row cannot be put together again. Every row
/// with this key then counts as the same.
pub fn remembered(id: ChangeId, change: &Change, part: &IdentityPart) -> Option<(Form, String, Source)> {
    let person = person_of(id, &change.body)?;
    let (form, key) = match &change.body {
        Body::PersonEnrolled(_) => (Form::Households, &part.person_ref),
        _ => (Form::Changes, &part.slip_no),
    };
    let source = Source { digest: None, change: id, person, birth: matches!(change.body, Body::Birth(_)) };
    (!key.is_empty()).then(|| (form, key.clone(), source))
}
