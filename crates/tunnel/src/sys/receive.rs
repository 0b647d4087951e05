//! Many datagrams in one call (`recvmmsg(2)`), each perhaps of many that the kernel joined (`UDP_GRO` of
//! udp(7)).

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use super::address::Address;

/// What came into one slot of the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    /// How many bytes.
    pub length: usize,
    /// How long each datagram in them is but the last; all of them, if it is only one.
    pub segment: usize,
    /// From whom; none if the kernel has no word for it.
    pub from: Option<SocketAddr>,
    /// Whether it was longer than the slot.
    pub truncated: bool,
}

/// Room for the kernel's word of the segments' size, aligned as its header.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 64]);

/// The kernel's vectors, kept from call to call.
pub(crate) struct Receiver {
    slot: usize,
    vectors: Vec<libc::iovec>,
    addresses: Vec<Address>,
    controls: Vec<Control>,
    headers: Vec<libc::mmsghdr>,
    received: Vec<Received>,
}

impl Receiver {
    /// For a buffer whose slots are so long each.
    pub(crate) fn new(slot: usize) -> Receiver {
        Receiver {
            slot,
            vectors: Vec::new(),
            addresses: Vec::new(),
            controls: Vec::new(),
            headers: Vec::new(),
            received: Vec::new(),
        }
    }

    /// Receives what is there into the first slots of the buffer, at most `most` of them, and does not
    /// wait.
    pub(crate) fn receive(
        &mut self,
        fd: BorrowedFd<'_>,
        bytes: &mut [u8],
        most: usize,
    ) -> Result<&[Received], Errno> {
        self.prepare(bytes, most);
        // SAFETY: the headers point into vectors that are not touched until the call returns, and those
        // into `bytes`, which is borrowed alone as long; the kernel writes by the lengths beside them.
        let count = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let count = Errno::result(count)? as usize;
        self.received.clear();
        for (header, address) in self.headers.iter().zip(&self.addresses).take(count) {
            let length = (header.msg_len as usize).min(self.slot);
            let segment = segment(&header.msg_hdr).filter(|size| *size > 0);
            self.received.push(Received {
                length,
                segment: segment.unwrap_or(length),
                from: address.read(),
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            });
        }
        Ok(&self.received)
    }

    fn prepare(&mut self, bytes: &mut [u8], most: usize) {
        self.vectors.clear();
        self.addresses.clear();
        self.controls.clear();
        self.headers.clear();
        for slot in bytes.chunks_exact_mut(self.slot).take(most) {
            self.vectors.push(libc::iovec {
                iov_base: slot.as_mut_ptr().cast(),
                iov_len: slot.len(),
            });
            self.addresses.push(Address::empty());
            self.controls.push(Control([0; 64]));
        }
        for index in 0..self.vectors.len() {
            // SAFETY: `msghdr` is a plain structure, for which zero bytes are a value.
            let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
            header.msg_name = (&raw mut self.addresses[index]).cast();
            header.msg_namelen = Address::SIZE;
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[index]).cast();
            header.msg_controllen = size_of::<Control>();
            self.headers.push(libc::mmsghdr {
                msg_hdr: header,
                msg_len: 0,
            });
        }
    }
}

/// What the kernel says of the segments' size, if it joined some.
fn segment(header: &libc::msghdr) -> Option<usize> {
    // SAFETY: the header is one that the kernel filled; its control buffer is alive and as long as it
    // says, and these functions stay within it.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        while !next.is_null() {
            if (*next).cmsg_level == libc::SOL_UDP && (*next).cmsg_type == libc::UDP_GRO {
                let value: libc::c_int = std::ptr::read_unaligned(libc::CMSG_DATA(next).cast());
                return usize::try_from(value).ok();
            }
            next = libc::CMSG_NXTHDR(header, next);
        }
    }
    None
}
