//! Sleeping until a descriptor can be read, or the datapath ends.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Waits, and answers which of the descriptors have something. None once the last of them has, which is
/// the word to stop, or if waiting is impossible.
pub(super) fn wait(descriptors: &mut [PollFd<'_>], ready: &mut Vec<usize>) -> Option<()> {
    ready.clear();
    loop {
        match poll(descriptors, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            Err(_) => return None,
            Ok(_) => break,
        }
    }
    let has = |descriptor: &PollFd<'_>| descriptor.any() == Some(true);
    let (stop, rest) = descriptors.split_last()?;
    if has(stop) {
        return None;
    }
    ready.extend((0..rest.len()).filter(|index| has(&rest[*index])));
    Some(())
}

pub(super) fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::POLLIN)
}
