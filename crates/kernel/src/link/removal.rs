//! Removes interfaces, several at once, and goes on as soon as they are gone.
//!
//! Who removes a device waits in the kernel until nobody can still be looking at it
//! (`netdev_run_todo`, net/core/dev.c): some tens of milliseconds, long after its name, its
//! addresses and its routes are gone for everybody else. So each removal is a thread's that waits
//! there, and the caller only looks until the name is unknown.

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use nix::errno::Errno;
use tombolo_model::IfName;

use super::{attribute as a, header, remove};
use crate::error::{KernelError, NetlinkError};
use crate::netlink::{Message, Protocol, Socket};
use crate::session::Session;

/// How many are on their way at once.
const AT_ONCE: usize = 16;
/// The pause between two looks; removing takes some milliseconds at least.
const LOOK: Duration = Duration::from_micros(200);

type Outcome = Result<(), KernelError>;

/// Removes interfaces of a namespace; one outcome for each. The kernel tells of the removals under
/// `port`, where it can.
pub(crate) fn remove_all(session: &mut Session, names: &[&IfName], port: u32) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(names.len());
    for some in names.chunks(AT_ONCE) {
        let begun: Vec<_> = some.iter().map(|name| begin(session, name, port)).collect();
        for (name, begun) in some.iter().zip(begun) {
            outcomes.push(begun.and_then(|told| await_end(session, name, &told)));
        }
    }
    outcomes
}

/// Begins a removal, and answers where its outcome will be told.
fn begin(
    session: &Session,
    name: &IfName,
    port: u32,
) -> Result<Receiver<Result<(), NetlinkError>>, KernelError> {
    let mut socket = Socket::open_at(&session.handle, Protocol::Route, port)?;
    let message = remove(name);
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let outcome = socket.batch(std::slice::from_ref(&message)).pop();
        // Whoever asked may have seen that it is gone, and not be listening any more.
        let _ = tell.send(outcome.unwrap_or(Ok(())));
    });
    Ok(told)
}

fn await_end(
    session: &mut Session,
    name: &IfName,
    told: &Receiver<Result<(), NetlinkError>>,
) -> Outcome {
    let refused = |session: &Session, cause| session.refused(format!("remove link {name}"), cause);
    loop {
        match told.try_recv() {
            Ok(outcome) => return outcome.map_err(|cause| refused(session, cause)),
            Err(TryRecvError::Disconnected) => {
                return Err(refused(session, Errno::ECANCELED.into()));
            }
            Err(TryRecvError::Empty) => {}
        }
        let mut look = Message::new(libc::RTM_GETLINK, 0, &header(0, 0));
        look.put_text(a::IFNAME, name.as_str());
        match session.socket.request(&look) {
            Err(cause) if cause.errno == Errno::ENODEV => return Ok(()),
            _ => std::thread::sleep(LOOK),
        }
    }
}
