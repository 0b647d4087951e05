//! A small blocking HTTP client over a unix socket.
//!
//! It asks in HTTP/1.0, so that every answer is a plain body that ends with the connection: no
//! chunks, no keep-alive, nothing to be async about. A watch is the same with a body that goes on.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Fault;

/// The largest head of an answer, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "the tombolo agent does not answer on {socket}: {cause}; is it running? (`systemctl status tombolo`, or start `tombolo agent`)"
    )]
    NoAgent {
        /// The socket's path.
        socket: String,
        /// Why not.
        cause: std::io::Error,
    },
    /// The caller may not use the socket.
    #[error("no permission to use {socket}; run as root or as a member of the group tombolo")]
    NoPermission {
        /// The socket's path.
        socket: String,
    },
    /// The agent accepted the request but did not answer in time, or broke off.
    #[error("the tombolo agent on {socket} did not answer {request}: {cause}")]
    NoAnswer {
        /// The socket's path.
        socket: String,
        /// Method and path.
        request: String,
        /// Why not.
        cause: std::io::Error,
    },
    /// The answer is not what this program understands.
    #[error(
        "the tombolo agent on {socket} answered {request} with something else than this program understands ({cause}); are both of the same version?"
    )]
    Unreadable {
        /// The socket's path.
        socket: String,
        /// Method and path.
        request: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The agent refused.
    #[error("{0}")]
    Fault(#[from] Fault),
}

/// A client of one agent.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    timeout: Option<Duration>,
    silence: Option<Duration>,
}

impl Client {
    /// A client of the agent behind a socket. No answer takes longer than `timeout`.
    #[must_use]
    pub fn new(socket: impl AsRef<Path>, timeout: Option<Duration>) -> Client {
        Client {
            socket: socket.as_ref().to_owned(),
            timeout,
            silence: None,
        }
    }

    /// The same, but an agent that is silent for so long is asked whether it is alive, and given up
    /// if it does not say so as soon.
    #[must_use]
    pub fn impatient(self, silence: Duration) -> Client {
        Client {
            silence: Some(silence),
            ..self
        }
    }

    /// Asks for something.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request("GET", path, None)
    }

    /// Sends something and takes the answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|e| self.unreadable("POST", path, e))?;
        self.request("POST", path, Some(&body))
    }

    /// Deletes something.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.request::<serde_json::Value>("DELETE", path, None)
            .map(drop)
    }

    /// The lines of an answer that goes on.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        let (status, mut reader) = self.ask("GET", path, None)?;
        if status == 200 {
            reader
                .get_ref()
                .set_read_timeout(None)
                .map_err(|cause| self.no_answer("GET", path, cause))?;
            return Ok(Lines(reader));
        }
        let mut body = Vec::new();
        reader
            .read_to_end(&mut body)
            .map_err(|cause| self.no_answer("GET", path, cause))?;
        Err(self.fault("GET", path, status, &body))
    }

    fn request<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<T, ClientError> {
        let (status, mut reader) = self.ask(method, path, body)?;
        let mut answer = Vec::new();
        match reader.read_to_end(&mut answer) {
            // Who refuses a request before all of it was sent closes behind the answer.
            Err(cause) if status < 300 || cause.kind() != ErrorKind::ConnectionReset => {
                return Err(self.no_answer(method, path, cause));
            }
            _ => {}
        }
        if !(200..300).contains(&status) {
            return Err(self.fault(method, path, status, &answer));
        }
        let text: &[u8] = if answer.is_empty() { b"null" } else { &answer };
        serde_json::from_slice(text).map_err(|e| self.unreadable(method, path, e))
    }

    /// Sends a request and reads the head of the answer.
    fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<(u16, BufReader<UnixStream>), ClientError> {
        let socket = || self.socket.display().to_string();
        let stream = UnixStream::connect(&self.socket).map_err(|cause| match cause.kind() {
            ErrorKind::PermissionDenied => ClientError::NoPermission { socket: socket() },
            _ => ClientError::NoAgent {
                socket: socket(),
                cause,
            },
        })?;
        let exchange = || -> std::io::Result<(u16, BufReader<UnixStream>)> {
            stream.set_read_timeout(self.timeout)?;
            stream.set_write_timeout(self.timeout)?;
            let body = body.unwrap_or_default();
            let mut request = format!(
                "{method} {path} HTTP/1.0\r\nHost: tombolo\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
            .into_bytes();
            request.extend_from_slice(body);
            let sent = (&stream).write_all(&request);
            let mut reader = BufReader::new(stream);
            self.await_sign_of_life(&mut reader)?;
            // A request that is too large is answered before it is read to its end.
            let status = read_head(&mut reader).map_err(|cause| sent.err().unwrap_or(cause))?;
            Ok((status, reader))
        };
        exchange().map_err(|cause| self.no_answer(method, path, cause))
    }

    /// Waits for the first byte of the answer. An agent may be busy for long, but is never silent
    /// on another connection meanwhile.
    fn await_sign_of_life(&self, reader: &mut BufReader<UnixStream>) -> std::io::Result<()> {
        let Some(silence) = self.silence else {
            return Ok(());
        };
        let begun = Instant::now();
        reader.get_ref().set_read_timeout(Some(silence))?;
        while let Err(error) = reader.fill_buf() {
            if error.kind() != ErrorKind::WouldBlock {
                // Whoever reads next sees it too.
                break;
            }
            let asked = Client::new(&self.socket, Some(silence)).get::<()>(crate::ALIVE);
            if asked.is_err() || self.timeout.is_some_and(|most| begun.elapsed() > most) {
                return Err(error);
            }
        }
        reader.get_ref().set_read_timeout(self.timeout)
    }

    fn no_answer(&self, method: &str, path: &str, cause: std::io::Error) -> ClientError {
        let cause = match cause.kind() {
            ErrorKind::WouldBlock => {
                std::io::Error::new(ErrorKind::TimedOut, "it took too long; see the agent's log")
            }
            _ => cause,
        };
        ClientError::NoAnswer {
            socket: self.socket.display().to_string(),
            request: format!("{method} {path}"),
            cause,
        }
    }

    fn unreadable(&self, method: &str, path: &str, cause: serde_json::Error) -> ClientError {
        ClientError::Unreadable {
            socket: self.socket.display().to_string(),
            request: format!("{method} {path}"),
            cause: cause.to_string(),
        }
    }

    fn fault(&self, method: &str, path: &str, status: u16, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<Fault>(body) {
            Ok(fault) => ClientError::Fault(fault),
            Err(_) => ClientError::Unreadable {
                socket: self.socket.display().to_string(),
                request: format!("{method} {path}"),
                cause: format!("status {status}: {}", String::from_utf8_lossy(body).trim()),
            },
        }
    }
}

