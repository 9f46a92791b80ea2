//! The service against a pipeline and a store of its own.
