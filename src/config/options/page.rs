//! Generates `docs/configuration.md` from the table of options.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::config::options::LOCATION_PREFIX;
use crate::config::options::SCHEMA;
use crate::config::options::SECTIONS;
use crate::oslo::option::Opt;
use crate::oslo::option::Stance;

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from src/config/options.rs by `cargo test`; what is written here by hand is lost. -->

Every option that has a meaning here, by section. [conf/ironic-proxy.conf](../conf/ironic-proxy.conf) is the same
as a file to begin with, `ironic-proxy --check-config` checks yours, and
[operate.md](operate.md#check-a-configuration) tells where files are looked for.
";

/// The introduction of a section, above its options.
fn introduction(section: &str) -> &'static str {
    match section {
        "api" => "The listener, and how the API behaves.",
        "limits" => {
            "Each is off unless its rate is set; a reload changes them. `/`, `/v1`, `/healthcheck` and OPTIONS are never counted. \
             [operate.md](operate.md#limit-requests) tells more."
        }
        "coordination" => {
            "What gateways that serve the same locations share; one alone needs none of it. [operate.md](operate.md#a-shared-backend) tells more."
        }
        "node_cache" => {
            "Where each node, port, allocation and so on was last seen: a hint of where to ask first."
        }
        "keystone_authtoken" => {
            "Tokens of clients, for `auth_strategy = keystone`. A section of another OpenStack service works as it is."
        }
        LOCATION_PREFIX => "A location: its Ironic, and the gateway's credential there.",
        _ => "",
    }
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let of_locations: BTreeSet<&str> = explained(LOCATION_PREFIX).map(|opt| opt.help).collect();
    for (section, _) in SECTIONS {
        let (mut rows, mut elsewhere) = (String::new(), Vec::new());
        for opt in explained(section) {
            if *section != LOCATION_PREFIX && of_locations.contains(opt.help) {
                elsewhere.push(format!("`{}`", opt.name));
            } else {
                row(&mut rows, opt);
            }
        }
        if rows.is_empty() {
            continue;
        }
        let name = section.replace(LOCATION_PREFIX, "group:NAME");
        let _ = write!(page, "\n## [{name}]\n");
        match introduction(section) {
            "" => {}
            text => {
                let _ = write!(page, "\n{text}\n");
            }
        }
        let _ = write!(
            page,
            "\n| Option | Default | Meaning |\n|---|---|---|\n{rows}"
        );
        if !elsewhere.is_empty() {
            let names = elsewhere.join(", ");
            let _ = write!(page, "\nAlso {names}, as in [[group:NAME]](#groupname).\n");
        }
    }
    page.push_str(&refused());
    page
}

/// The options of a section that have a meaning and a sentence about it.
fn explained(section: &str) -> impl Iterator<Item = &'static Opt> {
    SCHEMA
        .of(section)
        .filter(|opt| opt.is_honoured() && !opt.help.is_empty())
}

fn row(rows: &mut String, opt: &Opt) {
    let default = match opt.default {
        None => String::new(),
        Some("") => "empty".to_owned(),
        Some(value) => format!("`{value}`"),
    };
    let help = opt.help.replace('|', "\\|");
    let _ = writeln!(rows, "| `{}` | {default} | {help} |", opt.name);
}

/// What Ironic and its libraries have and nobody here does.
fn refused() -> String {
    let mut page = "\n## Refused\n\nOptions of Ironic that would promise what the gateway does not do are faults, \
        unless their value asks for nothing.\n\n| Option | Instead |\n|---|---|\n"
        .to_owned();
    for (section, _) in SECTIONS {
        for opt in SCHEMA.of(section) {
            if let Stance::Refused(_, instead) = opt.stance {
                let name = section.replace(LOCATION_PREFIX, "group:NAME");
                let _ = writeln!(page, "| `[{name}] {}` | {instead} |", opt.name);
            }
        }
    }
    page
}

#[test]
fn the_page_is_that_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let made = page();
    if fs::read_to_string(&path).is_ok_and(|there| there == made) {
        return;
    }
    fs::write(&path, made).unwrap();
    panic!("docs/configuration.md was not that of the table. It is now: commit it.");
}
