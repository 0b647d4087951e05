//! The agent's configuration from any bytes: what is read is written as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tombolo_agent::Config;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(config) = serde_json::from_slice::<Config>(bytes) {
        let written = serde_json::to_vec(&config).expect("it is JSON");
        let again: Config = serde_json::from_slice(&written).expect("what was written is read");
        assert_eq!(again, config);
    }
});
