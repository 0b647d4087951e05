//! The side that receives, echoes and counts.
//!
//! It serves one client at a time, since two would measure each other: the second is refused in
//! words. Strangers get nowhere: a client names a token at first, and each data connection begins
//! with a cookie that only the client was told.

mod data;
mod session;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::{BenchError, socket};

/// So many may be connected before they have said who they are.
const STRANGERS: usize = 16;

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// What its sessions have in common.
#[derive(Debug)]
struct Shared {
    token: String,
    /// The port of the data; any if it is 0.
    data_port: u16,
    over: AtomicBool,
    strangers: AtomicUsize,
    /// The client that is served.
    client: Mutex<Option<TcpStream>>,
}

impl Shared {
    /// A thread that panicked while it held this left nothing half done.
    fn client(&self) -> MutexGuard<'_, Option<TcpStream>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Serves at an address, any port if it names port 0, clients that name the token. Data come to
    /// `data_port`, or to any port if it is 0.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn start(address: SocketAddr, data_port: u16, token: &str) -> Result<Server, BenchError> {
        let listener = socket::listen(address).map_err(BenchError::system("listen"))?;
        let address = listener
            .local_addr()
            .map_err(BenchError::system("listen"))?;
        let shared = Arc::new(Shared {
            token: token.to_owned(),
            data_port,
            over: AtomicBool::new(false),
            strangers: AtomicUsize::new(0),
            client: Mutex::new(None),
        });
        let for_thread = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || accept(&listener, &for_thread));
        Ok(Server {
            address,
            shared,
            accepting: Some(accepting),
        })
    }

    /// Where clients find it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(client) = self.shared.client().as_ref() {
            // It hears that this is the end; if it is gone already, nobody minds.
            let _ = client.shutdown(Shutdown::Both);
        }
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut sessions: Vec<JoinHandle<()>> = Vec::new();
    while !shared.over.load(Ordering::Relaxed) {
        sessions.retain(|session| !session.is_finished());
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if socket::is_early(&error) => continue,
            // One that was gone before it was taken, or a table that is full for a moment.
            Err(_) => {
                std::thread::sleep(socket::TICK);
                continue;
            }
        };
        if shared.strangers.fetch_add(1, Ordering::Relaxed) >= STRANGERS {
            shared.strangers.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let shared = Arc::clone(shared);
        sessions.push(std::thread::spawn(move || session::serve(stream, &shared)));
    }
    for session in sessions {
        let _ = session.join();
    }
}

/// Whose turn it is: the client that is served, until this is dropped.
struct Turn<'a>(&'a Shared);

impl<'a> Turn<'a> {
    /// Takes it, or says who has it.
    fn take(shared: &'a Shared, stream: TcpStream) -> Result<Turn<'a>, io::Result<SocketAddr>> {
        let mut client = shared.client();
        match client.as_ref() {
            Some(present) => Err(present.peer_addr()),
            None => {
                *client = Some(stream);
                Ok(Turn(shared))
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.client() = None;
    }
}
