//! What Docker asks the plugin, from any bytes: no input makes it panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tombolo_docker::fuzzing::request(bytes));
