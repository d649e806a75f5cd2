//! The custom resources, by version. Types and vocabulary only: no I/O.

pub mod v1alpha1;
