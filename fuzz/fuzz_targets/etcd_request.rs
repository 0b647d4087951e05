//! Requests of etcd's protocol from any bytes: what is understood is written as it was, what is
//! refused has changed nothing, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tombolo_store::fuzzing::etcd_request(bytes));
