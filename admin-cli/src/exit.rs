//! How a command ends: its exit code, and what is said when it does not end well. It may know refusals and gRPC statuses, and nothing of
//! what a verb does.

use danso_proto::refusal::{Class, Reason};
use tonic_types::StatusExt as _;

/// Exit codes. Scripts rely on them: they are shown by `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// A fault of ours.
    Fault = 1,
    /// Wrong usage. clap uses the same code.
    Usage = 2,
    /// Refused: bad input, or not allowed.
    Refused = 3,
    /// The node or a link that is needed is not available, or it took too long.
    Unavailable = 4,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The exit code for a refusal of this class.
pub fn of_class(class: Class) -> Exit {
    match class {
        Class::Invalid
        | Class::Denied
        | Class::Unauthenticated
        | Class::NotFound
        | Class::Conflict
        | Class::Exhausted => Exit::Refused,
        Class::Unavailable => Exit::Unavailable,
        Class::Internal => Exit::Fault,
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The node refused, and said why.
    #[error("{code}: {detail}")]
    Refused {
        /// Reason code as it came; a newer node may send one that is not known here.
        code: String,
        /// What exactly was found, in English.
        detail: String,
        /// Exit code for a reason that is not known here.
        fallback: Exit,
    },
    /// Nobody answers on the node's socket, or the answer broke off.
    #[error("{0}")]
    Unavailable(String),
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// Whoever read our output has gone: nothing to say, and nobody to say it to.
    #[error("the output was closed")]
    OutputClosed,
    /// A fault of ours.
    #[error(transparent)]
    Fault(#[from] anyhow::Error),
}

impl Failure {
    /// A refusal made here, not at the node.
    pub fn refused(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Refused { code: reason.code().into(), detail: detail.into(), fallback: of_class(reason.class()) }
    }

    /// The reason, when it is one that is known here.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused { code, .. } => Reason::from_code(code),
            _ => None,
        }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Refused { fallback, .. } => self.reason().map_or(*fallback, |reason| of_class(reason.class())),
            Self::Unavailable(_) => Exit::Unavailable,
            Self::Usage(_) => Exit::Usage,
            Self::OutputClosed => Exit::Done,
            Self::Fault(_) => Exit::Fault,
        }
    }
}

impl From<danso_proto::refusal::Refusal> for Failure {
    fn from(refusal: danso_proto::refusal::Refusal) -> Self {
        Self::refused(refusal.reason, refusal.detail)
    }
}

impl From<tonic::Status> for Failure {
    /// A status with Danso's error info is a refusal with its reason. One without was made by the transport on this side (it has a
    /// source), or by something between or beside the node's own code.
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        if let Some(info) = status.get_details_error_info().filter(|info| info.domain == DOMAIN) {
            return Self::Refused {
                code: info.reason,
                detail: status.message().to_owned(),
                fallback: of_code(status.code()),
            };
        }
        let broke_off = std::error::Error::source(&status).is_some();
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Self::Unavailable(said(&status)),
            Code::Unknown | Code::Internal if broke_off => Self::Unavailable(said(&status)),
            Code::Unimplemented => Self::Fault(anyhow::anyhow!(
                "the node does not know this command: is it of another version? ({})",
                said(&status)
            )),
            code if of_code(code) == Exit::Fault => Self::Fault(anyhow::anyhow!(said(&status))),
            code => Self::Refused { code: format!("{code:?}"), detail: said(&status), fallback: of_code(code) },
        }
    }
}

/// Domain of Danso's reasons in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "danso";

fn of_code(code: tonic::Code) -> Exit {
    use tonic::Code;
    match code {
        Code::Ok => Exit::Done,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Exit::Unavailable,
        Code::Unknown | Code::Internal | Code::DataLoss | Code::Unimplemented => Exit::Fault,
        _ => Exit::Refused,
    }
}

/// The status' message with its sources, which say what broke.
fn said(status: &tonic::Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let more = error.to_string();
        if !more.is_empty() && !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::{Code, Status};
    use tonic_types::ErrorDetails;

    fn refusal(code: Code, reason: &str, domain: &str) -> Failure {
        let details = ErrorDetails::with_error_info(reason, domain, []);
        Status::with_error_details(code, "what was found", details).into()
    }

    #[test]
    fn every_known_reason_exits_by_its_class() {
        for reason in Reason::ALL {
            let failure = refusal(Code::FailedPrecondition, reason.code(), "danso");
            assert_eq!(failure.reason(), Some(*reason));
            assert_eq!(failure.exit(), of_class(reason.class()), "{reason}");
            assert_ne!(failure.exit(), Exit::Done);
        }
    }

    #[test]
    fn a_reason_of_a_newer_node_exits_by_its_grpc_code() {
        assert_eq!(refusal(Code::InvalidArgument, "of_tomorrow", "danso").exit(), Exit::Refused);
        assert_eq!(refusal(Code::Unavailable, "of_tomorrow", "danso").exit(), Exit::Unavailable);
        assert_eq!(refusal(Code::Internal, "of_tomorrow", "danso").exit(), Exit::Fault);
    }

    #[test]
    fn what_has_no_reason_of_danso_exits_by_its_grpc_code() {
        assert_eq!(refusal(Code::Unavailable, "link_down", "other").exit(), Exit::Unavailable);
        assert_eq!(Failure::from(Status::unavailable("x")).exit(), Exit::Unavailable);
        assert_eq!(Failure::from(Status::deadline_exceeded("x")).exit(), Exit::Unavailable);
        assert_eq!(Failure::from(Status::internal("x")).exit(), Exit::Fault);
        assert_eq!(Failure::from(Status::unimplemented("x")).exit(), Exit::Fault);
        assert_eq!(Failure::from(Status::permission_denied("x")).exit(), Exit::Refused);
    }

    #[test]
    fn a_broken_transport_is_no_fault_of_ours() {
        let broken = Status::from_error(Box::new(std::io::Error::other("reset")));
        assert_eq!(Failure::from(broken).exit(), Exit::Unavailable);
    }
}
