//! All stories in one binary, a module each. `tests/run` builds the programs they start.

#![expect(clippy::unwrap_used, reason = "all of this binary is test code, its helpers too")]

mod answers;
mod backups;
mod below;
mod damage;
mod deploy;
mod disk;
mod findings;
mod forks;
mod full_year;
mod keys;
mod months;
mod proofs;
mod proto_lint;
mod receipts;
mod recorded;
mod recover;
mod refusals_import;
mod refusals_join;
mod refusals_wire;
mod renewal;
mod setting_up;
mod survive;
mod tidy;
mod twins;
mod whole_way;
