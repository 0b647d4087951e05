//! A tunnel as a process of its own: it is told what to be over a unix socket, and ends by a signal, or
//! when another one has taken over.

use std::io::BufReader;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::client::Client;
use super::handle::{Asker, Handed, Options, spawn, start_with};
use super::handover;
use super::wire::{Reply, Request, hear, say};
use crate::TunnelError;

/// How long who waits for changes waits for an answer.
const WAIT: Duration = Duration::from_secs(10);
/// How long who takes over may take.
const TAKEOVER: Duration = Duration::from_secs(5);

/// How a process is started.
#[derive(Debug)]
pub struct ServeOptions {
    /// Where it listens.
    pub socket: PathBuf,
    /// The tunnel itself.
    pub tunnel: Options,
    /// Told once it serves, with whether it took over from another one.
    pub ready: fn(bool),
    /// What it does at SIGHUP: start its successor.
    pub renew: fn(),
}

/// Serves until SIGTERM or SIGINT, or until another process has taken over.
///
/// # Errors
/// The socket cannot be made, or the kernel has no more threads or descriptors.
pub fn serve(options: &ServeOptions) -> Result<(), TunnelError> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    // Before any thread, which all have the same.
    let resources = |operation| move |errno| TunnelError::Resources { operation, errno };
    signals
        .thread_block()
        .map_err(resources("wait for signals"))?;
    let client = Client::new(&options.socket);
    // Whoever does not hand over is gone, or will be: one that hangs holds its queues.
    let taken = client.is_served().then(|| client.take_over()).transpose()?;
    let took_over = taken.is_some();
    let (handed, done) = match taken.map(super::client::Takeover::split) {
        Some((handed, done)) => (handed, Some(done)),
        None => (Handed::default(), None),
    };
    let handle = start_with(&options.tunnel, handed)?;
    let listener = listen(&options.socket)?;
    let replaced = Arc::new(AtomicBool::new(false));
    let (asker, flag) = (handle.asker(), Arc::clone(&replaced));
    spawn("tunnel-socket", move || accept(&listener, &asker, &flag))?;
    if let Some(done) = done {
        done();
    }
    (options.ready)(took_over);
    let wait = || signals.wait().map_err(resources("wait for signals"));
    while wait()? == Signal::SIGHUP {
        (options.renew)();
    }
    if !replaced.load(Ordering::SeqCst) {
        // It may be gone already.
        let _ = std::fs::remove_file(&options.socket);
    }
    drop(handle);
    Ok(())
}

/// Listens at a path, in place of whoever listened there before.
fn listen(path: &Path) -> Result<UnixListener, TunnelError> {
    let new = path.with_extension("new");
    let listening = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let _ = std::fs::remove_file(&new);
        let listener = UnixListener::bind(&new)?;
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&new, path)?;
        Ok(listener)
    };
    listening().map_err(|error: std::io::Error| TunnelError::Process {
        path: path.display().to_string(),
        cause: error.to_string(),
    })
}

fn accept(listener: &UnixListener, asker: &Asker, replaced: &Arc<AtomicBool>) {
    for stream in listener.incoming().flatten() {
        let (asker, replaced) = (asker.clone(), Arc::clone(replaced));
        // Who cannot be served now asks again.
        let _ = spawn("tunnel-client", move || {
            if converse(&stream, &asker).unwrap_or(false) {
                replaced.store(true, Ordering::SeqCst);
                let _ = kill(Pid::this(), Signal::SIGTERM);
            }
        });
    }
}

/// Answers a client until it goes. Whether it has taken over.
fn converse(stream: &UnixStream, asker: &Asker) -> std::io::Result<bool> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = hear(&mut reader)? {
        let status = |status: Result<_, _>| status.map(|status| Reply::Status(Box::new(status)));
        let reply = match request {
            Request::Configure(config) => asker.configure(*config).map(|()| Reply::Done),
            Request::Status => status(asker.status()),
            Request::Wait { edition } => status(asker.wait(edition, WAIT)),
            Request::HandOver => match asker.hand_over() {
                Ok(handed) => return hand_over(stream, &mut reader, asker, handed),
                Err(error) => Err(error),
            },
            Request::Ready | Request::Taken => Ok(Reply::Failed("nothing was asked for".into())),
        };
        say(
            stream,
            &reply.unwrap_or_else(|error| Reply::Failed(error.to_string())),
        )?;
    }
    Ok(false)
}

/// Hands everything over, or goes on.
fn hand_over(
    stream: &UnixStream,
    reader: &mut BufReader<&UnixStream>,
    asker: &Asker,
    handed: Handed,
) -> std::io::Result<bool> {
    let mut given = || {
        stream.set_read_timeout(Some(TAKEOVER))?;
        say(
            stream,
            &Reply::Handed(Box::new(handover::inventory(&handed))),
        )?;
        if !matches!(hear(reader)?, Some(Request::Ready)) {
            return Ok(false);
        }
        handover::send(stream, &handed.ports)?;
        Ok(matches!(hear(reader)?, Some(Request::Taken)))
    };
    let given: std::io::Result<bool> = given();
    if !matches!(given, Ok(true)) {
        // Nobody else asks it any more than this one does.
        let _ = asker.take_back(handed);
    }
    given
}
