//! Subcommands: wiring only.

mod export;
mod prepare;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Simultaneous speech translation: speech in, committed text in another language out, while the speaker still talks.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Prepare(prepare::Prepare),
    Train(Box<train::Train>),
    Export(export::Export),
}

/// Runs the program. Exit codes: 0 done, 1 failed, 2 wrong usage.
pub(crate) fn run() -> ExitCode {
    tch::set_num_threads(1);
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Prepare(command) => command.run(),
        Command::Train(command) => command.run(),
        Command::Export(command) => command.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
