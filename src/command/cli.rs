//! The command line's grammar.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Arg;
use clap::ArgAction;
use clap::ArgMatches;
use clap::Args;
use clap::Command;
use clap::FromArgMatches;
use clap::Parser;
use clap::Subcommand;
use clap::value_parser;

use crate::command::operate::Operation;
use crate::command::policy::Inquiry;
use crate::command::socket::Where;
use crate::command::terminal::Format;
use crate::config::Source;

/// One Bare Metal API in front of many independent Ironics.
///
/// Without a subcommand it serves, in the foreground and with its log on standard error, until SIGTERM. SIGHUP reloads the
/// configuration, SIGUSR1 opens the log file again.
#[derive(Debug, Clone, Parser, PartialEq, Eq)]
#[command(name = "ironic-proxy", version)]
pub struct Cli {
    #[command(flatten)]
    sources: SourceArgs,
    /// Print every fault of the configuration, or `ok`, and exit.
    #[arg(long)]
    pub check_config: bool,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub task: Option<Task>,
}

/// What to do instead of serving.
#[derive(Debug, Clone, Subcommand, PartialEq, Eq)]
pub enum Task {
    /// Have the gateway read all that its locations have, and show chassis, deploy templates, runbooks and inspection
    /// rules that differ between them; fails if some do, or a location cannot be asked.
    Sync {
        #[command(flatten)]
        gateway: Where,
        /// Copy missing objects.
        #[arg(long)]
        apply: bool,
    },
    /// Show what a federation of existing, independent Ironics would look like; changes nothing.
    Survey {
        /// Configuration file that names the Ironics, if not given by --config-file.
        config: Option<PathBuf>,
        /// Cloud of openstacksdk's clouds.yaml; may be repeated.
        #[arg(long = "os-cloud", value_name = "NAME")]
        clouds: Vec<String>,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    #[command(flatten)]
    Operate(Operation),
    /// Check the configuration and the files that it names, and show what it would change in the running gateway; fails
    /// if there is a fault.
    Check {
        #[command(flatten)]
        gateway: Where,
        /// Also ask every location and every Keystone, without changing anything.
        #[arg(long)]
        online: bool,
    },
    /// Write man pages and shell completions to a directory, for a package.
    #[command(hide = true)]
    Manual {
        /// Where to; made if it is not there.
        directory: PathBuf,
    },
    /// Show the rules in force: name, scopes, origin, check.
    Policy {
        #[command(subcommand)]
        task: Option<PolicyTask>,
    },
}

/// Questions about the rules.
#[derive(Debug, Clone, Subcommand, PartialEq, Eq)]
pub enum PolicyTask {
    /// Show which rules allow and which deny a token; fails if one denies.
    Check(Box<Inquiry>),
}

impl Cli {
    /// Reads the arguments, the program's name first. `--help` and `--version` are errors too,
    /// with their text; `clap::Error::exit` does the right thing with all of them.
    pub fn read(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        Self::try_parse_from(arguments)
    }

    /// Which gateway is asked, if one is.
    pub fn gateway(&self) -> Option<&Where> {
        match self.task.as_ref().filter(|_| !self.check_config)? {
            Task::Operate(operation) => Some(operation.gateway()),
            Task::Sync { gateway, .. } | Task::Check { gateway, .. } => Some(gateway),
            Task::Survey { .. } | Task::Manual { .. } | Task::Policy { .. } => None,
        }
    }

    /// `--config-file` and `--config-dir` as typed, in their common order.
    pub fn sources(&self) -> Vec<Source> {
        // oslo.config's order: a later file or directory overrides an earlier one, whichever option named it.
        let mut sources = self.sources.0.clone();
        if let Some(Task::Survey {
            config: Some(config),
            ..
        }) = &self.task
        {
            sources.push(Source::File(config.clone()));
        }
        sources
    }
}

/// Both options in one list: which file wins depends on the order of both, which clap's derive
/// does not keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct SourceArgs(Vec<Source>);

const FILE: &str = "config-file";
const DIRECTORY: &str = "config-dir";

impl Args for SourceArgs {
    fn augment_args(command: Command) -> Command {
        let argument = |name, value, help| {
            Arg::new(name)
                .long(name)
                .value_name(value)
                .help(help)
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
        };
        command
            .arg(argument(
                FILE,
                "FILE",
                "Configuration file; may be repeated, later ones win",
            ))
            .arg(argument(
                DIRECTORY,
                "DIR",
                "Directory whose *.conf files are all read; may be repeated",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SourceArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut typed = paths(matches, FILE, Source::File);
        typed.extend(paths(matches, DIRECTORY, Source::Directory));
        // clap numbers all arguments together, so the indices give the order as typed.
        typed.sort_by_key(|(index, _)| *index);
        Ok(Self(typed.into_iter().map(|(_, source)| source).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn paths(matches: &ArgMatches, name: &str, source: fn(PathBuf) -> Source) -> Vec<(usize, Source)> {
    let indices = matches.indices_of(name).into_iter().flatten();
    let values = matches.get_many(name).into_iter().flatten().cloned();
    indices.zip(values.map(source)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(line.split(' '))
    }

    #[test]
    fn files_and_directories_keep_their_order() {
        let cli =
            read("x --config-dir d --config-file=a --check-config --config-dir e --config-file b");
        let cli = cli.unwrap();
        let expected = [
            Source::Directory("d".into()),
            Source::File("a".into()),
            Source::Directory("e".into()),
            Source::File("b".into()),
        ];
        assert_eq!(cli.sources(), expected);
        assert!(cli.check_config);
        assert_eq!(cli.task, None);
        assert!(read("x").unwrap().sources().is_empty());
    }

    #[test]
    fn sync_is_a_task() {
        for (line, expected) in [
            (
                "x --config-file a sync",
                Task::Sync {
                    gateway: Where::default(),
                    apply: false,
                },
            ),
            (
                "x --config-file a sync --apply --format json --socket s",
                Task::Sync {
                    gateway: Where {
                        socket: Some("s".into()),
                        format: Format::Json,
                    },
                    apply: true,
                },
            ),
        ] {
            let cli = read(line).unwrap();
            assert_eq!(cli.task, Some(expected), "{line}");
            assert_eq!(cli.sources(), [Source::File("a".into())], "{line}");
        }
    }

    #[test]
    fn what_is_no_argument_is_refused() {
        for line in [
            "x --config-file",
            "x --nonsense",
            "x something",
            "x --apply",
        ] {
            assert_eq!(read(line).unwrap_err().exit_code(), 2, "{line}");
        }
        for (line, text) in [
            ("x --help", "--config-dir"),
            ("x --version", "ironic-proxy "),
        ] {
            let shown = read(line).unwrap_err();
            assert_eq!(shown.exit_code(), 0, "{line}");
            assert!(shown.to_string().contains(text), "{line}: {shown}");
        }
    }
}
