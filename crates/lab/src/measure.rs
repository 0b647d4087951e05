//! Latency, throughput and loss between any two places of a lab.
//!
//! It measures with the lab's own senders and receivers; only latency takes the system's `ping`. A
//! [`Flow`] is started before an event and stopped after it: what it lost, the event lost.

use std::io::{BufRead, BufReader};
use std::net::IpAddr;

use crate::roles::MARK;
use crate::{Lab, LabError, Running, Target};

/// What `ping` saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ping {
    /// Requests sent.
    pub sent: u32,
    /// Answers received.
    pub received: u32,
    /// Median of the round trips, in microseconds; none if nothing was received.
    pub median_us: Option<f64>,
}

/// Sends `count` echo requests, each as soon as the one before is answered, and waits for an answer
/// for at most one second.
///
/// # Errors
/// `from` does not exist or has no `ping`.
pub fn ping(lab: &Lab, from: impl Into<Target>, to: IpAddr, count: u32) -> Result<Ping, LabError> {
    let (count_text, to) = (count.to_string(), to.to_string());
    let output = lab.exec(
        from,
        &["ping", "-n", "-A", "-W", "1", "-c", &count_text, &to],
    )?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut times: Vec<f64> = text
        .lines()
        .filter_map(|line| line.split_once("time=")?.1.split(' ').next()?.parse().ok())
        .collect();
    times.sort_by(f64::total_cmp);
    let received = u32::try_from(times.len()).unwrap_or(u32::MAX);
    Ok(Ping {
        sent: count,
        received,
        median_us: times.get(times.len() / 2).map(|ms| ms * 1000.0),
    })
}

/// Sends over one TCP connection for so many milliseconds and returns what arrived, in bits per
/// second.
///
/// # Errors
/// One of the places does not exist, or the connection fails.
pub fn throughput(
    lab: &Lab,
    from: impl Into<Target>,
    to: impl Into<Target>,
    address: IpAddr,
    milliseconds: u32,
) -> Result<f64, LabError> {
    let address = address.to_string();
    let mut receiver = lab.spawn(to, &own("tcp-receive", &[&address]))?;
    let mut lines = answers(&mut receiver)?;
    let port = line(&mut lines)?;
    lab.output(
        from,
        &own("tcp-send", &[&address, &port, &milliseconds.to_string()]),
    )?;
    let [bytes, micros] = numbers(&line(&mut lines)?)?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate is printed with few digits"
    )]
    Ok(bytes as f64 * 8e6 / micros.max(1) as f64)
}

/// What became of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowCount {
    /// Datagrams sent.
    pub sent: u64,
    /// Different ones received.
    pub received: u64,
    /// How many came more than once.
    pub twice: u64,
    /// How many came after a later one.
    pub late: u64,
}

impl FlowCount {
    /// Datagrams that never arrived.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

/// Numbered UDP datagrams from one place to another, in the background.
#[derive(Debug)]
pub struct Flow {
    sender: Running,
    receiver: Running,
    lines: BufReader<std::process::ChildStdout>,
}

impl Flow {
    /// Starts a flow of so many datagrams a second.
    ///
    /// # Errors
    /// One of the places does not exist.
    pub fn start(
        lab: &Lab,
        from: impl Into<Target>,
        to: impl Into<Target>,
        address: IpAddr,
        per_second: u32,
    ) -> Result<Flow, LabError> {
        let address = address.to_string();
        let mut receiver = lab.spawn(to, &own("flow-receive", &[&address]))?;
        let mut lines = answers(&mut receiver)?;
        let port = line(&mut lines)?;
        let sender = lab.spawn(
            from,
            &own("flow-send", &[&address, &port, &per_second.to_string()]),
        )?;
        Ok(Flow {
            sender,
            receiver,
            lines,
        })
    }

    /// Stops the sender, waits until nothing more arrives, and counts.
    ///
    /// # Errors
    /// One of the two ended early, as when its host was killed.
    pub fn stop(mut self) -> Result<FlowCount, LabError> {
        drop(self.sender.child.stdin.take());
        let sent = self.sender.finish()?;
        let [sent] = numbers(sent.trim())?;
        drop(self.receiver.child.stdin.take());
        let [received, twice, late] = numbers(&line(&mut self.lines)?)?;
        Ok(FlowCount {
            sent,
            received,
            twice,
            late,
        })
    }
}

/// The words that run one of the lab's own senders and receivers.
fn own<'a>(role: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["/proc/self/exe", MARK, role];
    words.extend(rest);
    words
}

fn answers(running: &mut Running) -> Result<BufReader<std::process::ChildStdout>, LabError> {
    running
        .child
        .stdout
        .take()
        .map(BufReader::new)
        .ok_or_else(|| early("its output is taken"))
}

fn line(lines: &mut impl BufRead) -> Result<String, LabError> {
    let mut text = String::new();
    lines
        .read_line(&mut text)
        .map_err(LabError::system("read from", "a measurement"))?;
    match text.trim() {
        "" => Err(early(
            "it ended without an answer: its host or container may be gone",
        )),
        text => Ok(text.to_owned()),
    }
}

fn numbers<const N: usize>(text: &str) -> Result<[u64; N], LabError> {
    let found: Vec<u64> = text
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    <[u64; N]>::try_from(found).map_err(|_| early("it ended without its numbers"))
}

fn early(message: &str) -> LabError {
    LabError::Wiring(format!("a measurement failed: {message}"))
}
