//! What keeps the process going, whatever it works on: who leads, and when something is tried again.

pub mod leader;
pub mod pace;
