//! `ironic-proxy`: the command line and the exit status.

use std::io;
use std::io::IsTerminal as _;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use ironic_proxy::app;
use ironic_proxy::command::check;
use ironic_proxy::command::check::Findings;
use ironic_proxy::command::cli::Cli;
use ironic_proxy::command::cli::PolicyTask;
use ironic_proxy::command::cli::Task;
use ironic_proxy::command::manual;
use ironic_proxy::command::operate::End;
use ironic_proxy::command::operate::Operation;
use ironic_proxy::command::operate::OperationError;
use ironic_proxy::command::policy;
use ironic_proxy::command::socket::Gateway;
use ironic_proxy::command::socket::Where;
use ironic_proxy::command::survey;
use ironic_proxy::command::survey::SurveyError;
use ironic_proxy::command::survey::clouds;
use ironic_proxy::command::sync;
use ironic_proxy::command::sync::SyncError;
use ironic_proxy::command::sync::Way;
use ironic_proxy::command::terminal::Format;
use ironic_proxy::command::terminal::clear;
use ironic_proxy::command::terminal::progress;
use ironic_proxy::command::terminal::say;
use ironic_proxy::command::terminal::tell;
use ironic_proxy::config::Config;
use ironic_proxy::config::Errors;
use ironic_proxy::config::Given;
use ironic_proxy::config::Sources;
use ironic_proxy::config::default_socket;
use ironic_proxy::sync::Mode;
use ironic_proxy::telemetry;
use ironic_proxy::telemetry::spool;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What the files of its configuration are called.
const PROGRAM: &str = "ironic-proxy";
/// `EX_TEMPFAIL` of sysexits.h.
const TRY_AGAIN: u8 = 75;
/// `EX_CONFIG` of sysexits.h.
const BAD_CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    if let Some(Task::Manual { directory }) = &cli.task {
        return match manual::write(directory) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tell(&format!("ironic-proxy: {}: {error}", directory.display()));
                ExitCode::FAILURE
            }
        };
    }
    let typed = cli.sources();
    let found = match &cli.task {
        Some(Task::Survey { clouds, .. }) => match clouds::sections(clouds) {
            Ok(found) => found,
            Err(error) => {
                tell(&format!("ironic-proxy: {error}"));
                return ExitCode::from(BAD_CONFIGURATION);
            }
        },
        _ => Vec::new(),
    };
    let below = survey::below(&found);
    let sources = {
        let typed = typed.clone();
        move || {
            let home = std::env::var_os("HOME").map(PathBuf::from);
            if below.is_empty() {
                Sources::search(PROGRAM, typed.clone(), home.as_deref())
            } else {
                // The gateway's own file is not meant if clouds are named.
                Sources::new(typed.clone()).above(below.clone())
            }
        }
    };
    // Before the configuration is judged: whoever runs began with another one, and is asked whatever is wrong with this.
    let gateway = cli
        .gateway()
        .map(|named| Gateway::find(named, &typed, &sources()));
    if let Some(Gateway::At(socket)) = &gateway {
        match &cli.task {
            Some(Task::Operate(operation)) => return operate(operation, socket),
            Some(Task::Sync { gateway, apply }) => {
                return synchronise(Way::Through(socket), mode(*apply), gateway.format);
            }
            _ => {}
        }
    }
    let read = move || Config::load(&sources(), std::env::vars_os());
    let config = match read() {
        Ok(config) => config,
        Err(Errors {
            faults,
            warnings,
            passing,
        }) => {
            let findings = Findings { faults, warnings };
            return match &cli.task {
                Some(Task::Check { gateway, .. }) if !cli.check_config => {
                    // Its document is for programs, which read no more than the exit status of others.
                    let _ = told(&findings, gateway.format);
                    ExitCode::FAILURE
                }
                _ => {
                    let _ = told(&findings, Format::Text);
                    let is_start = cli.task.is_none() && !cli.check_config;
                    not_started(passing && is_start)
                }
            };
        }
    };
    if cli.check_config {
        return checked(&config);
    }
    let socket = gateway.map_or_else(default_socket, Gateway::socket);
    match cli.task {
        Some(Task::Sync { gateway, apply }) => {
            // For people; programs see that nothing was swept.
            if io::stderr().is_terminal() {
                tell("no gateway runs here: the locations are compared without one");
            }
            synchronise(Way::Alone(&config), mode(apply), gateway.format)
        }
        Some(Task::Survey { format, .. }) => survey(&config, &found, format),
        Some(Task::Operate(operation)) => operate(&operation, &socket),
        Some(Task::Check { gateway, online }) => examined(&config, &gateway, &socket, online),
        Some(Task::Policy { task }) => policy(&config, task.as_ref()),
        // A manual was written before there was a configuration.
        Some(Task::Manual { .. }) | None => {
            let served = app::run(config, Box::new(read));
            // The last lines say why it ended.
            spool::finish();
            match served {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tell(&format!("ironic-proxy: {error}"));
                    not_started(error.is_passing())
                }
            }
        }
    }
}

