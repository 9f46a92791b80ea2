//! Refusals as gRPC statuses: the only place that makes a [`Status`].

use std::collections::HashMap;

use danso_proto::refusal::{Class, Reason, Refusal};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of Danso's reasons in `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "danso";
/// Bytes of a detail that travel: a status is sent in HTTP/2 headers, twice, and peers take 16 KiB of those.
const DETAIL_MAX: usize = 2 * 1024;

/// The status that says this refusal, with its reason in an `ErrorInfo`.
pub fn from_refusal(refusal: &Refusal) -> Status {
    let code = match refusal.reason.class() {
        Class::Invalid => Code::InvalidArgument,
        Class::Denied => Code::PermissionDenied,
        Class::Unauthenticated => Code::Unauthenticated,
        Class::NotFound => Code::NotFound,
        Class::Conflict => Code::FailedPrecondition,
        Class::Exhausted => Code::ResourceExhausted,
        Class::Unavailable => Code::Unavailable,
        Class::Internal => Code::Internal,
    };
    let details = ErrorDetails::with_error_info(refusal.reason.code(), DOMAIN, HashMap::new());
    Status::with_error_details(code, short(&refusal.detail), details)
}

/// Why a peer's stream of messages broke off.
pub(super) fn of_inbound(error: &Status) -> Refusal {
    let reason = match error.code() {
        // What tonic says of a message over the bound that was set.
        Code::OutOfRange => Reason::TooLarge,
        _ => Reason::LinkDown,
    };
    Refusal::new(reason, error.message())
}

/// The beginning of a text, cut between two characters.
fn short(detail: &str) -> &str {
    &detail[..detail.floor_char_boundary(DETAIL_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_reads_back_from_its_status() {
        for reason in Reason::ALL {
            let status = from_refusal(&Refusal::new(*reason, "what was found"));
            let info = status.get_details_error_info().expect("an ErrorInfo");
            assert_eq!((Reason::from_code(&info.reason), &*info.domain), (Some(*reason), DOMAIN));
            assert_eq!(status.message(), "what was found");
            assert!(!matches!(status.code(), Code::Ok | Code::Unknown));
        }
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let status = from_refusal(&Refusal::new(Reason::Internal, "ấ".repeat(DETAIL_MAX)));
        assert!(status.message().len() <= DETAIL_MAX && status.message().chars().all(|c| c == 'ấ'));
    }
}
