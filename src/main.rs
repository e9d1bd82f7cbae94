//! The `crossfade` executable: hands the command line to `cli` and turns its result into an exit code.

fn main() -> std::process::ExitCode {
    crossfade::cli::run(std::env::args_os())
}
