//! Which rules made a register: what is derived by older ones is derived again. Knows nothing of what is kept where.

use danso_proto::change::Body;

/// The rules by which entries become register and cube.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    version: u32,
    skips: fn(&Body) -> bool,
}

impl Rules {
    /// Those of this program.
    ///
    /// Their number goes up whenever the same entries would make other rows: a kind of change that is known now, another count, another
    /// stored form. A node whose rows were made by another number makes them anew from its logs.
    ///
    /// 1: version 0.1.0. 2: a month that was closed twice is closed by the change with the lowest id, whichever came first. 3: roll-ups of the cube. 4: the rows of
    /// the cube in groups; findings say what they saw, and are answered; persons keep what doubts rest on, and mothers; of several statements that a month is
    /// complete the one with the earliest clock counts; how many live where is kept.
    pub const CURRENT: Self = Self { version: 4, skips: |_| false };

    /// Those of a version that did not know some kinds: they are carried and listed. For tests of upgrades.
    pub const fn without(version: u32, skips: fn(&Body) -> bool) -> Self {
        Self { version, skips }
    }

    /// Their number.
    pub fn version(&self) -> u32 {
        self.version
    }

    pub(super) fn know(&self, body: &Body) -> bool {
        !matches!(body, Body::Unknown) && !(self.skips)(body)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::CURRENT
    }
}
