//! `ironic-proxy`: what was typed, and the exit code.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use ironic_proxy::app;
use ironic_proxy::command::check;
use ironic_proxy::command::cli::Cli;
use ironic_proxy::command::cli::PolicyTask;
use ironic_proxy::command::cli::Task;
use ironic_proxy::command::policy;
use ironic_proxy::command::sync;
use ironic_proxy::command::sync::Mode;
use ironic_proxy::config::Config;
use ironic_proxy::config::Sources;
use ironic_proxy::telemetry::spool;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the files of its configuration are called.
const PROGRAM: &str = "ironic-proxy";
/// `EX_CONFIG` of sysexits.h.
const BAD_CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let sources = Sources::search(PROGRAM, cli.sources().to_vec(), home.as_deref());
    let config = match Config::load(&sources, std::env::vars_os()) {
        Ok(config) => config,
        Err(errors) => {
            for warning in &errors.warnings {
                eprintln!("warning: {warning}");
            }
            eprintln!("{errors}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    if cli.check_config {
        return checked(&config);
    }
    match cli.task {
        Some(Task::Sync { apply }) => {
            synchronise(&config, if apply { Mode::Apply } else { Mode::Show })
        }
        Some(Task::Policy { task }) => policy(&config, task.as_ref()),
        None => {
            let served = app::run(&config);
            spool::finish();
            match served {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("ironic-proxy: {error}");
                    ExitCode::from(BAD_CONFIGURATION)
                }
            }
        }
    }
}

fn policy(config: &Config, task: Option<&PolicyTask>) -> ExitCode {
    let told = match task {
        None => policy::show(config).map(|text| (text, true)),
        Some(PolicyTask::Check(inquiry)) => policy::check(config, inquiry),
    };
    match told {
        Ok((text, allowed)) => {
            let written = std::io::stdout().write_all(text.as_bytes());
            if allowed && written.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("ironic-proxy: {error}");
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

fn checked(config: &Config) -> ExitCode {
    let findings = check::files(config);
    for warning in config.warnings.iter().chain(&findings.warnings) {
        eprintln!("warning: {warning}");
    }
    if findings.faults.is_empty() {
        println!("ok");
        return ExitCode::SUCCESS;
    }
    for fault in &findings.faults {
        eprintln!("{fault}");
    }
    ExitCode::from(BAD_CONFIGURATION)
}

fn synchronise(config: &Config, mode: Mode) -> ExitCode {
    let finished = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(sync::run(config, mode)),
        Err(error) => Err(error.into()),
    };
    match finished {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ironic-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}
