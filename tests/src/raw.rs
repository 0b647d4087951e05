//! A peer that is written by hand: it says what no daemon can be brought to say.
//!
//! It is on a host of the lab, 192.168.50.12 and AS 65002 unless said otherwise, and its connection is
//! a socket of that host in the hands of the scenario. Bytes are made here too: [`message`],
//! [`update`], [`open`].

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::SockRef;
use tombolo_kernel::NetnsHandle;
use tombolo_lab::Lab;

use crate::router::DEADLINE;

/// ORIGIN: IGP.
pub const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
/// AS_PATH: 65002, by systems of four octets.
pub const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xFD, 0xEA];
/// NEXT_HOP: 192.168.50.12.
pub const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 168, 50, 12];

/// A connection of a peer that is written by hand.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// Connects from a host to the BGP port of host `a`.
    ///
    /// # Panics
    /// It cannot.
    #[must_use]
    pub fn connect(lab: &Lab, host: &str) -> Raw {
        Raw::try_connect(lab, host).expect("host a listens")
    }

    /// The same where `a` may refuse it.
    ///
    /// # Errors
    /// It is refused, or nobody answers.
    ///
    /// # Panics
    /// There is no such host.
    pub fn try_connect(lab: &Lab, host: &str) -> std::io::Result<Raw> {
        let connect = || TcpStream::connect((crate::daemons::US, 179));
        let stream = netns(lab, host).run(connect).expect("it can be entered")?;
        Ok(Raw::on(stream))
    }

    /// Listens at the BGP port of a host, to be connected to.
    ///
    /// # Panics
    /// It cannot.
    #[must_use]
    pub fn listen(lab: &Lab, host: &str) -> TcpListener {
        let listen = || TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 179)));
        let listener = netns(lab, host).run(listen).expect("it can be entered");
        listener.expect("the port is free")
    }

    /// Takes the next connection.
    ///
    /// # Panics
    /// It cannot be taken.
    #[must_use]
    pub fn accept(listener: &TcpListener) -> Raw {
        Raw::on(listener.accept().expect("a connection comes").0)
    }

    fn on(stream: TcpStream) -> Raw {
        let waits = stream.set_read_timeout(Some(DEADLINE));
        waits.expect("a socket takes a deadline");
        Raw { stream }
    }

    /// Connects and says what is needed for a session to stand.
    ///
    /// # Panics
    /// It does not come to stand.
    #[must_use]
    pub fn established(lab: &Lab, host: &str) -> Raw {
        let mut raw = Raw::connect(lab, host);
        raw.confirm(&open());
        raw
    }

    /// Says an OPEN and a KEEPALIVE, and takes both of the other side.
    ///
    /// # Panics
    /// Something else comes.
    pub fn confirm(&mut self, open: &[u8]) {
        self.say(open);
        assert_eq!(self.hear().0, 1, "an OPEN");
        assert_eq!(self.hear().0, 4, "a KEEPALIVE");
        self.say(&message(4, &[]));
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// The connection is gone.
    pub fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the other side reads");
    }

    /// The next message: its type and its body.
    ///
    /// # Panics
    /// None comes.
    #[must_use]
    pub fn hear(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 19];
        self.stream.read_exact(&mut head).expect("a message comes");
        let length = usize::from(u16::from_be_bytes([head[16], head[17]]));
        let mut body = vec![0; length - head.len()];
        self.stream.read_exact(&mut body).expect("all of it comes");
        (head[18], body)
    }

    /// The code and subcode of the NOTIFICATION that comes, after which the connection ends.
    ///
    /// # Panics
    /// None comes, or more comes behind it.
    #[must_use]
    pub fn farewell(&mut self) -> (u8, u8) {
        loop {
            let (kind, body) = self.hear();
            if kind == 3 {
                let mut rest = Vec::new();
                let _ = self.stream.read_to_end(&mut rest);
                assert!(rest.is_empty(), "it goes on after a NOTIFICATION");
                return (body[0], body[1]);
            }
        }
    }

    /// Ends the connection by a reset of TCP.
    ///
    /// # Panics
    /// The socket cannot be told to.
    pub fn reset(self) {
        let socket = SockRef::from(&self.stream);
        let told = socket.set_linger(Some(Duration::ZERO));
        told.expect("a socket takes a time to linger");
    }
}

fn netns(lab: &Lab, host: &str) -> NetnsHandle {
    let pid = lab.host(host).expect("the host is there").process.pid;
    NetnsHandle::open(format!("/proc/{pid}/ns/net")).expect("it has a namespace")
}

/// A message with a header that is right.
#[must_use]
pub fn message(code: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).expect("a short message");
    [&[0xFF; 16], &length.to_be_bytes()[..], &[code], body].concat()
}

/// An UPDATE of three fields, the attributes in parts.
#[must_use]
pub fn update(withdrawn: &[u8], attributes: &[&[u8]], announced: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let field = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).expect("a short field");
        [&length.to_be_bytes()[..], bytes].concat()
    };
    let body = [&field(withdrawn), &field(&attributes), announced].concat();
    message(2, &body)
}

/// A good OPEN: AS 65002, identifier 192.0.2.9, a hold time of 90 s, both families, refresh, four octets
/// for systems.
#[must_use]
pub fn open() -> Vec<u8> {
    let families = [1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1];
    let system = [65, 4, 0, 0, 0xFD, 0xEA];
    open_of(65002, 90, &[&families[..], &[2, 0], &system].concat())
}

/// An OPEN of a system in its two octets, with a hold time and capabilities.
#[must_use]
pub fn open_of(asn: u16, hold: u16, capabilities: &[u8]) -> Vec<u8> {
    let length = u8::try_from(capabilities.len()).expect("few capabilities");
    let ([high, low], [long, short]) = (asn.to_be_bytes(), hold.to_be_bytes());
    let head = [4, high, low, long, short, 192, 0, 2, 9];
    let parameters = [&[length + 2, 2, length], capabilities].concat();
    message(1, &[&head[..], &parameters].concat())
}
