//! Tests of the rules (follow).
