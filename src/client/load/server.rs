//! A server to try, as a process of its own, so that its CPU and memory are not those of the clients.
//!
//! Invariant: it ends with its [`Server`], and all that it writes is read, so that it never waits for its log.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::Search;

/// A large model on a slow disk.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// The line of its log that says where it is, before the address.
const LISTENING: &str = "listening on http://";
/// Lines of its log that are shown if it does not start.
const LAST_LINES: usize = 5;
/// Unit of the CPU times in `/proc`: `sysconf(_SC_CLK_TCK)`, which is 100 wherever Linux runs today.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running `decalage serve`.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub url: String,
    /// Its process.
    pub pid: u32,
    child: Child,
    log: Arc<Mutex<VecDeque<String>>>,
}

/// Why there is no server to try.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The program cannot be run.
    #[error("cannot start the server")]
    Start(#[from] std::io::Error),
    /// It ended before it listened.
    #[error("the server ended ({status}): {log}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// Its last words.
        log: String,
    },
    /// It does not say where it listens.
    #[error("the server did not say `{LISTENING}…` within {START_TIMEOUT:?}")]
    Silent,
}

/// What a process has used so far, and holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Usage {
    /// CPU time of all its threads, in seconds.
    pub cpu_s: f64,
    /// Resident memory.
    pub rss_bytes: u64,
}

impl Server {
    /// Starts `program serve` on a free port of this machine, without limits that a trial could reach.
    ///
    /// # Errors
    /// If it cannot be run, or does not listen after two minutes.
    pub async fn start(program: &Path, bundle: &Path) -> Result<Self, ServerError> {
        let most = Search::MAX_SESSIONS.to_string();
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--bundle"])
            .arg(bundle)
            .env("DECALAGE_MODEL__MAX_SESSIONS", &most)
            .env("DECALAGE_SERVER__MAX_CONNECTIONS", &most)
            .env("DECALAGE_SERVER__MAX_CONNECTIONS_PER_IP", &most)
            .env("DECALAGE_AUTH__MAX_SESSIONS_PER_KEY", "0")
            .env("DECALAGE_LOG__FILTER", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(pid), Some(stderr)) = (child.id(), child.stderr.take()) else { return Err(ServerError::Silent) };
        let mut lines = BufReader::new(stderr).lines();
        let log = Arc::new(Mutex::new(VecDeque::new()));
        match timeout(START_TIMEOUT, find_address(&mut lines, &log)).await {
            Err(_) => Err(ServerError::Silent),
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(None)) => Err(ServerError::Ended { status: child.wait().await?, log: last_words(&log) }),
            Ok(Ok(Some(address))) => {
                let kept = Arc::clone(&log);
                tokio::spawn(async move {
                    while let Ok(Some(line)) = lines.next_line().await {
                        keep(&kept, line)
                    }
                });
                Ok(Self { url: format!("http://{address}"), pid, child, log })
            }
        }
    }

    /// If the server has ended: its last words.
    pub fn ended(&mut self) -> Option<ServerError> {
        let status = self.child.try_wait().ok()??;
        Some(ServerError::Ended { status, log: last_words(&self.log) })
    }
}

impl Usage {
    /// Reads `/proc`; `None` if there is no such process, or no `/proc`: on other systems than Linux.
    pub fn read(pid: u32) -> Option<Self> {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
        Some(Self { cpu_s: cpu_s(&read("stat")?)?, rss_bytes: rss_bytes(&read("status")?)? })
    }
}

/// `utime` and `stime`, fields 14 and 15 of `/proc/PID/stat` (proc_pid_stat(5)). The second is the name, which may hold
/// anything.
fn cpu_s(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

/// `VmRSS` of `/proc/PID/status` (proc_pid_status(5)).
fn rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

async fn find_address(
    lines: &mut Lines<BufReader<ChildStderr>>,
    log: &Mutex<VecDeque<String>>,
) -> std::io::Result<Option<String>> {
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = address(&line) {
            return Ok(Some(address.to_owned()));
        }
        keep(log, line);
    }
    Ok(None)
}

/// `host:port` of a line that says where the server listens.
fn address(line: &str) -> Option<&str> {
    let rest = line.split_once(LISTENING)?.1;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:[]-".contains(c))).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|address| !address.is_empty())
}

fn keep(log: &Mutex<VecDeque<String>>, line: String) {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    if log.len() == LAST_LINES {
        log.pop_front();
    }
    log.push_back(line);
}

fn last_words(log: &Mutex<VecDeque<String>>) -> String {
    log.lock().unwrap_or_else(PoisonError::into_inner).iter().map(String::as_str).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_any_log() {
        for line in [
            " INFO listening on http://127.0.0.1:40123",
            r#"{"message":"listening on http://127.0.0.1:40123","level":"INFO"}"#,
            "listening on http://127.0.0.1:40123, without keys",
        ] {
            assert_eq!(address(line), Some("127.0.0.1:40123"), "{line}");
        }
        assert_eq!(address("listening on http://[::1]:8080/"), Some("[::1]:8080"));
        assert_eq!(address("listening on http://"), None);
        assert_eq!(address("loading"), None);
    }

    #[test]
    fn proc_files_are_read() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194304 5000 0 3 0 1234 566 0 0 20 0 9 0 100 1 2 3";
        assert_eq!(cpu_s(stat), Some(18.0));
        assert_eq!(cpu_s("42 (a"), None);
        assert_eq!(rss_bytes("Name:\ta\nVmHWM:\t  900 kB\nVmRSS:\t  700 kB\n"), Some(700 * 1024));
        assert_eq!(rss_bytes("Name:\ta\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_something() {
        let usage = Usage::read(std::process::id()).unwrap();
        assert!(usage.rss_bytes > 100_000 && usage.cpu_s >= 0.0, "{usage:?}");
    }

    #[tokio::test]
    async fn a_program_that_is_no_server_is_told() {
        let folder = Path::new("/");
        let error = Server::start(Path::new("/nowhere/decalage"), folder).await.unwrap_err();
        assert!(matches!(error, ServerError::Start(_)), "{error}");
        let error = Server::start(Path::new("/bin/false"), folder).await.unwrap_err();
        assert!(matches!(error, ServerError::Ended { .. }), "{error}");
    }
}
