//! The command line: parse, dispatch, map errors to exit codes.

mod cli;

use std::process::ExitCode;

/// Of libtorch as well: steps of few rows are quicker by a tenth than with the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
