//! Cases: a World as text in, a node's plan as text out.
//!
//! Each folder of `tests/cases` has a `world.yaml` and, for each node that is asked about, the plan
//! that is expected, as `node.<name>.txt`. `TOMBOLO_REWRITE=1` writes what comes out in place of
//! what is expected; read every line of the difference before you believe it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tombolo_model::{Name, World, parse};
use tombolo_plan::{HostPlan, diff, plan};

#[path = "support/fake_kernel.rs"]
mod fake_kernel;

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = std::fs::read_dir(root).expect("the cases are there");
    let mut folders: Vec<_> = entries
        .map(|e| e.expect("folders can be listed").path())
        .collect();
    folders.sort();
    folders
}

/// The nodes that a case asks about, with the file of each one's plan.
fn asked(folder: &Path) -> Vec<(Name, PathBuf)> {
    let mut asked = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a case is a folder") {
        let path = entry.expect("folders can be listed").path();
        let file = path
            .file_name()
            .expect("an entry has a name")
            .to_string_lossy()
            .into_owned();
        if let Some(node) = file
            .strip_prefix("node.")
            .and_then(|f| f.strip_suffix(".txt"))
        {
            asked.push((Name::new(node).expect("files are named by nodes"), path));
        }
    }
    assert!(!asked.is_empty(), "{} asks about no node", folder.display());
    asked
}

fn world(folder: &Path) -> World {
    let file = folder.join("world.yaml");
    let text = std::fs::read_to_string(&file).expect("a case has a world");
    parse::world(&file.to_string_lossy(), &text).unwrap_or_else(|e| panic!("{e}"))
}

fn text(plan: Option<&HostPlan>) -> String {
    plan.map_or_else(|| "no plan\n".to_owned(), ToString::to_string)
}

#[test]
fn plans_are_as_expected() {
    let rewrite = std::env::var_os("TOMBOLO_REWRITE").is_some();
    let mut report = String::new();
    for folder in folders() {
        let world = world(&folder);
        for (node, file) in asked(&folder) {
            let is = text(plan(&world, &node).as_ref());
            let should = std::fs::read_to_string(&file).expect("the file was listed");
            if is == should {
                continue;
            }
            if rewrite {
                std::fs::write(&file, is).expect("cases can be written");
                continue;
            }
            let _ = writeln!(report, "{}:", file.display());
            for line in should
                .lines()
                .filter(|l| !is.lines().any(|other| other == *l))
            {
                let _ = writeln!(report, "  - {line}");
            }
            for line in is
                .lines()
                .filter(|l| !should.lines().any(|other| other == *l))
            {
                let _ = writeln!(report, "  + {line}");
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// Every plan of every case can be made from nothing, in the order of the operations, and is
/// complete then; and it can be taken down again until nothing is left.
#[test]
fn plans_can_be_made_and_taken_down() {
    for folder in folders() {
        let world = world(&folder);
        for node in world.nodes.keys() {
            let mut kernel = fake_kernel::FakeKernel::default();
            let nothing = HostPlan::default();
            for wanted in [&plan(&world, node).expect("the node is there"), &nothing] {
                for op in diff(wanted, &kernel.observe(wanted)) {
                    kernel
                        .apply(&op)
                        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
                }
                assert_eq!(
                    diff(wanted, &kernel.observe(wanted)),
                    [],
                    "{}",
                    folder.display()
                );
            }
            assert_eq!(kernel.observe(&nothing).len(), 0, "{}", folder.display());
        }
    }
}
