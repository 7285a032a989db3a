//! The harness and its children in one program.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match blockyard_torture::run(&blockyard_torture::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
