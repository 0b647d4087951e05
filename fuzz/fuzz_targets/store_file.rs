//! The store's file with any bytes of it changed: it is opened, or refused in words.
//!
//! The input is a list of changes to a file that a store has written: four bytes that say where,
//! and one that says what. The file is in memory where the machine has a folder for that.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tombolo_store::{EmbeddedConfig, EmbeddedStore, StoreError};

struct Setting {
    file: PathBuf,
    good: Vec<u8>,
}

/// A file as a store leaves it, and where changed ones are written.
fn setting() -> &'static Setting {
    static SETTING: OnceLock<Setting> = OnceLock::new();
    SETTING.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        // The fuzzer leaves by _exit(2): a folder that cleans up when it is dropped is not.
        let file = parent.join("tombolo-fuzz-store-file");
        let _ = std::fs::remove_file(&file);
        drop(EmbeddedStore::open(EmbeddedConfig::new(&file)).expect("a new file"));
        let good = std::fs::read(&file).expect("it was written");
        Setting { file, good }
    })
}

/// libFuzzer's hook ends the process at any panic; those of redb are caught by the store, which is
/// what is tried here.
fn allow_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}

fuzz_target!(init: allow_panics(), |bytes: &[u8]| {
    let Setting { file, good } = setting();
    let mut changed = good.clone();
    for change in bytes.chunks_exact(5) {
        let at = u32::from_le_bytes([change[0], change[1], change[2], change[3]]);
        let at = at as usize % changed.len();
        changed[at] = change[4];
    }
    std::fs::write(file, &changed).expect("there is room");
    match EmbeddedStore::open(EmbeddedConfig::new(file)) {
        Ok(_) | Err(StoreError::Corrupt { .. } | StoreError::Io { .. }) => {}
        Err(error) => {
            eprintln!("{error}");
            std::process::abort();
        }
    }
});
