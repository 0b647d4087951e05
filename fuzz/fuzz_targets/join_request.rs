//! What a stranger says at the join port, from any bytes: requests, signing requests, certificates.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    tombolo_join::fuzzing::join_request(bytes);
    tombolo_join::fuzzing::certificate(bytes);
});
