//! Man pages and shell completions, made from the grammar of the command line. Packages carry them.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_complete::generate_to;
use clap_mangen::Man;
use clap_mangen::roff::Roff;
use clap_mangen::roff::roman;

use crate::command::cli::Cli;

/// Pages about the administration of a system are in section 8 (hier(7) and man-pages(7)).
const SECTION: &str = "8";
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Fish, Shell::Zsh];

/// What `--help` need not say, since who reads it is not about to write a unit.
const FILES: [(&str, &str); 4] = [
    (
        "/etc/ironic-proxy/ironic-proxy.conf, /etc/ironic-proxy/ironic-proxy.conf.d/",
        "The configuration, where no option names another. The sample that is installed there documents every option.",
    ),
    (
        "/etc/ironic-proxy/policy.yaml",
        "Rules that differ from the ones built in, if it is there and [oslo_policy] policy_file names no other.",
    ),
    (
        "/run/ironic-proxy/admin.sock",
        "The admin door of a gateway under systemd; --socket names another.",
    ),
    (
        "/var/lib/ironic-proxy/",
        "What is known of nodes (directory.jsonl, which may be deleted while the gateway is stopped), and the states that \
         operators gave to locations.",
    ),
];
const EXIT_STATUS: [(&str, &str); 6] = [
    ("0", "All is well."),
    (
        "1",
        "Something is not: a location is down, a thing is not found, a request would be refused, or what was asked for \
         was not done.",
    ),
    ("2", "The command line is wrong."),
    ("69", "No gateway, or no location, answers."),
    (
        "75",
        "An address of [api] host_ip, its name, or a file is not there yet: to be started again.",
    ),
    ("78", "The configuration is faulty; each fault was named."),
];

/// Writes `man/`, `bash/`, `fish/` and `zsh/` into a directory, which is made if it is not there.
///
/// # Errors
/// A file cannot be written.
pub fn write(directory: &Path) -> io::Result<()> {
    // Its page would say no more than `--help`.
    let mut grammar = Cli::command().disable_help_subcommand(true);
    grammar.build();
    let pages = directory.join("man");
    fs::create_dir_all(&pages)?;
    pages_of(&grammar, &pages, Kind::Whole)?;
    for shell in SHELLS {
        let there = directory.join(shell.to_string());
        fs::create_dir_all(&there)?;
        generate_to(shell, &mut Cli::command(), "ironic-proxy", there)?;
    }
    Ok(())
}

/// Whose page it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Subcommand,
}

fn pages_of(command: &Command, directory: &Path, kind: Kind) -> io::Result<()> {
    // clap calls a subcommand of a subcommand `ironic-proxy-policy-check`, as man pages are called.
    let name = command.get_display_name().unwrap_or(command.get_name());
    let page = directory.join(format!("{name}.{SECTION}"));
    let man = Man::new(command.clone()).section(SECTION);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    if kind == Kind::Whole {
        list("FILES", &FILES).to_writer(&mut text)?;
        man.render_version_section(&mut text)?;
    }
    list("EXIT STATUS", &EXIT_STATUS).to_writer(&mut text)?;
    fs::write(page, text)?;
    for below in command.get_subcommands() {
        if !below.is_hide_set() {
            pages_of(below, directory, Kind::Subcommand)?;
        }
    }
    Ok(())
}

/// A section of terms and what they mean.
fn list(title: &str, terms: &[(&str, &str)]) -> Roff {
    let mut section = Roff::new();
    section.control("SH", [title]);
    for (term, meaning) in terms {
        section.control("TP", []);
        section.text([roman(*term)]);
        section.text([roman(*meaning)]);
    }
    section
}
