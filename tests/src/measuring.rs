//! Programs of ours that measure between two places of a lab.

use std::net::SocketAddr;
use std::process::{ChildStdin, ChildStdout};

use tombolo_bench::{BenchError, Kind, Measured, STATION, Station, Trial, Window};
use tombolo_lab::{Lab, Running};

const TOKEN: &str = "tests";

/// From one place to another, with a program at either end. They end with this.
pub struct Measuring {
    near: Station<ChildStdin, ChildStdout>,
    /// Where the far one serves.
    pub server: SocketAddr,
    _far: Station<ChildStdin, ChildStdout>,
    _programs: [Running; 2],
}

impl Measuring {
    /// From host `a` to host `b`.
    ///
    /// # Panics
    /// The programs do not start.
    #[must_use]
    pub fn between_hosts(lab: &Lab) -> Measuring {
        let program = crate::programs().join("tombolo");
        let program = program.to_str().expect("the path is text");
        let station = |host: &str| {
            let mut running = lab.spawn(host, &[program, STATION]).expect("it starts");
            let input = running.child.stdin.take().expect("its input is piped");
            let output = running.child.stdout.take().expect("its output is piped");
            (Station::new(input, output), running)
        };
        let ((near, one), (mut far, two)) = (station("a"), station("b"));
        let address = lab.address("b").expect("there is a host b");
        let server = far.serve(address, TOKEN).expect("it serves");
        Measuring {
            near,
            server,
            _far: far,
            _programs: [one, two],
        }
    }

    /// Measures once.
    ///
    /// # Errors
    /// As the program says.
    pub fn try_once(
        &mut self,
        kind: Kind,
        message: u32,
        milliseconds: u32,
    ) -> Result<Measured, BenchError> {
        let window = Window {
            warm_up: 100,
            measured: milliseconds,
        };
        let trial = Trial {
            kind,
            message,
            streams: 1,
            window,
        };
        self.near.measure(self.server, TOKEN, &trial)
    }
}
