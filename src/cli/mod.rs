//! Subcommands: wiring only. Invariant: a failure is told once, on stderr, and its kind is the exit code.

mod bench;
mod compress;
mod evaluate;
mod export;
mod health;
mod info;
mod lines;
mod output;
mod prepare;
mod remote;
mod serve;
mod stream;
mod train;
mod translate;

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use decalage::audio::{AudioError, AudioReader, Limits};
use decalage::bundle::BundleError;
use decalage::config::ConfigError;
use decalage::engine::LoadError;

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const BUNDLE: u8 = 3;
const INPUT: u8 = 4;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    wrong usage or configuration
  3    the bundle is missing, damaged, or of another version
  4    an audio input is missing, empty, damaged or of no known format (everything before the fault is translated)
  127  libtorch is missing or of another version (the system's loader says which file)";

/// Simultaneous speech translation: speech in, committed text in another language out, while the speaker still talks.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(after_help = EXIT_CODES)]
    Translate(translate::Translate),
    #[command(after_help = EXIT_CODES)]
    Evaluate(evaluate::Evaluate),
    #[command(after_help = EXIT_CODES)]
    Info(info::Info),
    #[command(after_help = EXIT_CODES)]
    Serve(Box<serve::Serve>),
    Health(health::Health),
    #[command(after_help = EXIT_CODES)]
    Stream(stream::Stream),
    Bench(bench::Bench),
    Prepare(prepare::Prepare),
    Train(Box<train::Train>),
    Export(export::Export),
    Compress(compress::Compress),
}

/// Runs the program; see [`EXIT_CODES`].
pub(crate) fn run() -> ExitCode {
    tch::set_num_threads(1);
    let cli = Cli::parse();
    // The server has a log of its own, as its config says.
    if !matches!(cli.command, Command::Serve(_)) {
        tracing_subscriber::fmt()
            .with_writer(io::stderr)
            .with_target(false)
            .without_time()
            .with_ansi(io::stderr().is_terminal())
            .init();
    }
    let done = match cli.command {
        Command::Translate(command) => command.run(),
        Command::Evaluate(command) => command.run(),
        Command::Info(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Health(command) => command.run(),
        Command::Stream(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Prepare(command) => command.run(),
        Command::Train(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Compress(command) => command.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has seen enough, as in `decalage translate … | head`.
        Err(error) if error.chain().any(is_broken_pipe) => ExitCode::from(FAILED),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| cause.is::<ConfigError>()) {
        return USAGE;
    }
    let is_bundle = |cause: &(dyn std::error::Error + 'static)| cause.is::<BundleError>() || cause.is::<LoadError>();
    if error.chain().any(is_bundle) {
        BUNDLE
    } else if error.chain().any(|cause| cause.is::<AudioError>()) {
        INPUT
    } else {
        FAILED
    }
}

fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Opens an audio file, or standard input for `-`.
fn open_audio(path: &Path) -> Result<AudioReader, AudioError> {
    let limits = Limits::default();
    if path.as_os_str() == "-" {
        AudioReader::open_stream(io::stdin(), &limits)
    } else {
        AudioReader::open(File::open(path)?, &limits)
    }
}
