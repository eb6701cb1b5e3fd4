//! The processes that are measured: the gateway and those to compare it with. Each is stopped when it is dropped.

use std::fmt::Write as _;
use std::fs;
use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;

use crate::keystone;

/// The gateway as it is released.
pub(crate) const GATEWAY: &str = env!("CARGO_BIN_EXE_ironic-proxy");
/// Whoever is not there by then will not come. How long it takes is measured, and has a limit of its own.
const START: Duration = Duration::from_mins(2);
/// A sweep in the middle of a load would be counted as its cost.
pub(crate) const QUIET: &str = "[api]\nauth_strategy = noauth\n[node_cache]\nsweep_interval = 0\n";

/// A child that serves, and what it used of the machine.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From its start until it said that it is ready.
    pub(crate) ready: Duration,
    directory: TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of `/proc/PID/status`, in bytes.
#[derive(Clone, Copy)]
pub(crate) enum Memory {
    Now,
    Peak,
}

impl Process {
    /// Processor time of all its threads so far.
    pub(crate) fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()))
            .into_iter()
            .flatten();
        // `/proc/PID/stat` counts ticks of 10 ms, `schedstat` nanoseconds, but for each thread by itself.
        let nanoseconds = tasks.flatten().filter_map(|task| {
            let told = fs::read_to_string(task.path().join("schedstat")).ok()?;
            told.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Resident bytes.
    pub(crate) fn memory(&self, which: Memory) -> u64 {
        let name = match which {
            Memory::Now => "VmRSS:",
            Memory::Peak => "VmHWM:",
        };
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = line.and_then(|rest| {
            rest.trim()
                .trim_end_matches("kB")
                .trim()
                .parse::<u64>()
                .ok()
        });
        kibibytes.unwrap_or(0) * 1024
    }

    /// What a subcommand prints that asks it over its socket, and how long that takes.
    pub(crate) fn told(&self, words: &[&str]) -> io::Result<(String, Duration)> {
        let started = Instant::now();
        let mut command = Command::new(GATEWAY);
        command.args(words).arg("--socket");
        let said = command
            .arg(self.directory.path().join("admin.sock"))
            .output()?;
        let taken = started.elapsed();
        if said.status.success() {
            Ok((String::from_utf8_lossy(&said.stdout).into_owned(), taken))
        } else {
            let text = String::from_utf8_lossy(&said.stderr);
            Err(io::Error::other(format!("{words:?}: {text}")))
        }
    }

    /// How many bytes its admin door answers with, and in what time; the fastest of five.
    pub(crate) fn looked_at(&self, path: &str, accept: &str) -> io::Result<(usize, Duration)> {
        let mut best: Option<(usize, Duration)> = None;
        for _ in 0..5 {
            let started = Instant::now();
            let mut door = UnixStream::connect(self.directory.path().join("admin.sock"))?;
            write!(
                door,
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
            )?;
            let mut answer = Vec::new();
            door.read_to_end(&mut answer)?;
            if !answer.starts_with(b"HTTP/1.1 200") {
                return Err(io::Error::other(format!("{path} is not answered")));
            }
            let taken = started.elapsed();
            best = best
                .filter(|(_, known)| *known < taken)
                .or(Some((answer.len(), taken)));
        }
        best.ok_or_else(|| io::Error::other("nobody looked"))
    }

    /// What it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The gateway in front of `locations`, ready. `page`: items on one page.
    pub(crate) fn gateway(locations: &[SocketAddr], page: usize) -> io::Result<Self> {
        let endpoints = locations.iter().map(|address| format!("http://{address}"));
        Self::gateway_at(endpoints, page, QUIET)
    }

    /// The same for clients with tokens of this Keystone.
    pub(crate) fn gateway_with(
        keystone: SocketAddr,
        locations: &[SocketAddr],
        page: usize,
    ) -> io::Result<Self> {
        let endpoints = locations.iter().map(|address| format!("http://{address}"));
        let access = keystone::section(keystone);
        let more = format!("{QUIET}[api]\nauth_strategy = keystone\n{access}");
        Self::gateway_at(endpoints, page, &more)
    }

    /// The same at these endpoints; `more`: further sections of its configuration.
    pub(crate) fn gateway_at(
        endpoints: impl Iterator<Item = String>,
        page: usize,
        more: &str,
    ) -> io::Result<Self> {
        let directory = TempDir::new()?;
        let mut groups = String::from("_:loc0");
        let mut sections = String::new();
        for (index, endpoint) in endpoints.enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(groups, ",group{index}:loc{index}");
            let _ = write!(
                sections,
                "[group:loc{index}]\nauth_type = none\nendpoint_override = {endpoint}\n\
                 max_concurrent = 1024\n"
            );
        }
        let path = directory.path();
        fs::create_dir(path.join("state"))?;
        let config = path.join("ironic-proxy.conf");
        fs::write(
            &config,
            format!(
                "[DEFAULT]\ngroups = {groups}\nstate_path = {}\n[api]\nhost_ip = 127.0.0.1\nport = 0\n\
                 max_limit = {page}\n[admin]\nsocket = {}\n{sections}{more}",
                path.join("state").display(),
                path.join("admin.sock").display(),
            ),
        )?;
        let told = UnixDatagram::bind(path.join("notify"))?;
        told.set_read_timeout(Some(START))?;
        let mut command = Command::new(GATEWAY);
        command.arg("--config-file").arg(&config);
        command.env("NOTIFY_SOCKET", path.join("notify"));
        let started = Instant::now();
        let child = spawn(&mut command, path)?;
        let mut process = Self {
            child,
            address: ([127, 0, 0, 1], 0).into(),
            ready: Duration::ZERO,
            directory,
        };
        let mut message = [0; 256];
        loop {
            let length = told
                .recv(&mut message)
                .map_err(|_| not_started(&process.log()))?;
            if message[..length]
                .split(|byte| *byte == b'\n')
                .any(|line| line == b"READY=1")
            {
                break;
            }
        }
        process.ready = started.elapsed();
        process.address = process.told_address()?;
        Ok(process)
    }

    /// Where the gateway listens, as its log says; a line may come 20 ms after it was written (`telemetry/spool.rs`).
    fn told_address(&self) -> io::Result<SocketAddr> {
        let asked = Instant::now();
        loop {
            let log = self.log();
            let rest = log.split("Listening on http").nth(1);
            match rest.and_then(|rest| rest.split_once('\n')) {
                Some((url, _)) => {
                    let address = url.trim_start_matches('s').trim_start_matches("://");
                    return address.parse().map_err(io::Error::other);
                }
                None if asked.elapsed() > START => return Err(not_started(&log)),
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// This very program in its other role.
    pub(crate) fn pass_through(to: SocketAddr) -> io::Result<Self> {
        let directory = TempDir::new()?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("--pass-through")
            .arg(to.to_string())
            .stdout(Stdio::piped())
            .stdin(Stdio::piped());
        let started = Instant::now();
        let mut child = spawn(&mut command, directory.path())?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address: Option<SocketAddr> = line.trim().parse().ok();
        let process = Self {
            child,
            address: address.unwrap_or(([127, 0, 0, 1], 0).into()),
            ready: started.elapsed(),
            directory,
        };
        match address {
            Some(_) => process.reachable(started),
            None => Err(not_started(&process.log())),
        }
    }

    /// nginx, where it is installed.
    pub(crate) fn nginx(to: SocketAddr) -> Option<io::Result<Self>> {
        let program = installed("nginx")?;
        let config = |own: SocketAddr, directory: &Path| {
            let at = directory.display();
            format!(
                "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log stderr warn;\n\
                 events {{ worker_connections 4096; }}\n\
                 http {{\n access_log off;\n keepalive_requests 1000000000;\n\
                 client_body_temp_path {at}/body;\n proxy_temp_path {at}/proxy;\n\
                 fastcgi_temp_path {at}/fastcgi;\n uwsgi_temp_path {at}/uwsgi;\n scgi_temp_path {at}/scgi;\n\
                 upstream location {{ server {to}; keepalive 128; keepalive_requests 1000000000; }}\n\
                 server {{ listen {own}; location / {{ proxy_pass http://location; proxy_http_version 1.1;\n\
                 proxy_set_header Connection \"\"; proxy_buffers 16 64k; proxy_max_temp_file_size 0; }} }}\n}}\n"
            )
        };
        Some(Self::other(&program, &["-e", "stderr", "-c"], config))
    }

    /// `HAProxy`, where it is installed.
    pub(crate) fn haproxy(to: SocketAddr) -> Option<io::Result<Self>> {
        Self::haproxy_at(to, "")
    }

    /// The same; `bind`: what else is said of its listener.
    pub(crate) fn haproxy_at(to: SocketAddr, bind: &str) -> Option<io::Result<Self>> {
        let program = installed("haproxy")?;
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let config = |own: SocketAddr, _: &Path| {
            format!(
                "global\n nbthread {threads}\n maxconn 4096\ndefaults\n mode http\n timeout connect 5s\n\
                 timeout client 60s\n timeout server 60s\n http-reuse always\n\
                 frontend clients\n bind {own} {bind}\n default_backend location\n\
                 backend location\n server location {to}\n"
            )
        };
        Some(Self::other(&program, &["-db", "-f"], config))
    }

    fn other(
        program: &Path,
        arguments: &[&str],
        config: impl Fn(SocketAddr, &Path) -> String,
    ) -> io::Result<Self> {
        let mut last = io::Error::other("not started");
        for _ in 0..3 {
            let directory = TempDir::new()?;
            // Neither can be given a socket or tell which port it got. Should somebody else take this one, another
            // is tried.
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            let file = directory.path().join("config");
            fs::write(&file, config(address, directory.path()))?;
            let started = Instant::now();
            let child = spawn(
                Command::new(program).args(arguments).arg(&file),
                directory.path(),
            )?;
            let process = Self {
                child,
                address,
                ready: Duration::ZERO,
                directory,
            };
            match process.reachable(started) {
                Ok(process) => return Ok(process),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn reachable(mut self, started: Instant) -> io::Result<Self> {
        while started.elapsed() < START {
            if self.child.try_wait()?.is_some() {
                break;
            }
            if TcpStream::connect(self.address).is_ok() {
                self.ready = started.elapsed();
                return Ok(self);
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err(not_started(&self.log()))
    }
}

fn spawn(command: &mut Command, directory: &Path) -> io::Result<Child> {
    command.stderr(File::create(directory.join("log"))?).spawn()
}

fn not_started(log: &str) -> io::Error {
    io::Error::other(format!("a process did not start: {}", log.trim()))
}

/// Debian keeps servers out of an ordinary user's path.
fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|at| at.join(program))
        .find(|at| at.is_file())
}
