//! Which labs run: one JSON file each in a small folder.
//!
//! The folder is `$TOMBOLO_LAB_DIR`, else `/run/tombolo-lab` for root, `$XDG_RUNTIME_DIR/tombolo-lab`,
//! or `/tmp/tombolo-lab-UID`. A process is named by its id and start time, so that an id that was
//! given to another process since is noticed. The files hold no state that the kernel does not: a
//! file whose process is gone is stale and is removed by whoever meets it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::{env, fs, io};

use serde::{Deserialize, Serialize};

use crate::{LabError, LabSpec};

/// A process that cannot be mistaken for a later one of the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRef {
    /// Its id in the creator's view.
    pub pid: i32,
    /// When it started, in clock ticks after boot (field 22 of `/proc/PID/stat`, proc(5)).
    pub started: u64,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its pid 1.
    pub process: ProcessRef,
    /// Its id in the lab's own view.
    pub inner_pid: i32,
    /// The addresses of `eth0`.
    pub addresses: Vec<IpAddr>,
}

/// A lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What it was made from.
    pub spec: LabSpec,
    /// Its pid 1: when it ends, all ends.
    pub root: ProcessRef,
    /// Its hosts and routers.
    pub hosts: BTreeMap<String, HostRecord>,
}

impl ProcessRef {
    /// The process that has this id now.
    #[must_use]
    pub fn of(pid: i32) -> Option<ProcessRef> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the name in parentheses, which may hold anything.
        let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
        let zombie = fields.next()? == "Z";
        let started = fields.nth(18)?.parse().ok()?;
        (!zombie).then_some(ProcessRef { pid, started })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn runs(self) -> bool {
        ProcessRef::of(self.pid) == Some(self)
    }
}

/// The folder of the records.
pub(crate) fn folder() -> PathBuf {
    if let Some(set) = env::var_os("TOMBOLO_LAB_DIR") {
        return set.into();
    }
    let uid = nix::unistd::geteuid();
    if uid.is_root() {
        return "/run/tombolo-lab".into();
    }
    match env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) => PathBuf::from(runtime).join("tombolo-lab"),
        None => format!("/tmp/tombolo-lab-{uid}").into(),
    }
}

fn path(name: &str) -> PathBuf {
    folder().join(format!("{name}.json"))
}

/// Writes a record so that a reader sees all of it or nothing.
pub(crate) fn write(record: &Record) -> Result<(), LabError> {
    let path = path(&record.spec.name);
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let text = serde_json::to_vec_pretty(record).expect("a record has only text keys");
    fs::create_dir_all(folder())
        .and_then(|()| fs::write(&part, text))
        .and_then(|()| fs::rename(&part, &path))
        .map_err(LabError::system("write the record", path.display()))
}

/// Reads a record, and removes it if its lab is gone.
pub(crate) fn read(name: &str) -> Result<Option<Record>, LabError> {
    let path = path(name);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LabError::system("read the record", path.display())(error)),
    };
    match serde_json::from_slice::<Record>(&text) {
        Ok(record) if record.root.runs() => Ok(Some(record)),
        _ => remove(name).map(|()| None),
    }
}

/// Removes a record; one that is gone is fine.
pub(crate) fn remove(name: &str) -> Result<(), LabError> {
    let path = path(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LabError::system("remove the record", path.display())(error))
        }
        _ => {
            // The folder goes with its last record; others in it keep it.
            let _ = fs::remove_dir(folder());
            Ok(())
        }
    }
}

/// All labs that run.
pub(crate) fn list() -> Result<Vec<Record>, LabError> {
    let mut records = Vec::new();
    let Ok(entries) = fs::read_dir(folder()) else {
        return Ok(records);
    };
    for entry in entries.flatten() {
        let file = entry.path();
        if file.extension().is_some_and(|end| end == "json")
            && let Some(name) = file.file_stem().and_then(|stem| stem.to_str())
            && let Some(record) = read(name)?
        {
            records.push(record);
        }
    }
    records.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    Ok(records)
}
