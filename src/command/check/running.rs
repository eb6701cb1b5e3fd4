//! `check`: what the new configuration would change in the running gateway.

use std::path::Path;

use serde_json::Value;

use crate::command::socket;
use crate::command::socket::SocketError;
use crate::config::Config;

/// Changes that operators should know before they reload.
pub fn compare(config: &Config, socket: &Path) -> Result<Vec<String>, SocketError> {
    let said = socket::ask(socket, "GET", "/locations", None)?;
    if !said.is_success() {
        // Without the list nothing would seem to change.
        return Ok(vec![format!(
            "what would change is not known: the gateway answers {} to /locations",
            said.status
        )]);
    }
    let running = said.document.get("locations").and_then(Value::as_array);
    let each = running.into_iter().flatten();
    Ok(each.flat_map(|site| changes(config, site)).collect())
}

fn changes(config: &Config, site: &Value) -> Vec<String> {
    let name = site.get("name").and_then(Value::as_str).unwrap_or_default();
    let nodes = site
        .get("nodes")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    let Some(stays) = config
        .locations
        .iter()
        .find(|location| location.name == name)
    else {
        let text = match nodes {
            0 => format!("location `{name}` is no longer in the file; no node is known there"),
            nodes => format!(
                "location `{name}` is no longer in the file, and {nodes} nodes are known there, which will be out of \
                 reach: drain it first (`ironic-proxy location {name} drain`) and move them"
            ),
        };
        return vec![text];
    };
    let groups = site.get("groups").and_then(Value::as_array);
    let groups = groups.into_iter().flatten().filter_map(Value::as_str);
    groups
        .filter_map(|group| {
            let home = config.groups.location(if group == "_" { "" } else { group });
            let home = home.map(|home| config.location(home).name.as_str());
            match home {
                Some(home) if home == stays.name => None,
                Some(home) => Some(format!(
                    "conductor group {group} moves from location `{name}` to `{home}`: its nodes stay where they are"
                )),
                None => Some(format!(
                    "conductor group {group} of location `{name}` is no longer mapped: no node can be created in it"
                )),
            }
        })
        .collect()
}
