//! `[admin]`: the second listener, for operators.

use std::env;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use crate::oslo::record::Faulted;
use crate::oslo::section::Section;

/// The admin listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminConfig {
    /// Unix socket; `None` is systemd's choice, if there is a systemd.
    pub socket: Option<PathBuf>,
    /// TCP addresses, loopback only, that serve the read-only part as well.
    pub listen: Vec<SocketAddr>,
    /// Whether durations are told by location; `None`: while there are not too many locations.
    pub location_histograms: Option<bool>,
}

impl AdminConfig {
    /// The socket to serve on: the configured one, or one in systemd's runtime directory.
    pub fn served(&self) -> Option<PathBuf> {
        self.socket.clone().or_else(runtime_socket)
    }
}

const SOCKET: &str = "admin.sock";

/// Where a gateway run by systemd listens, for itself and for commands that systemd starts.
pub fn runtime_socket() -> Option<PathBuf> {
    let directories = env::var_os("RUNTIME_DIRECTORY")?;
    // Several are separated by colons; the first is the service's own.
    let first = env::split_paths(&directories).next()?;
    Some(first.join(SOCKET))
}

/// The same for commands that systemd does not start.
pub fn default_socket() -> PathBuf {
    Path::new("/run/ironic-proxy").join(SOCKET)
}

/// Reads the section.
pub(crate) fn admin(section: &mut Section<'_>) -> Result<AdminConfig, Faulted> {
    let socket = section.path("socket");
    let listen = listen(section);
    let location_histograms = section.optional_flag("location_histograms");
    Ok(AdminConfig {
        socket: socket?,
        listen: listen?,
        location_histograms: location_histograms?,
    })
}

fn listen(section: &mut Section<'_>) -> Result<Vec<SocketAddr>, Faulted> {
    let option = "listen";
    let mut outcome = Ok(Vec::new());
    for text in section.list(option)? {
        match text.parse::<SocketAddr>() {
            // This listener asks for no credential, so the only bound on who reads it is who can connect.
            Ok(address) if address.ip().is_loopback() => {
                if let Ok(addresses) = &mut outcome {
                    addresses.push(address);
                }
            }
            Ok(address) => {
                let text = format!(
                    "{address} is not a loopback address: whoever can connect to it could read what the gateway knows"
                );
                outcome = Err(section.fault(option, text));
            }
            Err(_) => {
                let text =
                    format!("`{text}` is not an address with a port, such as 127.0.0.1:9385");
                outcome = Err(section.fault(option, text));
            }
        }
    }
    outcome
}
