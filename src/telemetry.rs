//! The log: oslo's default line, or one JSON object on each line.

mod journal;
pub mod spans;
pub mod spool;

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use arc_swap::ArcSwap;
use env_logger::Builder;
use env_logger::Logger;
use env_logger::Target;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use log::Level;
use log::LevelFilter;
use log::Log;
use log::Metadata;
use log::Record;
use log::kv::Key;
use log::kv::VisitSource;
use once_cell::sync::Lazy;
use once_cell::sync::OnceCell;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::config::LogConfig;
use crate::telemetry::spool::Spool;

/// Asked once: it is a system call.
static PROCESS: Lazy<u32> = Lazy::new(process::id);

/// The logger in force: its level, its format and its file may change while the process runs.
#[derive(Debug)]
struct InForce(ArcSwap<Logger>);

static IN_FORCE: OnceCell<InForce> = OnceCell::new();

impl Log for InForce {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.load().enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.0.load().log(record);
    }

    fn flush(&self) {}
}

/// Starts logging. Fails if the log file cannot be opened.
pub fn start(config: &LogConfig) -> io::Result<()> {
    open_audit(config)?;
    let logger = logger(config, spool::start(sink(config)?));
    let level = logger.filter();
    let in_force = IN_FORCE.get_or_init(|| InForce(ArcSwap::from_pointee(logger)));
    // A second logger in one process is a test's own doing.
    if log::set_logger(in_force).is_ok() {
        log::set_max_level(level);
    }
    Ok(())
}

/// Opens the files anew, which may have been moved away or be others, and logs as `config` says from now on. Fails if one of
/// them cannot be opened; then that one stays as it is.
pub fn reopen(config: &LogConfig) -> io::Result<()> {
    let named = |path: Option<&Path>, error: io::Error| {
        let path = path.unwrap_or(Path::new("-"));
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    let audit = open_audit(config).map_err(|error| named(config.audit.as_deref(), error));
    let sink = sink(config).map_err(|error| named(config.file.as_deref(), error))?;
    let (Some(in_force), Some(spool)) = (IN_FORCE.get(), spool::current()) else {
        return audit;
    };
    spool.pour_into(sink);
    let logger = logger(config, spool.clone());
    log::set_max_level(logger.filter());
    in_force.0.store(Arc::new(logger));
    audit
}

/// Writes a record of `[audit]` to its file.
pub fn audit(record: &Value) {
    if let Some(spool) = spool::audit() {
        // A spool takes everything, or counts what it has no room for.
        let _ = spool.clone().write_all(format!("{record}\n").as_bytes());
    }
}

fn open_audit(config: &LogConfig) -> io::Result<()> {
    if let Some(path) = &config.audit {
        spool::audit_into(Box::new(append(path)?));
    }
    Ok(())
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn sink(config: &LogConfig) -> io::Result<Box<dyn Write + Send>> {
    Ok(match &config.file {
        Some(path) => Box::new(append(path)?),
        None => Box::new(io::stderr()),
    })
}

fn logger(config: &LogConfig, spool: Spool) -> Logger {
    let mut builder = Builder::new();
    let ours = if config.debug {
        LevelFilter::Debug
    } else {
        LevelFilter::Info
    };
    builder
        .filter_level(LevelFilter::Warn)
        .filter_module("ironic_proxy", ours);
    // Pingora's debug lines hold whole heads, credentials included: they are never shown, whatever is configured.
    builder.filter_module("pingora", LevelFilter::Error);
    // A pooled connection that its peer closed meanwhile is no error: another one is made.
    builder.filter_module("pingora_core::connectors", LevelFilter::Off);
    builder.target(Target::Pipe(Box::new(spool)));
    let is_journal = config.file.is_none() && journal::is_standard_error();
    let form = if config.json {
        |record: &Record<'_>| json_line(record).to_string()
    } else {
        oslo_line
    };
    builder.format(move |out, record| {
        if is_journal {
            // sd-daemon(3): the number is taken off the line and becomes its PRIORITY.
            write!(out, "<{}>", journal::priority(record.level()))?;
        }
        writeln!(out, "{}", one_line(form(record)))
    });
    builder.build()
}

/// What a subcommand's user has to know beside its answer: warnings and errors of ours, on standard error as they come.
pub fn on_terminal() {
    let mut builder = Builder::new();
    builder
        .filter_level(LevelFilter::Off)
        .filter_module("ironic_proxy", LevelFilter::Warn)
        .target(Target::Stderr)
        .format(|out, record| {
            let text = one_line(record.args().to_string());
            writeln!(out, "{}: {text}", level(record.level()).to_lowercase())
        });
    let _ = builder.try_init();
}

/// Some of it was said by a client or a location, who may neither begin a line of their own nor speak to a terminal.
fn one_line(text: String) -> String {
    // Each access costs a line, nearly none of them has any, and bytes are cheaper than characters: 0xC2 begins U+0080
    // to U+00BF. All are looked at, which takes a tenth of the instructions of stopping at the first one.
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "a lazy one would be a branch for each byte"
    )]
    let is_suspect = |byte| (byte < b' ') | (byte == 0x7f) | (byte == 0xc2);
    if text
        .bytes()
        .fold(false, |found, byte| found | is_suspect(byte))
    {
        text.replace(char::is_control, "?")
    } else {
        text
    }
}