/// What a service manager makes of a start that failed.
fn not_started(is_passing: bool) -> ExitCode {
    ExitCode::from(if is_passing {
        TRY_AGAIN
    } else {
        BAD_CONFIGURATION
    })
}

fn mode(apply: bool) -> Mode {
    if apply { Mode::Apply } else { Mode::Show }
}

fn operate(operation: &Operation, socket: &Path) -> ExitCode {
    match operation.run(socket) {
        Ok(End::Well) => ExitCode::SUCCESS,
        Ok(End::Unwell) => ExitCode::FAILURE,
        // Who reads has read enough.
        Err(OperationError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::FAILURE
        }
        Err(error) => {
            tell(&format!("ironic-proxy: {error}"));
            ExitCode::from(error.code())
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
            let written = io::stdout().write_all(text.as_bytes());
            if allowed && written.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            tell(&format!("ironic-proxy: {error}"));
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

fn checked(config: &Config) -> ExitCode {
    let findings = found_in(config);
    let said = told(&findings, Format::Text);
    match (findings.faults.is_empty(), said) {
        (true, Ok(())) => ExitCode::SUCCESS,
        (true, Err(_)) => ExitCode::FAILURE,
        (false, _) => ExitCode::from(BAD_CONFIGURATION),
    }
}

fn found_in(config: &Config) -> Findings {
    let mut findings = check::files(config);
    let warnings = config.warnings.iter().cloned();
    findings.warnings.splice(0..0, warnings);
    findings
}

fn told(findings: &Findings, format: Format) -> io::Result<()> {
    if format == Format::Json {
        return say(&serde_json::json!(findings).to_string());
    }
    for warning in &findings.warnings {
        tell(&format!("warning: {warning}"));
    }
    for fault in &findings.faults {
        tell(fault);
    }
    if findings.faults.is_empty() {
        say("ok")?;
    }
    Ok(())
}

fn survey(config: &Config, found: &[Given], format: Format) -> ExitCode {
    telemetry::on_terminal();
    let finished = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(survey::run(config, found, format)),
        Err(error) => Err(error.into()),
    };
    match finished {
        Ok(end) => ExitCode::from(end.code()),
        // Who reads has read enough.
        Err(SurveyError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::FAILURE
        }
        Err(error) => {
            tell(&format!("ironic-proxy: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The same and more: the files, the gateway that runs, and where that is wanted whoever is asked.
fn examined(config: &Config, gateway: &Where, socket: &Path, online: bool) -> ExitCode {
    let mut findings = found_in(config);
    // Before the first start there is none, unless somebody names it.
    let mut absent = None;
    match check::running::compare(config, socket) {
        Ok(changes) => findings.warnings.extend(changes),
        Err(error) if gateway.socket.is_some() => absent = Some(error),
        Err(error) if error.is_absence() => {}
        Err(error) => {
            let unknown = format!("what would change is not known: {error}");
            findings.warnings.push(unknown);
        }
    }
    if online {
        telemetry::on_terminal();
        progress("asking the locations");
        let asked = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime
                .block_on(check::online::ask(config))
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        clear();
        match asked {
            Ok(found) => findings.extend(found),
            // Its files are at fault, which was found already.
            Err(error) if findings.faults.is_empty() => findings.faults.push(error),
            Err(_) => {}
        }
    }
    let said = told(&findings, gateway.format);
    if !findings.faults.is_empty() || said.is_err() {
        return ExitCode::FAILURE;
    }
    match absent {
        None => ExitCode::SUCCESS,
        Some(error) => {
            let error = OperationError::from(error);
            tell(&format!("ironic-proxy: {error}"));
            ExitCode::from(error.code())
        }
    }
}

fn synchronise(way: Way<'_>, mode: Mode, format: Format) -> ExitCode {
    telemetry::on_terminal();
    let finished = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(sync::run(way, mode, format)),
        Err(error) => Err(error.into()),
    };
    match finished {
        Ok(end) => ExitCode::from(way.code(end)),
        // Who reads has read enough.
        Err(SyncError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::FAILURE
        }
        Err(error) => {
            tell(&format!("ironic-proxy: {error}"));
            ExitCode::from(error.code())
        }
    }
}
