//! Where the project is, and which of its files the checks look at.
//!
//! It decides what belongs to the tree: every file below the root that is neither a build result
//! (`target`), nor hidden, nor a symbolic link. Paths are handed out relative to the root with
//! `/`, in order, so that findings and exceptions look the same on every machine.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The root of the workspace: the parent of this crate's folder.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent()
        .expect("xtask/ lies in the workspace")
        .to_path_buf()
}

/// Every file below `root` with this extension, as sorted relative paths.
pub fn files(root: &Path, extension: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    collect(root, "", extension, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(root: &Path, folder: &str, extension: &str, found: &mut Vec<String>) -> Result<()> {
    let here = root.join(folder);
    let entries = fs::read_dir(&here).with_context(|| format!("list {}", here.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", here.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        let path = if folder.is_empty() {
            name
        } else {
            format!("{folder}/{name}")
        };
        let kind = entry
            .file_type()
            .with_context(|| format!("look at {path}"))?;
        if kind.is_dir() {
            collect(root, &path, extension, found)?;
        } else if kind.is_file() && Path::new(&path).extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    Ok(())
}

/// The text of one file of the tree.
pub fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("read {path}"))
}

/// One configuration file of the tree, parsed as TOML; an unknown key is an error.
pub fn read_toml<T: serde::de::DeserializeOwned>(root: &Path, path: &str) -> Result<T> {
    toml::from_str(&read(root, path)?).with_context(|| format!("parse {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_results_and_hidden_folders_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            "a/src/lib.rs",
            "target/debug/x.rs",
            ".git/y.rs",
            "b.rs",
            "b.txt",
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        assert_eq!(
            files(folder.path(), "rs").unwrap(),
            ["a/src/lib.rs", "b.rs"]
        );
    }
}
