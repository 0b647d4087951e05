//! A machine of its own for a test, whose kernel has everything that Debian builds.
//!
//! Kernels differ in what they have: the one that tests run under may lack IPIP, GRE, ipvlan or
//! VLANs. Then the test runs again inside such a machine: the kernel and the program that boots it
//! come from `deploy/full-kernel.sh`, the file system is this machine's own, read-only below what
//! stays in memory, and the processor is emulated, so that nothing is asked of the hardware. It takes
//! 20 s to start and is five times slower: for function, not for figures.
//!
//! ```text
//!  test ──► unshare ──► vng ──► qemu ──► the same test with TOMBOLO_FULL_KERNEL set
//!           its end is the end of all that is behind it
//! ```

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tombolo_kernel::NetnsHandle;

/// Says that this is that machine.
const MARK: &str = "TOMBOLO_FULL_KERNEL";

/// Links that only a kernel with everything can make, as ip(8) has them.
const LINKS: [&str; 6] = [
    "type ipip external",
    "type ip6tnl external",
    "type gre external",
    "type ip6gre external",
    "link lo type ipvlan",
    "link lo type vlan id 2",
];

/// What the kernel of the machine does without: it starts faster.
const WITHOUT: &str =
    "module_blacklist=kvm,kvm_amd,kvm_intel,ahci,libahci,iTCO_wdt,i2c_i801,psmouse,sr_mod,cdrom";

/// Runs the body of the test of this name on a kernel that has everything: here, if this one has.
///
/// # Panics
/// The body does, here or there, or the machine cannot be started: the panic says what is missing.
pub fn on_full_kernel(test: &str, body: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() || has_all() {
        return body();
    }
    run(test, &format!("--exact {test}"), 1);
}

/// Runs so many tests of the program that this one is of, all but this one, on a kernel that has
/// everything. They run here, too; what is not here they see to be missing.
///
/// # Panics
/// One fails there, or others than so many ran, or the machine cannot be started.
pub fn others_on_full_kernel(test: &str, count: usize) {
    if !has_all() {
        // Two processors that are emulated have enough to do with one test.
        run(test, &format!("--skip {test} --test-threads 1"), count);
    }
}

fn run(test: &str, which: &str, count: usize) {
    let program = std::env::current_exe().expect("a test has a path");
    let mut machine = Machine::start(&program, which);
    // A name that no test has would be a success of none.
    let success = format!("test result: ok. {count} passed");
    let mut ran = false;
    for line in machine.lines() {
        ran |= line.starts_with(&success);
        println!("{line}");
    }
    let status = machine.0.wait().expect("the machine ends");
    assert!(
        ran && status.success(),
        "{test}: not all of {count} tests passed on a full kernel: {status}"
    );
}

fn has_all() -> bool {
    let netns = NetnsHandle::create().expect("these tests need root, to make namespaces");
    let make = |words: &str| {
        let mut words: Vec<&str> = words.split(' ').collect();
        if let ["link", parent, ..] = words[..] {
            words.splice(..2, ["name", "probe", "link", parent]);
        } else {
            words.splice(..0, ["name", "probe"]);
        }
        let add = || {
            Command::new("ip")
                .args(["link", "add"])
                .args(&words)
                .output()
        };
        let made = netns.run(add).expect("a namespace can be entered");
        let gone = || {
            Command::new("ip")
                .args(["link", "delete", "probe"])
                .output()
        };
        drop(netns.run(gone));
        made.is_ok_and(|output| output.status.success())
    };
    LINKS.iter().all(|words| make(words))
}

/// A machine that runs; it ends with this.
struct Machine(Child);

impl Machine {
    fn start(program: &Path, which: &str) -> Machine {
        let tools = tools();
        let vng = tools.join("vng/bin");
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", vng.display());
        let inside = format!(
            "{MARK}=1 {patience}=6 TOMBOLO_BIN_DIR={} {} {which} --nocapture",
            crate::programs().display(),
            program.display(),
            patience = crate::PATIENCE
        );
        // The first process of a namespace takes all others with it when it ends; `unshare` sees to
        // its end.
        let mut command = Command::new("unshare");
        command
            .args([
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "vng",
                "--run",
            ])
            .arg(kernel(&tools))
            .args([
                "--disable-kvm",
                "--user",
                "root",
                "--cpus",
                "2",
                "--memory",
                "3G",
            ])
            .args(["--append", WITHOUT])
            // A processor with fewer abilities has fewer drivers to start.
            .arg("--qemu-opts=-cpu Nehalem")
            .args(["--", &inside])
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        Machine(command.spawn().expect("unshare(1) is there"))
    }

    /// What it writes, as it comes.
    fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let out = self.0.stdout.take().expect("its output is piped");
        BufReader::new(out).lines().map_while(Result::ok)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where `deploy/full-kernel.sh` put its things: beside the programs.
fn tools() -> PathBuf {
    crate::programs().join("../tools")
}

fn kernel(tools: &Path) -> PathBuf {
    let entries = std::fs::read_dir(tools.join("kernel/boot"))
        .into_iter()
        .flatten();
    let mut files = entries.flatten().map(|entry| entry.path());
    let image = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz"))
    };
    files.find(image).unwrap_or_else(|| {
        panic!(
            "this kernel lacks some of {LINKS:?}, and there is no other in {}: \
             run `deploy/full-kernel.sh target/tools`, or `make test`, which does",
            tools.display()
        )
    })
}
