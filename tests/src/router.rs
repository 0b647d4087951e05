//! Real routing daemons in hosts and routers of the lab: BIRD, FRR, GoBGP, ExaBGP.
//!
//! A [`Router`] is one of them with a configuration as its own manual has it. Each is asked in its
//! own words ([`Router::ask`]), and all in the same way for what a scenario waits for: which sessions
//! stand, and which prefixes it knows. Its files are in `/run/routers/KIND` of its host, which is in
//! memory and the host's own, so every host may have each kind once. It ends with its handle.
//!
//! ```no_run
//! # let cluster: tombolo_tests::Cluster = todo!();
//! use tombolo_tests::router::Router;
//! let router = Router::bird(&cluster.lab, "a", "router id 192.0.2.1; protocol device {}");
//! router.established("192.168.50.12");
//! router.knows("10.1.0.0/24");
//! println!("{}", router.ask("show protocols all"));
//! ```

mod bird;
mod exabgp;
pub mod fabric;
mod frr;
mod gobgp;

use std::collections::BTreeSet;
use std::process::Output;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tombolo_lab::{Lab, Running};

/// How long a session or a route may take: daemons wait seconds between two attempts to connect,
/// and GoBGP at least ten.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A daemon that runs.
pub struct Router<'lab> {
    seat: Seat<'lab>,
    kind: &'static dyn Kind,
    daemons: Vec<(&'static str, Running)>,
}

