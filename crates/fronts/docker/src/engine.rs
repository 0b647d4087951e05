//! Asking the Docker engine: what its networks are called, and which there are.
//!
//! In HTTP/1.0, so that an answer is a plain body that ends with the connection. Only the plugin's
//! own threads ask, never a call of Docker's: that would wait for itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// How long the engine may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer in bytes.
const LARGEST: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Silence {
    /// Nobody listens, or the engine is not ready yet.
    Unreached(String),
    /// There is no such thing.
    NotFound,
    /// The engine refuses, and why.
    Refused(String),
}

/// The engine behind a socket.
pub(crate) struct Engine<'a> {
    pub socket: &'a Path,
}

impl Engine<'_> {
    pub fn get(&self, path: &str) -> Result<Value, Silence> {
        self.ask("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Silence> {
        self.ask("POST", path, Some(body))
    }

    pub fn delete(&self, path: &str) -> Result<Value, Silence> {
        self.ask("DELETE", path, None)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Silence> {
        let unreached = |error: std::io::Error| Silence::Unreached(error.to_string());
        let mut reader = self.begin(method, path, body).map_err(unreached)?;
        reader
            .get_ref()
            .set_read_timeout(Some(PATIENCE))
            .map_err(unreached)?;
        let status = read_head(&mut reader).map_err(unreached)?;
        let mut answer = Vec::new();
        let mut rest = reader.take(LARGEST);
        rest.read_to_end(&mut answer).map_err(unreached)?;
        let value: Value = serde_json::from_slice(&answer).unwrap_or_default();
        let why = || {
            let message = value["message"].as_str().unwrap_or_default();
            format!("{method} {path}: {status} {message}")
        };
        match status {
            200..300 => Ok(value),
            404 => Err(Silence::NotFound),
            503 => Err(Silence::Unreached(why())),
            _ => Err(Silence::Refused(why())),
        }
    }

    /// The lines of an answer that goes on, until the engine ends it.
    pub fn lines(&self, path: &str, mut each: impl FnMut()) -> std::io::Result<()> {
        let mut reader = self.begin("GET", path, None)?;
        read_head(&mut reader)?;
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            line.clear();
            each();
        }
        Ok(())
    }

    fn begin(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> std::io::Result<BufReader<UnixStream>> {
        let mut stream = UnixStream::connect(self.socket)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        Ok(BufReader::new(stream))
    }
}

/// Reads status line and headers, and answers the status.
fn read_head(reader: &mut impl BufRead) -> std::io::Result<u16> {
    let odd = || std::io::Error::new(std::io::ErrorKind::InvalidData, "this is no HTTP");
    let mut status = None;
    for _ in 0..100 {
        let mut line = String::new();
        if reader.by_ref().take(16 << 10).read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match status {
            None => {
                let word = line.split(' ').nth(1).ok_or_else(odd)?;
                status = Some(word.trim().parse().map_err(|_| odd())?);
            }
            Some(status) if line.trim_end().is_empty() => return Ok(status),
            Some(_) => {}
        }
    }
    Err(odd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_to_their_end() {
        let mut answer = "HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n{}".as_bytes();
        assert_eq!(read_head(&mut answer).unwrap(), 404);
        assert_eq!(answer, b"{}");
        for text in [
            "",
            "HTTP/1.0 200 OK\r\n",
            "hello\r\n\r\n",
            "HTTP/1.0 x\r\n\r\n",
        ] {
            assert!(read_head(&mut text.as_bytes()).is_err(), "{text}");
        }
    }
}