fn value<'r>(record: &'r Record<'_>, key: &str) -> Option<Cow<'r, str>> {
    let value = record.key_values().get(Key::from(key))?;
    Some(match value.to_borrowed_str() {
        Some(text) => text.into(),
        None => value.to_string().into(),
    })
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARNING",
        Level::Info => "INFO",
        Level::Debug | Level::Trace => "DEBUG",
    }
}

/// `logging_context_format_string` of oslo.log, and `logging_default_format_string` where there is no request.
fn oslo_line(record: &Record<'_>) -> String {
    // Longer than most, and written in one go: each access costs a line, and its parts were strings of their own.
    let mut line = String::with_capacity(512);
    tell_time(&mut line);
    // Writing to a String cannot fail, here and below.
    let _ = write!(line, " {} ", *PROCESS);
    for part in [level(record.level()), " ", record.target(), " ["] {
        line.push_str(part);
    }
    match value(record, "request_id") {
        None => line.push('-'),
        Some(request_id) => {
            let or_dash = |key| value(record, key).unwrap_or(Cow::Borrowed("-"));
            let (global, user) = (or_dash("global_request_id"), or_dash("user_identity"));
            for part in [&*global, " ", &*request_id, " ", &*user] {
                line.push_str(part);
            }
        }
    }
    line.push_str("] ");
    let _ = line.write_fmt(*record.args());
    line
}

fn now() -> String {
    let mut text = String::new();
    tell_time(&mut text);
    text
}

/// Local time. Its text is the same all through a second, but for the milliseconds.
fn tell_time(line: &mut String) {
    thread_local! {
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != since_epoch.as_secs() {
            *second = since_epoch.as_secs();
            let time = Timestamp::from_second(second.cast_signed()).unwrap_or_default();
            *text = time
                .to_zoned_datetime(TimeZone::system())
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string();
        }
        line.push_str(text);
        let _ = write!(line, ".{:03}", since_epoch.subsec_millis());
    });
}

/// The keys of oslo.log's `JSONFormatter`; what is known beside the message is in `context`, numbers as numbers.
fn json_line(record: &Record<'_>) -> Value {
    let mut context = Context::default();
    // The visitor never fails.
    let _ = record.key_values().visit(&mut context);
    json!({
        "asctime": now(),
        "process": *PROCESS,
        "levelname": level(record.level()),
        "name": record.target(),
        "message": record.args().to_string(),
        "context": context.0,
    })
}

/// Key-values of a record as JSON.
#[derive(Default)]
struct Context(Map<String, Value>);

impl<'kvs> VisitSource<'kvs> for Context {
    fn visit_pair(
        &mut self,
        key: Key<'kvs>,
        value: log::kv::Value<'kvs>,
    ) -> Result<(), log::kv::Error> {
        let number = value
            .to_u64()
            .map(Value::from)
            .or_else(|| value.to_f64().map(Value::from));
        let value = number.unwrap_or_else(|| {
            let text = value.to_string();
            if key.as_str() == LOCATIONS {
                questions(&text)
            } else {
                Value::from(text)
            }
        });
        self.0.insert(key.to_string(), value);
        Ok(())
    }
}

/// The key of what each location took; its text is that of `locations/trail.rs`.
const LOCATIONS: &str = "locations";

/// `loc1:0.012,loc3:timeout:5.000,+7` as a list; no location's name has a comma or a colon.
fn questions(text: &str) -> Value {
    let one = |text: &str| {
        let (name, rest) = text.split_once(':')?;
        let (reason, seconds) = rest
            .rsplit_once(':')
            .map_or((None, rest), |(reason, seconds)| (Some(reason), seconds));
        let seconds: f64 = seconds.parse().ok()?;
        Some(json!({"name": name, "seconds": seconds, "reason": reason}))
    };
    text.split(',').filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_locations_took_is_a_list() {
        assert_eq!(
            questions("loc1:0.012,loc3:timeout:5.000,+7"),
            json!([
                {"name": "loc1", "seconds": 0.012, "reason": null},
                {"name": "loc3", "seconds": 5.0, "reason": "timeout"},
            ])
        );
        assert_eq!(questions("-"), json!([]));
    }

    #[test]
    fn nobody_begins_a_line() {
        for (said, line) in [
            ("a\r\nb", "a??b"),
            ("\u{1b}[31m", "?[31m"),
            ("\u{7f}\u{85}\u{9b}31m", "???31m"),
            ("grü £5 \u{a0}", "grü £5 \u{a0}"),
        ] {
            assert_eq!(one_line(said.to_owned()), line, "{said:?}");
        }
    }

    #[test]
    fn both_formats() {
        let values = [("request_id", "req-1"), ("user_identity", "u - - - -")];
        let record = Record::builder()
            .level(Level::Warn)
            .target("ironic_proxy.access")
            .key_values(&values)
            .args(format_args!("said"))
            .build();
        let line = oslo_line(&record);
        assert!(
            line.ends_with(" WARNING ironic_proxy.access [- req-1 u - - - -] said"),
            "{line}"
        );
        let object = json_line(&record);
        assert_eq!(object["levelname"], "WARNING");
        assert_eq!(object["context"]["request_id"], "req-1");
        let values = [("status", log::kv::Value::from(200_u16))];
        let record = Record::builder()
            .key_values(&values)
            .args(format_args!("said"))
            .build();
        assert_eq!(json_line(&record)["context"]["status"], 200);
        let record = Record::builder()
            .level(Level::Info)
            .target("ironic_proxy")
            .args(format_args!("said"))
            .build();
        assert!(oslo_line(&record).ends_with(" INFO ironic_proxy [-] said"));
    }
}