/// What one sort of daemon is like.
trait Kind: Sync {
    /// Its name, which is also its folder's.
    fn name(&self) -> &'static str;
    /// Writes its files.
    fn prepare(&self, seat: &Seat<'_>, config: &str);
    /// The programs that it consists of, each with its command; they are started in this order.
    fn programs(&self, config: &str) -> Vec<(&'static str, String)>;
    /// The command that puts a question to it; it fails while the daemon is not there yet.
    fn question(&self, words: &str) -> String;
    /// What is to be done once it answers.
    fn settle(&self, _seat: &Seat<'_>) {}
    /// A question that it answers as soon as it runs.
    fn hello(&self) -> &'static str;
    /// The addresses or interfaces of the peers with which a session stands.
    fn sessions(&self, seat: &Seat<'_>) -> BTreeSet<String>;
    /// The prefixes that it knows a way to.
    fn prefixes(&self, seat: &Seat<'_>) -> BTreeSet<String>;
}

/// Where a daemon runs.
struct Seat<'lab> {
    lab: &'lab Lab,
    host: String,
    folder: String,
}

impl<'lab> Router<'lab> {
    /// BIRD 2, with the text of a `bird.conf`. It is asked as by `birdc`.
    #[must_use]
    pub fn bird(lab: &'lab Lab, host: &str, config: &str) -> Router<'lab> {
        Router::start(&bird::Bird, lab, host, config)
    }

    /// FRR's zebra and bgpd, and bfdd where the configuration speaks of BFD, with the text of an
    /// integrated `frr.conf`. It is asked as by `vtysh -c`, several commands one a line.
    #[must_use]
    pub fn frr(lab: &'lab Lab, host: &str, config: &str) -> Router<'lab> {
        Router::start(&frr::Frr, lab, host, config)
    }

    /// GoBGP, with the text of its configuration in TOML. It is asked as by `gobgp`.
    #[must_use]
    pub fn gobgp(lab: &'lab Lab, host: &str, config: &str) -> Router<'lab> {
        Router::start(&gobgp::GoBgp, lab, host, config)
    }

    /// ExaBGP, with its `neighbor` sections, which get its API: what it is asked is a command of the
    /// API, as `announce route 10.0.0.0/24 next-hop self`, and its answer is empty. What it heard from
    /// its peers is in [`Router::heard`].
    #[must_use]
    pub fn exabgp(lab: &'lab Lab, host: &str, config: &str) -> Router<'lab> {
        Router::start(&exabgp::ExaBgp, lab, host, config)
    }

    fn start(kind: &'static dyn Kind, lab: &'lab Lab, host: &str, config: &str) -> Router<'lab> {
        let (host, folder) = (host.to_owned(), format!("/run/routers/{}", kind.name()));
        let seat = Seat { lab, host, folder };
        kind.prepare(&seat, config);
        let mut router = Router {
            daemons: Vec::new(),
            seat,
            kind,
        };
        for (program, command) in kind.programs(config) {
            router.run(program, &command);
        }
        router.until("it answers", |router| router.try_ask(kind.hello()).ok());
        kind.settle(&router.seat);
        router
    }

    /// Starts one of its programs: its id in the host is in `PROGRAM.pid`, its output in `log`.
    fn run(&mut self, program: &'static str, command: &str) {
        let script = format!(
            "cd {folder} && echo $$ > {program}.pid && exec {command} >> log 2>&1",
            folder = self.seat.folder
        );
        let argv = ["sh", "-c", &script];
        let running = self.seat.lab.spawn(self.seat.host.as_str(), &argv);
        self.daemons
            .push((program, running.expect("a daemon is started")));
    }

    /// Puts a question in the daemon's own words, and answers what it said.
    ///
    /// # Panics
    /// The daemon refuses it.
    #[must_use]
    pub fn ask(&self, question: &str) -> String {
        self.try_ask(question)
            .unwrap_or_else(|error| panic!("{question}: {error}\n{}", self.log()))
    }

    /// Tells the daemon something, as [`Router::ask`] without an answer.
    ///
    /// # Panics
    /// The daemon refuses it.
    pub fn tell(&self, command: &str) {
        let _ = self.ask(command);
    }

    /// The same, and the answer as JSON: FRR is asked with `json`, GoBGP with `-j` in the question.
    ///
    /// # Panics
    /// The daemon refuses it, or its answer is no JSON.
    #[must_use]
    pub fn json(&self, question: &str) -> Value {
        let text = self.ask(question);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{question}: {error}: {text}"))
    }

    /// Puts a question that may be refused.
    ///
    /// # Errors
    /// What the daemon, or the program that asks it, wrote.
    pub fn try_ask(&self, question: &str) -> Result<String, String> {
        self.seat.try_sh(&self.kind.question(question))
    }

    /// Waits until a session with this peer stands: its address, or, where it has none, as with
    /// FRR's unnumbered peers, its interface.
    pub fn established(&self, peer: &str) {
        self.until(&format!("the session with {peer} stands"), |router| {
            router.sessions().contains(peer).then_some(())
        });
    }

    /// Waits until no session with this peer stands.
    pub fn parted(&self, peer: &str) {
        self.until(&format!("the session with {peer} is over"), |router| {
            (!router.sessions().contains(peer)).then_some(())
        });
    }

    /// Waits until it knows a way to this prefix.
    pub fn knows(&self, prefix: &str) {
        self.until(&format!("it knows {prefix}"), |router| {
            router.prefixes().contains(prefix).then_some(())
        });
    }

    /// Waits until it knows no way to this prefix.
    pub fn forgets(&self, prefix: &str) {
        self.until(&format!("it forgets {prefix}"), |router| {
            (!router.prefixes().contains(prefix)).then_some(())
        });
    }

    /// The peers with which a session stands, by address or interface.
    #[must_use]
    pub fn sessions(&self) -> BTreeSet<String> {
        self.kind.sessions(&self.seat)
    }

    /// The prefixes of both families that it knows a way to, its own included; of ExaBGP, which
    /// has no table, those that its peers announced and did not withdraw.
    #[must_use]
    pub fn prefixes(&self) -> BTreeSet<String> {
        self.kind.prefixes(&self.seat)
    }

    /// The lines of JSON in which ExaBGP told what it heard: sessions and updates.
    #[must_use]
    pub fn heard(&self) -> Vec<Value> {
        exabgp::heard(&self.seat)
    }

    /// Asks again and again until there is an answer: the daemons offer no event for most of what a
    /// scenario waits for.
    ///
    /// # Panics
    /// There is none within [`DEADLINE`]; the panic shows the daemon's log.
    pub fn until<T>(&self, what: &str, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(answer) = ask(self) {
                return answer;
            }
            assert!(
                begun.elapsed() < DEADLINE,
                "{} on {}: in vain waited until {what}\n{}",
                self.kind.name(),
                self.seat.host,
                self.log()
            );
            std::thread::yield_now();
        }
    }

    /// Ends it as an operator does, by SIGTERM, and waits for its end.
    pub fn stop(mut self) {
        for (_, daemon) in self.daemons.drain(..).rev() {
            daemon.stop(Signal::SIGTERM).expect("a daemon ends");
        }
    }

    /// Ends it as a crash does, by SIGKILL, and waits for its end: nobody is told.
    pub fn kill(mut self) {
        let names: Vec<&str> = self.daemons.iter().map(|(program, _)| *program).collect();
        for name in names {
            self.kill_program(name);
        }
    }

    /// Kills one of its programs: of FRR, `bgpd` alone.
    pub fn kill_program(&mut self, program: &str) {
        let at = self.daemons.iter().position(|(name, _)| *name == program);
        let (_, mut daemon) = self.daemons.remove(at.expect("the program runs"));
        let kill = format!("kill -9 $(cat {}/{program}.pid)", self.seat.folder);
        self.seat.sh(&kill);
        daemon.finish().expect("a killed program ends");
    }

    /// Starts a program again that was killed, with the configuration that it had.
    pub fn revive_program(&mut self, program: &str, config: &str) {
        let programs = self.kind.programs(config).into_iter();
        let mut named = programs.filter(|(name, _)| *name == program);
        let (name, command) = named.next().expect("there is such a program");
        self.run(name, &command);
        let hello = self.kind.hello();
        self.until("it answers again", |router| router.try_ask(hello).ok());
        self.kind.settle(&self.seat);
    }

    /// What its programs wrote.
    #[must_use]
    pub fn log(&self) -> String {
        let tail = format!("tail -n 60 {}/log", self.seat.folder);
        self.seat.try_sh(&tail).unwrap_or_else(|error| error)
    }
}

impl Seat<'_> {
    fn output(&self, script: &str) -> Output {
        let argv = ["sh", "-c", script];
        let output = self.lab.exec(self.host.as_str(), &argv);
        output.expect("the host is there")
    }

    /// Runs a shell command in the host: what it wrote, or what it complained of.
    fn try_sh(&self, script: &str) -> Result<String, String> {
        let output = self.output(script);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// The same of one that succeeds.
    fn sh(&self, script: &str) -> String {
        self.try_sh(script)
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// What a command answered as JSON; null where the daemon has nothing to say, or is not there.
    fn json(&self, script: &str) -> Value {
        let text = self.try_sh(script).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Writes a file in the daemon's folder.
    fn write(&self, name: &str, text: &str) {
        let folder = &self.folder;
        crate::runtime::write(self.lab, &self.host, &format!("{folder}/{name}"), text);
    }
}
