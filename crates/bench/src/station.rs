//! A program in another place, as in a host of the lab, that serves or measures when told to.
//!
//! It is told by lines of JSON on its input and answers by lines on its output, so that whoever can
//! start a program somewhere can measure from there. It ends when its input closes.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{BenchError, Client, Measured, Server, Trial};

/// The word that makes `tombolo` such a program.
pub const STATION: &str = "__bench";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Order {
    Serve {
        address: SocketAddr,
        token: String,
    },
    Measure {
        server: SocketAddr,
        token: String,
        trial: Trial,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Report {
    Serving(SocketAddr),
    Measured(Measured),
    Failed(String),
}

/// The program's side: does what it is told until its input closes.
///
/// # Errors
/// Its output cannot be written, or its input not be read.
pub fn serve_station(input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut held = Held::default();
    for line in BufReader::new(input).lines() {
        let report = match serde_json::from_str(&line?) {
            Ok(order) => held.obey(order).unwrap_or_else(|error| {
                // Its connection may be in the middle of something.
                held.clients.clear();
                Report::Failed(error.to_string())
            }),
            Err(error) => Report::Failed(format!("measure: no order of ours: {error}")),
        };
        let line = serde_json::to_string(&report).map_err(io::Error::other)?;
        writeln!(output, "{line}")?;
        output.flush()?;
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Held {
    servers: Vec<Server>,
    clients: BTreeMap<SocketAddr, Client>,
}

impl Held {
    fn obey(&mut self, order: Order) -> Result<Report, BenchError> {
        match order {
            Order::Serve { address, token } => {
                let server = Server::start(address, 0, &token)?;
                let address = server.address();
                self.servers.push(server);
                Ok(Report::Serving(address))
            }
            Order::Measure {
                server,
                token,
                trial,
            } => {
                let client = match self.clients.remove(&server) {
                    Some(client) => client,
                    None => Client::connect(server, &token)?,
                };
                let client = self.clients.entry(server).or_insert(client);
                client.measure(&trial).map(Report::Measured)
            }
        }
    }
}

/// The teller's side of a program that runs [`serve_station`].
#[derive(Debug)]
pub struct Station<I, O> {
    input: I,
    output: BufReader<O>,
}

impl<I: Write, O: Read> Station<I, O> {
    /// Over the program's input and output.
    pub fn new(input: I, output: O) -> Station<I, O> {
        Station {
            input,
            output: BufReader::new(output),
        }
    }

    /// Lets it serve at an address, at any port.
    ///
    /// # Errors
    /// It cannot, or is gone.
    pub fn serve(&mut self, address: IpAddr, token: &str) -> Result<SocketAddr, BenchError> {
        let order = Order::Serve {
            address: SocketAddr::new(address, 0),
            token: token.to_owned(),
        };
        match self.tell(&order)? {
            Report::Serving(address) => Ok(address),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets it measure once, to a server.
    ///
    /// # Errors
    /// As [`Client::connect`] and [`Client::measure`] there, or it is gone.
    pub fn measure(
        &mut self,
        server: SocketAddr,
        token: &str,
        trial: &Trial,
    ) -> Result<Measured, BenchError> {
        let order = Order::Measure {
            server,
            token: token.to_owned(),
            trial: *trial,
        };
        match self.tell(&order)? {
            Report::Measured(measured) => Ok(measured),
            other => Err(unexpected(&other)),
        }
    }

    fn tell(&mut self, order: &Order) -> Result<Report, BenchError> {
        let gone = |error: io::Error| {
            BenchError::Station(format!("the measuring program is gone: {error}"))
        };
        let line = serde_json::to_string(order).expect("an order has only text keys");
        writeln!(self.input, "{line}")
            .and_then(|()| self.input.flush())
            .map_err(gone)?;
        let mut line = String::new();
        if self.output.read_line(&mut line).map_err(gone)? == 0 {
            return Err(gone(io::ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_str(&line) {
            Ok(Report::Failed(why)) => Err(BenchError::Station(
                why.trim_start_matches("measure: ").to_owned(),
            )),
            Ok(report) => Ok(report),
            Err(error) => Err(BenchError::Station(format!(
                "the measuring program answered what is no report: {error}"
            ))),
        }
    }
}

fn unexpected(report: &Report) -> BenchError {
    BenchError::Station(format!(
        "the measuring program answered another question: {report:?}"
    ))
}
