//! The rules, by table and against a simulated application.

mod rules;
mod simulation;
mod world;
