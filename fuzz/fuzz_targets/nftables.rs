//! Sets, elements, chains and rules from any datagram: no input makes a reader panic, and a set's
//! ranges are what their prefixes are.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| tombolo_kernel::fuzzing::nftables(datagram));
