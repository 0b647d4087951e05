//! The plugin's process in a host.

use std::os::unix::net::UnixStream;

use crate::Cluster;

/// Where engines look for it.
const SOCKET: &str = "/run/docker/plugins/tombolo.sock";

/// The Docker plugin of a host.
#[derive(Clone, Copy)]
pub struct Plugin<'a> {
    cluster: &'a Cluster,
    host: &'a str,
}

impl Plugin<'_> {
    pub(super) fn of<'a>(cluster: &'a Cluster, host: &'a str) -> Plugin<'a> {
        Plugin { cluster, host }
    }

    /// Starts it, and waits until it takes connections.
    ///
    /// # Panics
    /// It does not within the deadline.
    pub fn start(&self) {
        let script = "mkdir -p /run/tombolo
            setsid tombolo-docker < /dev/null >> /run/tombolo/docker.log 2>&1 &
            echo $! > /run/tombolo-docker.pid";
        let _ = self.cluster.sh(self.host, script);
        let path = self.cluster.file(self.host, SOCKET);
        self.cluster.until("the plugin has its socket", || {
            UnixStream::connect(&path).ok()
        });
    }

    /// Kills it by SIGKILL, and waits for its end.
    ///
    /// # Panics
    /// It was not started.
    pub fn kill(&self) {
        let pid = self.cluster.sh(self.host, "cat /run/tombolo-docker.pid");
        let pid = pid.trim();
        let _ = self.cluster.sh(self.host, &format!("kill -KILL {pid}"));
        let process = self.cluster.file(self.host, &format!("/proc/{pid}"));
        self.cluster
            .until("the plugin has ended", || (!process.exists()).then_some(()));
    }
}
