//! Packets that came in, in their order, become as few for the device as can be.

use super::run::{Packet, Run};

/// Holds the run that is still open. What does not belong to it ends it.
#[derive(Debug, Default)]
pub struct Merger {
    run: Run,
    open: bool,
}

impl Merger {
    /// Takes a packet that lies in `bytes`. Hands on the run that it ends.
    pub fn push(&mut self, packet: &Packet, bytes: &[u8], write: impl FnOnce(&Run)) {
        if self.open && self.run.join(packet, &bytes[packet.piece.range()]) {
            return;
        }
        self.finish(write);
        self.run.begin(packet, &bytes[packet.piece.range()]);
        self.open = true;
    }

    /// Hands on the run that is open.
    pub fn finish(&mut self, write: impl FnOnce(&Run)) {
        if std::mem::take(&mut self.open) {
            write(&self.run);
        }
    }
}
