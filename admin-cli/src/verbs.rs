//! The verbs, one per file. Each has its `Args` and `run`; none may know another.

pub mod aggregate_pull;
pub mod child_invite;
pub mod child_list;
pub mod child_revoke;
pub mod doctor;
pub mod evidence_check;
pub mod evidence_export;
pub mod evidence_list;
pub mod finding_list;
pub mod import;
pub mod key_rotate;
pub mod link_retry;
pub mod log_list;
pub mod log_prove;
pub mod log_show;
pub mod log_verify;
pub mod period_close;
pub mod proof_check;
pub mod quarantine_accept;
pub mod quarantine_list;
pub mod quarantine_reset;
pub mod receipt_list;
pub mod receipt_show;
pub mod receipt_wait;
pub mod status;
pub mod waiting_list;
