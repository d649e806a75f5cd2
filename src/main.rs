//! The binary: parse, set up telemetry, run.

use std::process::ExitCode;

fn main() -> ExitCode {
    appmigration::cli::main()
}
