//! Links, addresses, routes, neighbours and rules from any datagram: no input makes a reader panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| tombolo_kernel::fuzzing::rtnetlink(datagram));
