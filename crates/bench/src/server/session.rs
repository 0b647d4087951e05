//! One client, from its hello to its end.

use std::net::{IpAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};

use super::data::Data;
use super::{Shared, Turn};
use crate::wire::{Ask, Control, Mark, PATIENCE, PROTOCOL, Say, VERSION};
use crate::{BenchError, cpu};

/// A client whose host vanished is given up after about ten seconds.
const KEEPALIVE: Duration = Duration::from_secs(3);

/// Serves one client. What goes wrong is told to it, since nobody else listens.
pub(super) fn serve(stream: TcpStream, shared: &Shared) {
    let mut known = false;
    let told = converse(stream, shared, &mut known);
    if !known {
        shared.strangers.fetch_sub(1, Ordering::Relaxed);
    }
    // Only a connection that is gone is left unanswered.
    drop(told);
}

fn converse(stream: TcpStream, shared: &Shared, known: &mut bool) -> Result<(), BenchError> {
    let failed = BenchError::system("use a connection");
    let here = match (stream.local_addr(), stream.try_clone()) {
        (Ok(address), Ok(copy)) => (address.ip(), copy),
        (Err(error), _) | (_, Err(error)) => return Err(failed(error)),
    };
    let (here, copy) = here;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE)
        .with_retries(3);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    let mut control =
        Control::new(stream, Some(PATIENCE)).map_err(BenchError::system("use a connection"))?;
    if let Err(why) = greet(&mut control, &shared.token)? {
        return control.tell(&Say::Refused { why });
    }
    shared.strangers.fetch_sub(1, Ordering::Relaxed);
    *known = true;
    let _turn = match Turn::take(shared, copy) {
        Ok(turn) => turn,
        Err(other) => {
            let other = other.map_or_else(|_| "another".to_owned(), |peer| peer.to_string());
            let why = format!(
                "it measures for {other} at present, and two at once would measure each other; \
                 try again when that has ended"
            );
            return control.tell(&Say::Refused { why });
        }
    };
    let machine = cpu::machine();
    control.tell(&Say::Hello {
        version: VERSION,
        machine,
    })?;
    control
        .wait(None)
        .map_err(BenchError::system("use a connection"))?;
    Session {
        here,
        data_port: shared.data_port,
        begun: Instant::now(),
        data: None,
    }
    .run(&mut control)
}

/// Hears who this is. What is no hello of ours is refused with the words that are returned.
fn greet(control: &mut Control, token: &str) -> Result<Result<(), String>, BenchError> {
    match control.hear()? {
        Some(Ask::Hello {
            protocol, version, ..
        }) if protocol == PROTOCOL && version != VERSION => {
            // Its own version is the answer, by which the client knows what is wrong.
            control.tell(&Say::Hello {
                version: VERSION,
                machine: String::new(),
            })?;
            Ok(Err("the versions differ".to_owned()))
        }
        Some(Ask::Hello {
            protocol,
            token: given,
            ..
        }) if protocol == PROTOCOL => {
            if given == token {
                Ok(Ok(()))
            } else {
                Ok(Err(
                    "the token is not the one of this measurement".to_owned()
                ))
            }
        }
        _ => Ok(Err("the first word is hello".to_owned())),
    }
}

struct Session {
    here: IpAddr,
    data_port: u16,
    begun: Instant,
    data: Option<Data>,
}

impl Session {
    fn run(mut self, control: &mut Control) -> Result<(), BenchError> {
        while let Some(question) = control.hear()? {
            let answer = self.answer(question).unwrap_or_else(|error| Say::Refused {
                why: error.to_string(),
            });
            control.tell(&answer)?;
        }
        Ok(())
    }

    fn answer(&mut self, question: Ask) -> Result<Say, BenchError> {
        let refused = |why: &str| Say::Refused {
            why: why.to_owned(),
        };
        Ok(match question {
            Ask::Hello { .. } => refused("hello was said already"),
            Ask::Prepare(trial) => {
                // The port of the one before is free for this.
                self.data = None;
                let data = Data::open(trial.check()?, self.here, self.data_port)?;
                let (port, cookie) = (data.port, data.cookie);
                self.data = Some(data);
                Say::Ready { port, cookie }
            }
            Ask::Mark => match &self.data {
                Some(data) => Say::Marked(self.mark(data)?),
                None => refused("nothing was prepared"),
            },
            Ask::Finish { sent } => match self.data.take() {
                Some(mut data) => {
                    data.finish(sent);
                    Say::Finished(self.mark(&data)?)
                }
                None => refused("nothing was prepared"),
            },
        })
    }

    fn mark(&self, data: &Data) -> Result<Mark, BenchError> {
        let short = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
        let cpu = short(cpu::busy()?.as_micros());
        let (bytes, datagrams, knocks) = data.counted();
        Ok(Mark {
            nanoseconds: short(self.begun.elapsed().as_nanos()),
            bytes,
            datagrams,
            knocks,
            cpu,
        })
    }
}
