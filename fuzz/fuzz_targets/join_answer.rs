//! What a new node is answered, from any bytes: HTTP and the bodies in it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tombolo_join::fuzzing::join_answer(bytes));
