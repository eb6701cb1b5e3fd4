//! `ironic-proxy`: the command line and the exit status.

use std::io;
use std::io::IsTerminal as _;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use ironic_proxy::app;
use ironic_proxy::command::check;
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
        Err(errors) => {
            for warning in &errors.warnings {
                tell(&format!("warning: {warning}"));
            }
            for fault in &errors.faults {
                tell(fault);
            }
            return ExitCode::from(BAD_CONFIGURATION);
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
                    ExitCode::from(if error.is_passing() {
                        TRY_AGAIN
                    } else {
                        BAD_CONFIGURATION
                    })
                }
            }
        }
    }
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
    let findings = check::files(config);
    for warning in config.warnings.iter().chain(&findings.warnings) {
        tell(&format!("warning: {warning}"));
    }
    if findings.faults.is_empty() {
        return match say("ok") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    for fault in &findings.faults {
        tell(fault);
    }
    ExitCode::from(BAD_CONFIGURATION)
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
    let mut findings = check::files(config);
    findings
        .warnings
        .splice(0..0, config.warnings.iter().cloned());
    // Before the first start there is none, unless somebody names it.
    let mut absent = None;
    match check::running::compare(config, socket) {
        Ok(changes) => findings.warnings.extend(changes),
        Err(error) if gateway.socket.is_some() => absent = Some(error),
        Err(_) => {}
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
    let well = findings.faults.is_empty();
    let said = if gateway.format == Format::Json {
        say(&serde_json::json!(findings).to_string())
    } else {
        for warning in &findings.warnings {
            tell(&format!("warning: {warning}"));
        }
        for fault in &findings.faults {
            tell(fault);
        }
        if well { say("ok") } else { Ok(()) }
    };
    if !well || said.is_err() {
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
