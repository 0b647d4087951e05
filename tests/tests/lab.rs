//! The lab and the demo, by the command line, as people use them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tombolo_tests::programs;

/// A folder for a test's labs, which is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tombolo-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder can be made");
        Folder(path)
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(programs().join("tombolo"))
            .args(words)
            .env("TOMBOLO_LAB_DIR", &self.0)
            .output()
            .expect("tombolo runs")
    }

    fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{words:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    fn fails(&self, words: &[&str], sign: &str) {
        let output = self.run(words);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && text.contains(sign),
            "{words:?}: {text}"
        );
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = self.run(&["lab", "down"]);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn copy_for_everybody(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))
            .expect("a mode is set");
    };
    mode(folder);
    for program in ["tombolo", "tombolo-cni"] {
        let copy = folder.join(program);
        std::fs::copy(programs().join(program), &copy).expect("a program is copied");
        mode(&copy);
    }
}

#[test]
fn a_lab_comes_and_goes() {
    let folder = Folder::new("lab-cli");
    let text = folder.ok(&["lab", "up", "--hosts", "2", "--join"]);
    assert!(text.contains("tombolo lab exec a"), "{text}");
    assert!(folder.ok(&["lab", "list"]).contains("a,b"));
    assert!(
        folder
            .ok(&["lab", "exec", "b", "--", "tombolo", "status"])
            .contains("no problems")
    );
    let status = folder
        .run(&["lab", "exec", "a", "--", "sh", "-c", "exit 7"])
        .status;
    assert_eq!(status.code(), Some(7));
    let ping = [
        "lab",
        "exec",
        "a",
        "--",
        "ping",
        "-c1",
        "-W1",
        "192.168.50.12",
    ];
    folder.ok(&ping);
    folder.ok(&["lab", "cut", "b"]);
    assert!(!folder.run(&ping).status.success());
    folder.ok(&["lab", "heal", "b"]);
    folder.ok(&ping);
    folder.fails(&["lab", "exec", "z", "--", "true"], "no host \"z\"");
    folder.fails(&["lab", "up"], "is up already");
    folder.ok(&["lab", "kill", "b"]);
    folder.ok(&["lab", "down"]);
    folder.fails(&["lab", "down"], "no lab \"lab\"");
}

#[test]
fn the_demo_runs_without_root() {
    let folder = Folder::new("lab-demo");
    copy_for_everybody(&folder.0);
    let mut demo = Command::new(folder.0.join("tombolo"));
    demo.args(["lab", "demo"])
        .env("TOMBOLO_LAB_DIR", folder.0.join("labs"))
        .env("HOME", &folder.0);
    if is_root() {
        use std::os::unix::process::CommandExt;
        demo.uid(65_534).gid(65_534);
    }
    let output = demo.output().expect("the demo runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        !text.contains('✗'),
        "somebody does not reach somebody:\n{text}"
    );
    let lost = |what: &str| {
        let line = text
            .lines()
            .find(|line| line.contains(what))
            .expect("the step is shown");
        line.split_whitespace()
            .last()
            .expect("it ends with a number")
            .to_owned()
    };
    for what in ["agent of b killed", "vxlan → direct", "direct → vxlan"] {
        assert_eq!(lost(what), "0", "{text}");
    }
    let labs = std::fs::read_dir(folder.0.join("labs"))
        .map(Iterator::count)
        .unwrap_or(0);
    assert_eq!(labs, 0, "the demo left its lab behind");
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is /proc");
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}
