//! What real container runtimes need in a host of the lab: an image, a network list, and a machine
//! that they put up with. What they are told is in the scenarios.
//!
//! No registry is asked. The image is Debian's static busybox with the few names that scenarios
//! call it by, and a page that says which host it is on.

use tombolo_lab::Lab;

/// The image's root file system, in each host of its own.
pub const ROOT: &str = "/run/image";

/// A list of our plugin alone, as an operator writes it to `/etc/cni/net.d`, whose name is not that
/// of our network: podman keeps `default` for itself.
#[must_use]
pub fn conflist(name: &str, network: &str) -> String {
    format!(
        r#"{{"cniVersion": "1.0.0", "name": "{name}", "plugins": [{{
            "type": "tombolo-cni", "network": "{network}",
            "capabilities": {{"portMappings": true, "ips": true, "mac": true}}}}]}}"#
    )
}

/// Prepares a host: the image's root file system, and the plugins where runtimes look for them.
///
/// # Panics
/// busybox is not installed, or the host is gone.
pub fn prepare(lab: &Lab, host: &str) {
    // crun refuses a machine with cgroup v1 and v2 side by side, even where it is to use none: it is
    // shown v1 alone. /opt/cni/bin is compiled into ctr; the machine's /opt stays as it is.
    let script = format!(
        "set -e
        mkdir -p {ROOT}/bin {ROOT}/www {ROOT}/tmp {ROOT}/etc {ROOT}/proc {ROOT}/sys {ROOT}/dev
        cp $(command -v busybox) {ROOT}/bin/busybox
        for name in sh httpd timeout wget; do ln -s busybox {ROOT}/bin/$name; done
        echo {host} > {ROOT}/www/index.html
        if [ -d /sys/fs/cgroup/unified ]; then mount -t tmpfs tmpfs /sys/fs/cgroup/unified; fi
        mount -t tmpfs tmpfs /opt
        mkdir -p /opt/cni/bin /etc/cni/net.d
        ln -s {cni} /opt/cni/bin/",
        cni = lab.record().spec.cni.display()
    );
    lab.output(host, &["sh", "-c", &script])
        .expect("the host is prepared");
}

/// Writes a file in a host.
///
/// # Panics
/// It cannot be written.
pub fn write(lab: &Lab, host: &str, path: &str, text: &str) {
    let script = format!("mkdir -p $(dirname {path}); cat > {path} <<'END'\n{text}\nEND");
    lab.output(host, &["sh", "-c", &script])
        .expect("the file is written");
}
