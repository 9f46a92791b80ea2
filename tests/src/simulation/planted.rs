//! Faults that are planted on purpose, to show that the simulation finds them. They are faults of the shell, the part that a node has
//! beside the pure core. Only builds with the feature `planted-bugs` have them.

/// A planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// `Durable` is said when a package comes, not when it is committed.
    AckBeforeCommit,
    /// A package that begins behind the end of its log is appended all the same.
    SkippedSequenceCheck,
    /// A batch in which a package came again adds to the cube a second time.
    DoubleApply,
    /// The sender keeps how far it sent, and believes that more than the receiver's own word.
    CursorInTwoPlaces,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::AckBeforeCommit, Self::SkippedSequenceCheck, Self::DoubleApply, Self::CursorInTwoPlaces];

    /// Its word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::AckBeforeCommit => "ack-before-commit",
            Self::SkippedSequenceCheck => "skipped-sequence-check",
            Self::DoubleApply => "double-apply",
            Self::CursorInTwoPlaces => "cursor-in-two-places",
        }
    }

    /// The fault with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.word() == word)
    }

    /// Whether this build has the fault and this run wants it.
    pub(super) fn is_in(self, planted: Option<Self>) -> bool {
        cfg!(feature = "planted-bugs") && planted == Some(self)
    }
}
