//! How much memory a program in the lab takes.

use anyhow::{Context, Result};
use tombolo_lab::Lab;

/// Prints one line of `status` of the host's own processes of a name with a word among theirs, in kB
/// (`VmRSS` or `VmHWM`, proc_pid_status(5)).
const ASK: &str = r#"for p in /proc/[0-9]*; do
    [ "$(readlink $p/ns/net)" = "$(readlink /proc/self/ns/net)" ] || continue
    [ "$(cat $p/comm)" = $1 ] && grep -qz "$2" $p/cmdline || continue
    sed -n 's/^'$3':[^0-9]*\([0-9]*\) kB/\1/p' $p/status
done"#;

/// The resident memory of a host's agent, in MB of a million bytes.
///
/// # Errors
/// No agent runs there.
pub fn resident(lab: &Lab, host: &str) -> Result<f64> {
    ask(lab, host, ("tombolo", "^agent$"), "VmRSS")
}

/// The resident memory of the one process of a host that has this name, in MB of a million bytes.
///
/// # Errors
/// None runs there, or several do.
pub fn resident_of(lab: &Lab, host: &str, program: &str) -> Result<f64> {
    ask(lab, host, (program, ""), "VmRSS")
}

/// The most memory that the one process of a host that has this name ever took, in MB of a million bytes.
///
/// # Errors
/// None runs there, or several do.
pub fn peak(lab: &Lab, host: &str, program: &str) -> Result<f64> {
    ask(lab, host, (program, ""), "VmHWM")
}

fn ask(lab: &Lab, host: &str, (program, word): (&str, &str), line: &str) -> Result<f64> {
    let said = lab.output(host, &["sh", "-c", ASK, "ask", program, word, line])?;
    let kilobytes: f64 = said
        .trim()
        .parse()
        .with_context(|| format!("read the memory of {program} on {host} from {said:?}"))?;
    Ok(kilobytes * 1024.0 / 1_000_000.0)
}
