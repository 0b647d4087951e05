//! Many datagrams in one call (`sendmmsg(2)`, and `UDP_SEGMENT` of udp(7)), and one packet of many pieces
//! to a device (`writev(2)`).

use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use super::address::Address;
use crate::packet::Piece;

/// Datagrams to one address that the kernel cuts out of one buffer.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    /// Which of the pieces.
    pub pieces: Range<usize>,
    /// To whom.
    pub to: SocketAddr,
    /// How long each datagram is but the last; zero for one datagram alone.
    pub segment: u16,
}

/// `struct cmsghdr` with the two bytes of `UDP_SEGMENT`, padded as `CMSG_SPACE` has it.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    segment: u16,
    pad: [u8; 6],
}

/// The kernel's vectors, kept from call to call so that none is allocated anew.
#[derive(Default)]
pub(crate) struct Vectors {
    vectors: Vec<libc::iovec>,
    addresses: Vec<(Address, libc::socklen_t)>,
    controls: Vec<Control>,
    headers: Vec<libc::mmsghdr>,
}

impl Vectors {
    /// Sends messages, and answers how many of them went out before one failed.
    pub(crate) fn send(
        &mut self,
        fd: BorrowedFd<'_>,
        bytes: &[u8],
        pieces: &[Piece],
        messages: &[Outgoing],
    ) -> Result<usize, Errno> {
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else {
            return Ok(0);
        };
        let base = first.pieces.start;
        self.point(bytes, &pieces[base..last.pieces.end]);
        self.addresses.clear();
        self.controls.clear();
        self.headers.clear();
        for message in messages {
            self.addresses.push(Address::new(message.to));
            self.controls.push(control(message.segment));
        }
        for (index, message) in messages.iter().enumerate() {
            let vectors = &mut self.vectors[message.pieces.start - base..message.pieces.end - base];
            let (address, length) = &mut self.addresses[index];
            // SAFETY: `msghdr` is a plain structure, for which zero bytes are a value.
            let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
            header.msg_name = std::ptr::from_mut(address).cast();
            header.msg_namelen = *length;
            header.msg_iov = vectors.as_mut_ptr();
            header.msg_iovlen = vectors.len();
            if message.segment > 0 {
                header.msg_control = (&raw mut self.controls[index]).cast();
                header.msg_controllen = size_of::<Control>();
            }
            self.headers.push(libc::mmsghdr {
                msg_hdr: header,
                msg_len: 0,
            });
        }
        // SAFETY: the headers point into vectors that are not touched until the call returns, and those
        // into `bytes`, which is borrowed as long; the kernel only reads them, by the lengths beside them.
        let sent = unsafe {
            libc::sendmmsg(
                fd.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                libc::MSG_NOSIGNAL,
            )
        };
        Errno::result(sent).map(|sent| sent as usize)
    }

    /// Writes pieces as one packet.
    pub(crate) fn write(
        &mut self,
        fd: BorrowedFd<'_>,
        head: &[u8],
        bytes: &[u8],
        pieces: &[Piece],
    ) -> Result<usize, Errno> {
        self.vectors.clear();
        self.vectors.push(vector(head));
        for piece in pieces {
            self.vectors.push(vector(&bytes[piece.range()]));
        }
        // SAFETY: the vectors point into slices that are borrowed until the call returns, and the kernel
        // only reads them, by the lengths beside them.
        let written = unsafe {
            libc::writev(
                fd.as_raw_fd(),
                self.vectors.as_ptr(),
                self.vectors.len() as libc::c_int,
            )
        };
        Errno::result(written).map(|written| written as usize)
    }

    fn point(&mut self, bytes: &[u8], pieces: &[Piece]) {
        self.vectors.clear();
        for piece in pieces {
            self.vectors.push(vector(&bytes[piece.range()]));
        }
    }
}

fn vector(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

fn control(segment: u16) -> Control {
    Control {
        header: libc::cmsghdr {
            cmsg_len: size_of::<libc::cmsghdr>() + size_of::<u16>(),
            cmsg_level: libc::SOL_UDP,
            cmsg_type: libc::UDP_SEGMENT,
        },
        segment,
        pad: [0; 6],
    }
}
