//! Arguments → config → App → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    chaincast::cli::run()
}
