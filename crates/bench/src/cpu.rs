//! What a transfer costs in processor time.
//!
//! Counted is the time in which the machine's processors were not idle: user, nice, system, irq and
//! softirq of `/proc/stat` (proc_stat(5)). Packets are mostly worked on in soft interrupts, which
//! belong to no process: what a process or a cgroup is charged with leaves the greater part out, or
//! charges it to whoever was interrupted. So the whole machine is what is counted, in the lab as on
//! real hosts, and whatever else it does meanwhile is counted too: measure on a machine at rest.
//!
//! Where client and server are on one machine, as in the lab, its time is that of both hosts and is
//! counted once; the machine is known by the id of its boot, which containers and namespaces share.
//! On two machines the two times are added. Time that a hypervisor took away is nobody's.

use std::fs;
use std::time::Duration;

use crate::BenchError;

/// Ticks in a second of `/proc/stat`: 100 on every architecture that we build for.
const TICKS: u32 = 100;

/// The processor time that this machine has spent since its start, of all processors together.
pub(crate) fn busy() -> Result<Duration, BenchError> {
    let text = fs::read_to_string("/proc/stat").map_err(BenchError::system("read /proc/stat"))?;
    parse(&text).ok_or_else(|| {
        let source = std::io::Error::other("its first line is not what proc_stat(5) says");
        BenchError::System {
            operation: "read /proc/stat",
            source,
        }
    })
}

/// A machine between two of its starts; empty if it does not tell.
pub(crate) fn machine() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

fn parse(stat: &str) -> Option<Duration> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = ticks[..] else {
        return None;
    };
    let busy = user + nice + system + irq + softirq;
    Some(Duration::from_secs(busy) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_waiting_and_stolen_time_do_not_count() {
        let text = "cpu  1000 20 300 99999 8888 4 50 7777 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(parse(text), Some(Duration::from_millis(13_740)));
        assert_eq!(parse("cpu  1000 20\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn this_machine_tells() {
        assert!(busy().unwrap() > Duration::ZERO);
        assert_eq!(machine(), machine());
    }
}
