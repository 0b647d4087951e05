//! Records of the store's file from any bytes: whatever was read is a state that answers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tombolo_store::fuzzing::store_records(bytes));