/// The lines of an answer that goes on.
pub struct Lines(BufReader<UnixStream>);

impl Iterator for Lines {
    type Item = std::io::Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(Ok(line.trim_end().to_owned())),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Reads status line and headers, up to the empty line.
fn read_head(reader: &mut impl BufRead) -> std::io::Result<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = reader
            .by_ref()
            .take(MAX_HEAD as u64)
            .read_until(b'\n', &mut head)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if head.len() > MAX_HEAD {
            return Err(std::io::Error::new(
                ErrorKind::InvalidData,
                "the head is too long",
            ));
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    response
        .parse(&head)
        .map_err(|e| std::io::Error::new(ErrorKind::InvalidData, e))?;
    response.code.ok_or_else(|| ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FaultKind;
    use std::os::unix::net::UnixListener;

    fn answering(answer: &'static [u8]) -> (tempdir::Dir, Client) {
        let dir = tempdir::Dir::new();
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).unwrap();
            stream.write_all(answer).unwrap();
        });
        let client = Client::new(socket, Some(Duration::from_secs(5)));
        (dir, client)
    }

    mod tempdir {
        use std::path::{Path, PathBuf};
        use std::sync::atomic::{AtomicU32, Ordering};

        pub struct Dir(PathBuf);
        static NEXT: AtomicU32 = AtomicU32::new(0);

        impl Dir {
            pub fn new() -> Dir {
                let n = NEXT.fetch_add(1, Ordering::Relaxed);
                let name = format!("tombolo-api-{}-{n}", std::process::id());
                let path = std::env::temp_dir().join(name);
                std::fs::create_dir(&path).unwrap();
                Dir(path)
            }
            pub fn path(&self) -> &Path {
                &self.0
            }
        }
        impl Drop for Dir {
            fn drop(&mut self) {
                let _ = std::fs::remove_dir_all(&self.0);
            }
        }
    }

    #[test]
    fn an_answer_is_read() {
        let (_dir, client) = answering(b"HTTP/1.1 200 OK\r\ncontent-type: x\r\n\r\n[1,2]");
        assert_eq!(client.get::<Vec<u32>>("/v1/x").unwrap(), [1, 2]);
    }

    #[test]
    fn an_empty_answer_is_nothing() {
        let (_dir, client) = answering(b"HTTP/1.1 204 No Content\r\n\r\n");
        client.delete("/v1/x").unwrap();
    }

    #[test]
    fn a_fault_is_read() {
        let (_dir, client) = answering(
            b"HTTP/1.1 409 Conflict\r\n\r\n{\"kind\":\"conflict\",\"message\":\"taken\"}",
        );
        let Err(ClientError::Fault(fault)) = client.get::<()>("/v1/x") else {
            panic!()
        };
        assert_eq!(
            (fault.kind, fault.message.as_str()),
            (FaultKind::Conflict, "taken")
        );
    }

    #[test]
    fn what_is_no_http_is_an_error() {
        for answer in [&b"hello\r\n\r\n"[..], b"", b"HTTP/1.1 200 OK\r\n"] {
            let (_dir, client) = answering(answer);
            let error = client.get::<()>("/v1/x").unwrap_err();
            assert!(matches!(error, ClientError::NoAnswer { .. }), "{error}");
        }
    }

    #[test]
    fn no_agent_is_said_to_be_so() {
        let client = Client::new("/nonexistent/tombolo.sock", None);
        let error = client.get::<()>("/v1/status").unwrap_err().to_string();
        assert!(
            error.contains("does not answer on /nonexistent/tombolo.sock"),
            "{error}"
        );
        assert!(error.contains("tombolo agent"), "{error}");
    }
}
