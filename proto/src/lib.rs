//! Danso's outward promise: what nodes sign, send and answer, and how anybody can check it.
//!
//! Layers, each importing only those before it: `ids`, `limits`, `refusal`, `wire`; `change`, `identity`, `merkle`; `envelope`;
//! `checkpoint`, `package`; `proof`; `evidence`. No I/O, no clock, no randomness: what needs them gets them as parameters.

pub mod change;
pub mod checkpoint;
pub mod envelope;
pub mod evidence;
pub mod identity;
pub mod ids;
pub mod limits;
pub mod merkle;
pub mod package;
pub mod proof;
pub mod refusal;
pub mod wire;

/// Generated from the `.proto` files. These types stay at the edge: rooms further in use the types of this crate.
#[expect(
    clippy::allow_attributes,
    reason = "the generated code has them, and which lints it trips depends on features"
)]
#[allow(missing_docs, clippy::all, clippy::allow_attributes_without_reason, reason = "generated code")]
pub mod pb {
    macro_rules! package {
        ($name:literal) => {
            include!(concat!(env!("OUT_DIR"), "/danso.", $name, ".v1.rs"));
        };
    }
    pub mod exchange {
        pub mod v1 {
            package!("exchange");
        }
    }
    pub mod query {
        pub mod v1 {
            package!("query");
        }
    }
    pub mod admin {
        pub mod v1 {
            package!("admin");
        }
    }
}

/// The descriptors of all `.proto` files, for reflection and lint.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/danso.bin"));
