//! All stories in one binary, a module each. `tests/run` builds the programs they start.

mod deploy;
mod proofs;
mod proto_lint;
mod refusals_import;
mod refusals_join;
mod survive;
mod tidy;
mod whole_way;
