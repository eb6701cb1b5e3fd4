//! `--check-config`: faults in the files that the configuration names. The code that uses these files at the start
//! reads them here too, so a fault here is what would stop the start.

pub mod online;
pub mod running;

use std::error::Error;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process;
use std::sync::Arc;

use log::Level;
use serde::Serialize;

use crate::auth::Authenticator;
use crate::auth::http_basic::users;
use crate::command::policy;
use crate::config::ApiConfig;
use crate::config::AuthStrategy;
use crate::config::Config;
use crate::config::LocationId;
use crate::config::Session;
use crate::coordination::backend;
use crate::keystone;
use crate::locations::location::Location;
use crate::tls::expiry;
use crate::tls::listener::Listener;
use crate::wire::budget::Incoming;

/// Faults and warnings, one line each.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    pub faults: Vec<String>,
    pub warnings: Vec<String>,
}

impl Findings {
    /// Adds the findings of another check.
    pub fn extend(&mut self, others: Self) {
        self.faults.extend(others.faults);
        self.warnings.extend(others.warnings);
    }
}

/// Looks at every file that the configuration names.
pub fn files(config: &Config) -> Findings {
    // Reading a certificate into rustls needs the provider that `app` installs for a running gateway.
    keystone::client::install_crypto_provider();
    let mut findings = Findings::default();
    findings.writable(config);
    findings.listener(config);
    findings.bodies(config);
    let told = Arc::default();
    for (location, id) in config.locations.iter().zip(0..) {
        if let Err(error) = Location::new(LocationId(id), location, &told, None) {
            findings.faults.push(chain(&error));
        }
        findings.session(&format!("[group:{}]", location.name), &location.session);
    }
    if let Err(error) = policy::show(config) {
        findings.faults.push(error.to_string());
    }
    if let Err(error) = Authenticator::new(&config.auth) {
        findings.faults.push(chain(&error));
    }
    if let Err(error) = backend(config.coordination.as_ref(), None) {
        findings
            .faults
            .push(format!("[coordination] backend_url: {error}"));
    }
    let tls = config.coordination.iter().flat_map(|config| &config.tls);
    for path in tls.flat_map(|tls| [&tls.cafile, &tls.certfile]).flatten() {
        findings.certificates("[coordination] backend_url", path);
    }
    match &config.auth {
        AuthStrategy::Noauth => {}
        AuthStrategy::HttpBasic { user_file } => {
            let lines = users::oddities(user_file);
            let lines = lines
                .iter()
                .map(|line| format!("[DEFAULT] http_basic_auth_user_file: {line}"));
            findings.warnings.extend(lines);
        }
        AuthStrategy::Keystone(inbound) => {
            findings.session("[keystone_authtoken]", &inbound.session);
        }
    }
    findings
}

impl Findings {
    fn writable(&mut self, config: &Config) {
        if let Some(path) = &config.log.file
            && let Err(error) = can_append(path)
        {
            let text = format!("[DEFAULT] log_file: {}: {error}", path.display());
            self.faults.push(text);
        }
        if let Some(path) = &config.log.audit
            && let Err(error) = can_append(path)
        {
            let text = format!("[audit] log_file: {}: {error}", path.display());
            self.faults.push(text);
        }
        if let Err(error) = can_create_in(&config.state_path) {
            // A warning only: without the state file the gateway serves all the same.
            self.warnings.push(format!(
                "[DEFAULT] state_path: {} cannot be written, so nothing survives a restart: {error}",
                config.state_path.display()
            ));
        }
    }

    /// Bodies that `max_buffered` has no room for, though their own option allows them.
    fn bodies(&mut self, config: &Config) {
        let ApiConfig {
            max_buffered,
            max_body,
            max_body_provision,
            max_body_inspection,
            ..
        } = config.api;
        let known = Incoming::largest(max_buffered);
        let mut allowed = vec![
            ("max_json_body_size", max_body, known),
            ("max_json_body_size_provision", max_body_provision, known),
        ];
        if config.api.ramdisk {
            let strangers = Incoming::largest_of_strangers(max_buffered);
            allowed.push((
                "max_json_body_size_inspection",
                max_body_inspection,
                strangers,
            ));
        }
        for (option, size, room) in allowed {
            if size > room {
                self.warnings.push(format!(
                    "[api] {option}: no body of more than {} KiB gets in, since max_buffered is {max_buffered} bytes",
                    room >> 10
                ));
            }
        }
    }

    fn listener(&mut self, config: &Config) {
        let Some(tls) = &config.api.tls else {
            return;
        };
        if let Err(error) = Listener::load(tls) {
            let text = format!("[api] cert_file, key_file, client_ca_file: {error}");
            self.faults.push(text);
        }
        self.certificates("[api] cert_file", &tls.cert_file);
        if !expiry::has_names(&tls.cert_file) {
            self.warnings.push(format!(
                "[api] cert_file: {}: the certificate carries no name (subjectAltName), so no client accepts it",
                tls.cert_file.display()
            ));
        }
        if let Some(path) = &tls.client_ca_file {
            self.certificates("[api] client_ca_file", path);
        }
    }

    fn session(&mut self, section: &str, session: &Session) {
        for (option, path) in [("cafile", &session.cafile), ("certfile", &session.certfile)] {
            if let Some(path) = path {
                self.certificates(&format!("{section} {option}"), path);
            }
        }
    }

    /// Certificates that have expired, soon expire or are not valid yet.
    fn certificates(&mut self, option: &str, path: &Path) {
        for (level, text) in expiry::lines(path) {
            // `log` orders its levels by verbosity: these are Error and Warn.
            if level <= Level::Warn {
                let text = format!("{option}: {}: {text}", path.display());
                self.warnings.push(text);
            }
        }
    }
}

/// The error and what it came from.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        // Some errors print their source themselves.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// Whether a file can be appended to. A file that was not there is removed again: a check changes nothing.
fn can_append(path: &Path) -> io::Result<()> {
    match OpenOptions::new().append(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            OpenOptions::new().write(true).create_new(true).open(path)?;
            fs::remove_file(path)
        }
        opened => opened.map(drop),
    }
}

/// Whether files can be created in a directory, or in the nearest parent that exists: the gateway creates the rest.
fn can_create_in(directory: &Path) -> io::Result<()> {
    let present = directory.ancestors().find(|path| path.exists());
    let present = present.unwrap_or(Path::new("."));
    can_append(&present.join(format!(".ironic-proxy-{}", process::id())))
}
