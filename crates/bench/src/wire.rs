//! The control connection: what client and server tell each other besides the data.
//!
//! Lines of JSON over TCP, a question and its answer, one at a time. The first question is `hello`
//! with the version; a server of another version answers with its own, and that is the end.
//!
//! ```text
//!  client                                   server
//!  hello {version, token}              ──►
//!                                      ◄──  hello {version, machine}
//!  prepare {trial}                     ──►  opens a port for the data
//!                                      ◄──  ready {port, cookie}
//!  … data connections, which begin with the cookie …
//!  mark                                ──►  at the beginning and the end of what counts
//!                                      ◄──  marked {what arrived until now, when, processor time}
//!  finish {sent}                       ──►  closes the port once no more comes
//!                                      ◄──  finished {what arrived in all}
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{BenchError, Trial};

/// The version of this protocol; both sides must have the same.
pub const VERSION: u32 = 1;

/// What a client begins with.
pub(crate) const PROTOCOL: &str = "tombolo-bench";

/// No line is longer.
const LONGEST: u64 = 64 * 1024;

/// How long the other side may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What the client says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ask {
    Hello {
        protocol: String,
        version: u32,
        token: String,
    },
    Prepare(Trial),
    Mark,
    /// How many datagrams were sent.
    Finish {
        sent: u64,
    },
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Say {
    Hello { version: u32, machine: String },
    Ready { port: u16, cookie: u64 },
    Marked(Mark),
    Finished(Mark),
    Refused { why: String },
}

/// What had arrived at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// When, on the server's own clock.
    pub nanoseconds: u64,
    /// Bytes of messages.
    pub bytes: u64,
    /// Datagrams.
    pub datagrams: u64,
    /// How often somebody knocked with the right cookie.
    pub knocks: u64,
    /// Processor time of the server's machine, in microseconds.
    pub cpu: u64,
}

/// Either end of a control connection.
#[derive(Debug)]
pub(crate) struct Control {
    reader: BufReader<TcpStream>,
    pub peer: SocketAddr,
}

impl Control {
    pub fn new(stream: TcpStream, patience: Option<Duration>) -> io::Result<Control> {
        let peer = stream.peer_addr()?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(patience)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Control {
            reader: BufReader::new(stream),
            peer,
        })
    }

    /// How long the next line may be waited for; forever if none is given.
    pub fn wait(&self, patience: Option<Duration>) -> io::Result<()> {
        self.reader.get_ref().set_read_timeout(patience)
    }

    pub fn tell(&mut self, message: &impl Serialize) -> Result<(), BenchError> {
        let mut line = serde_json::to_vec(message).expect("these messages have only text keys");
        line.push(b'\n');
        self.reader
            .get_ref()
            .write_all(&line)
            .map_err(BenchError::lost("tell", self.peer))
    }

    /// The next line; none where the other side has closed.
    pub fn hear<T: DeserializeOwned>(&mut self) -> Result<Option<T>, BenchError> {
        let mut line = String::new();
        let read = self.reader.by_ref().take(LONGEST).read_line(&mut line);
        match read {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(self.gibberish("bytes that are no text"));
            }
            Err(error) => return Err(BenchError::lost("hear", self.peer)(error)),
        }
        match serde_json::from_str(&line) {
            Ok(message) => Ok(Some(message)),
            Err(_) => Err(self.gibberish(&line)),
        }
    }

    pub fn gibberish(&self, what: &str) -> BenchError {
        BenchError::Gibberish {
            peer: self.peer,
            what: format!("{:?}", what.trim_end().chars().take(60).collect::<String>()),
        }
    }

    /// The client's question, and the answer to it.
    pub fn ask(&mut self, question: &Ask) -> Result<Say, BenchError> {
        self.tell(question)?;
        match self.hear()? {
            Some(Say::Refused { why }) => Err(BenchError::Refused {
                peer: self.peer,
                why,
            }),
            Some(answer) => Ok(answer),
            None => {
                let source = io::Error::from(io::ErrorKind::UnexpectedEof);
                Err(BenchError::lost("hear", self.peer)(source))
            }
        }
    }
}
