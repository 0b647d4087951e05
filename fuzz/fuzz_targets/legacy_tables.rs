//! Tables of iptables-legacy from any bytes: no input makes the reader panic or go round for ever.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tombolo_kernel::fuzzing::legacy_tables(bytes));
