//! Connections from any datagram: no input makes the reader panic, and what was read can be named again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| tombolo_kernel::fuzzing::connections(datagram));
