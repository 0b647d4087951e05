//! Logged packets from any datagram, and any bytes as a packet: no input makes the reader panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| tombolo_kernel::fuzzing::logged(datagram));
