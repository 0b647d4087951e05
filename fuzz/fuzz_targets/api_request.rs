//! Bodies of the local API, and its answers, from any bytes: what is read is written as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::DeserializeOwned;
use tombolo_api::{
    ApplyRequest, AttachRequest, Attached, DeleteRequest, DetachRequest, Fault, Inspected,
    ReleaseRequest, TokenRequest, WatchLine,
};

fn read<T: DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(bytes) {
        let written = serde_json::to_vec(&value).expect("it is JSON");
        let again: T = serde_json::from_slice(&written).expect("what was written is read");
        assert_eq!(again, value);
    }
}

fuzz_target!(|bytes: &[u8]| {
    read::<AttachRequest>(bytes);
    read::<DetachRequest>(bytes);
    read::<DeleteRequest>(bytes);
    read::<Attached>(bytes);
    read::<Inspected>(bytes);
    read::<Fault>(bytes);
    // These hold any JSON, numbers among it that are not written to their last digit.
    let _ = serde_json::from_slice::<ApplyRequest>(bytes);
    let _ = serde_json::from_slice::<WatchLine>(bytes);
    let _ = serde_json::from_slice::<ReleaseRequest>(bytes);
    let _ = serde_json::from_slice::<TokenRequest>(bytes);
});
