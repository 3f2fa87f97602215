//! `decalage health`: a server's `/health` to an exit code, for images that hold no other HTTP client. Invariant: it
//! ends within some seconds, whatever the server does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

/// For each of connecting, sending and receiving.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Far more than the status line, which is all that counts.
const MAX_ANSWER_BYTES: u64 = 1 << 10;

/// Ask a server on this machine whether it is in order (plain HTTP); fails if not
#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Where the server listens; of 0.0.0.0, this machine is asked
    #[arg(value_name = "ADDRESS", env = "DECALAGE_SERVER__LISTEN", default_value = "127.0.0.1:8080")]
    address: SocketAddr,
}

impl Health {
    pub(crate) fn run(self) -> Result<()> {
        let answer = ask(self.address).with_context(|| format!("{} does not answer", self.address))?;
        match answer.lines().next() {
            Some(line) if line.starts_with("HTTP/1.1 200 ") => Ok(()),
            Some(line) => bail!("{} is not in order: {line}", self.address),
            None => bail!("{} closed the connection", self.address),
        }
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What is said about a server that answers with `answer`.
    fn verdict(answer: &'static str) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let server = thread::spawn(move || -> std::io::Result<String> {
            let (mut stream, _) = listener.accept()?;
            let lines = BufReader::new(stream.try_clone()?).lines();
            let request: Vec<String> =
                lines.take_while(|line| line.as_ref().is_ok_and(|l| !l.is_empty())).flatten().collect();
            stream.write_all(answer.as_bytes())?;
            Ok(request.join("\n"))
        });
        let verdict = Health { address }.run();
        assert!(server.join().unwrap()?.starts_with("GET /health HTTP/1.1\nHost: 127.0.0.1:"));
        verdict
    }

    #[test]
    fn only_200_is_in_order() {
        verdict("HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}").unwrap();
        let failing = verdict("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").unwrap_err();
        assert!(failing.to_string().ends_with("is not in order: HTTP/1.1 503 Service Unavailable"), "{failing}");
        assert!(verdict("").unwrap_err().to_string().ends_with("closed the connection"));
    }

    #[test]
    fn nobody_listening_is_a_failure() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Health { address }.run().unwrap_err();
        assert!(error.to_string().ends_with("does not answer"), "{error}");
    }
}
