//! Real Docker Engines in the hosts of the lab: the `dockerd` of the distribution, with its own
//! containerd and its own default settings, one in each host, on one machine.
//!
//! A host's `/run` is its own, so that everything is where it is on a real host: the socket, the
//! pid file, the sandboxes, `/run/docker/plugins`. Images and containers are in the host's memory.
//! Processes, mounts and links end with the host; the one thing that does not is the control groups,
//! which hosts of the lab share with the machine: each engine has a parent group of its own, and it
//! is removed behind the lab.
//!
//! No registry is asked. The one image is Debian's static busybox, under all its names, and as `box`
//! it sleeps until it is told to end. What busybox cannot do is done from the lab: [`Engine::run`]
//! makes a container a place of the lab, `HOST/NAME`.

mod groups;
mod plugin;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use serde_json::Value;

use crate::{Cluster, DEADLINE, Shape};
use groups::Groups;
pub use plugin::Plugin;

/// The image that every engine has.
pub const IMAGE: &str = "box";

/// The engine's client, as the distribution has it.
const CLIENT: &str = "/usr/bin/docker";
const SOCKET: &str = "/run/docker.sock";

/// Docker hosts: a lab with an engine in each host.
pub struct Docker {
    /// The lab, and the nodes in it, if there are any.
    pub cluster: Cluster,
    // Fields are dropped in this order: the lab's processes leave their groups first.
    groups: Groups,
}

impl Docker {
    /// Engines alone, each with further words for `dockerd`: the hosts know nothing of us.
    ///
    /// # Panics
    /// An engine does not come up.
    #[must_use]
    pub fn alone(name: &str, shape: &Shape, words: &[&str]) -> Docker {
        let lab = crate::lab(name, shape);
        Docker::on(Cluster { lab }, words)
    }

    /// A cluster whose hosts have the plugin and an engine each.
    ///
    /// # Panics
    /// One of them does not come up.
    #[must_use]
    pub fn up(name: &str, shape: &Shape) -> Docker {
        Docker::up_with(name, shape, &[])
    }

    /// The same with further words for `dockerd`.
    ///
    /// # Panics
    /// As [`Docker::up`].
    #[must_use]
    pub fn up_with(name: &str, shape: &Shape, words: &[&str]) -> Docker {
        let cluster = Cluster::up(name, shape);
        for host in cluster.lab.hosts() {
            Plugin::of(&cluster, host).start();
        }
        Docker::on(cluster, words)
    }

    /// Engines in the hosts of a cluster that is up, each with further words for `dockerd`.
    ///
    /// # Panics
    /// An engine does not come up.
    #[must_use]
    pub fn on(cluster: Cluster, words: &[&str]) -> Docker {
        let groups = Groups::new(&cluster.lab.record().spec.name);
        let docker = Docker { cluster, groups };
        for host in docker.cluster.lab.hosts() {
            let engine = docker.engine(host);
            engine.prepare();
            engine.start(words);
        }
        for engine in docker.engines() {
            engine.ready();
            engine.import();
        }
        docker
    }

    /// The engine of a host.
    #[must_use]
    pub fn engine<'a>(&'a self, host: &'a str) -> Engine<'a> {
        Engine {
            cluster: &self.cluster,
            group: self.groups.name(),
            host,
        }
    }

    /// Waits until every engine lists a network.
    ///
    /// # Panics
    /// One of them does not within the deadline.
    pub fn know(&self, network: &str) {
        for engine in self.engines() {
            let what = format!("{} lists {network}", engine.host);
            engine.until(&what, || engine.lists(network).then_some(()));
        }
    }

    /// Waits until no engine lists a network.
    ///
    /// # Panics
    /// One of them still does after the deadline.
    pub fn forget(&self, network: &str) {
        for engine in self.engines() {
            let what = format!("{} no longer lists {network}", engine.host);
            engine.until(&what, || (!engine.lists(network)).then_some(()));
        }
    }

    /// Lets containers out of every host and in by published ports, by what `tombolo check` says
    /// where Docker drops what is forwarded.
    ///
    /// # Panics
    /// It does not say that.
    pub fn let_out(&self) {
        for host in self.cluster.lab.hosts() {
            let said = self.cluster.try_sh(host, "tombolo check -o json");
            let said: Value = serde_json::from_slice(&said.stdout).expect("check answers JSON");
            let said = said.to_string();
            let rules = said
                .split('`')
                .filter(|text| text.contains("-I DOCKER-USER"));
            let rules: Vec<&str> = rules.collect();
            assert!(!rules.is_empty(), "{host} is not told what to do: {said}");
            let _ = self.cluster.sh(host, &rules.join("; "));
        }
    }

    /// Waits until a place reaches an address.
    ///
    /// # Panics
    /// It does not within the deadline.
    pub fn reaches(&self, place: &str, address: &str) {
        let what = format!("{place} reaches {address}");
        let pings = || self.cluster.pings(place, address).then_some(());
        self.cluster.until(&what, pings);
    }

    /// All of them.
    pub fn engines(&self) -> impl Iterator<Item = Engine<'_>> {
        let hosts = self.cluster.lab.hosts().iter();
        hosts.map(|host| self.engine(host))
    }
}

/// The engine of a host, and what is asked of it.
#[derive(Clone, Copy)]
pub struct Engine<'a> {
    cluster: &'a Cluster,
    group: &'a str,
    /// The host.
    pub host: &'a str,
}

impl Engine<'_> {
    /// The plugin of its host.
    #[must_use]
    pub fn plugin(&self) -> Plugin<'_> {
        Plugin::of(self.cluster, self.host)
    }

    fn prepare(&self) {
        // Docker's storage does not work on an overlay file system, which the host's /var/lib is.
        // Where Docker is the first to turn forwarding on, it drops what it does not know.
        let script = "set -e
            mkdir -p /var/lib/docker /run/box/bin /run/box/tmp /run/box/www
            mount -t tmpfs tmpfs /var/lib/docker
            cp $(command -v busybox) /run/box/bin/busybox
            chroot /run/box /bin/busybox --install -s /bin
            hostname > /run/box/www/index.html
            tar -C /run/box -cf /run/box.tar .
            for tables in iptables ip6tables; do $tables -P FORWARD DROP; done";
        let _ = self.cluster.sh(self.host, script);
    }

    fn import(&self) {
        let command = r#"CMD ["sleep", "1000000"]"#;
        self.docker(&["import", "--change", command, "/run/box.tar", IMAGE]);
    }

    /// Starts `dockerd` with further words. [`Engine::ready`] waits until it serves.
    ///
    /// # Panics
    /// The shell cannot be run.
    pub fn start(&self, words: &[&str]) {
        // Group drivers differ between machines; this one needs no systemd in the host.
        let script = format!(
            "rm -f {SOCKET}
            setsid dockerd --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent /{}/{} {} \
                < /dev/null >> /run/dockerd.log 2>&1 &",
            self.group,
            self.host,
            words.join(" ")
        );
        let _ = self.cluster.sh(self.host, &script);
    }

    /// Waits until the engine serves.
    ///
    /// # Panics
    /// It does not, within the deadline; the report holds the end of its log.
    pub fn ready(&self) {
        let path = self.cluster.file(self.host, SOCKET);
        let mut stream = self.until("the engine has its socket", || {
            UnixStream::connect(&path).ok()
        });
        // It takes connections from early on, and answers them once it is whole.
        let mut answer = [0; 15];
        let said = stream
            .set_read_timeout(Some(DEADLINE))
            .and_then(|()| stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n"))
            .and_then(|()| stream.read_exact(&mut answer));
        assert!(
            said.is_ok() && answer.ends_with(b"200 OK"),
            "the engine of {} does not serve: {said:?}\n{}",
            self.host,
            self.log()
        );
    }

    /// Ends the engine by SIGTERM, and waits for its end. Its containers end too, unless it was
    /// started with `--live-restore`.
    ///
    /// # Panics
    /// It does not end within the deadline.
    pub fn stop(&self) {
        self.signal("TERM");
    }

    /// Kills the engine by SIGKILL, and waits for its end. Its containers go on.
    ///
    /// # Panics
    /// As [`Engine::stop`].
    pub fn kill(&self) {
        self.signal("KILL");
    }

    fn signal(&self, signal: &str) {
        let pid = self.cluster.sh(self.host, "cat /run/docker.pid");
        let pid = pid.trim();
        let _ = self.cluster.sh(self.host, &format!("kill -{signal} {pid}"));
        self.until("the engine has ended", || {
            let process = self.cluster.file(self.host, &format!("/proc/{pid}"));
            (!process.exists()).then_some(())
        });
    }

    /// Runs the client, and answers what it wrote, without the last line's end.
    ///
    /// # Panics
    /// It fails; the report holds what it said, and the end of the engine's log.
    pub fn docker(&self, words: &[&str]) -> String {
        match self.try_docker(words) {
            Ok(text) => text,
            Err(error) => panic!("{error}\n{}", self.log()),
        }
    }

    /// Runs the client.
    ///
    /// # Errors
    /// It fails: what it said.
    pub fn try_docker(&self, words: &[&str]) -> Result<String, String> {
        let mut argv = vec![CLIENT, "--host", "unix:///run/docker.sock"];
        argv.extend(words);
        let said = self.cluster.lab.output(self.host, &argv);
        said.map(|text| text.trim_end().to_owned())
            .map_err(|error| error.to_string())
    }

    /// Runs a container of the image `box` in the background, with further words for `docker run`,
    /// and makes it a place of the lab.
    ///
    /// # Panics
    /// It does not come up.
    pub fn run(&self, name: &str, words: &[&str]) {
        self.run_with(name, words, &[]);
    }

    /// The same with a command of its own.
    ///
    /// # Panics
    /// It does not come up.
    pub fn run_with(&self, name: &str, words: &[&str], command: &[&str]) {
        let mut all = vec!["run", "-d", "--init", "--name", name];
        all.extend(words);
        all.push(IMAGE);
        all.extend(command);
        self.docker(&all);
        self.place(name);
    }

    /// Makes a container that runs a place of the lab, `HOST/NAME`: once more after it was restarted.
    ///
    /// # Panics
    /// It does not run.
    pub fn place(&self, name: &str) {
        let key = self.look(name, "{{.NetworkSettings.SandboxKey}}");
        let script = format!("ln -sfn {key} /run/netns/{name}");
        let _ = self.cluster.sh(self.host, &script);
    }

    /// Whether `docker network ls` has a network.
    ///
    /// # Panics
    /// The engine does not answer.
    #[must_use]
    pub fn lists(&self, network: &str) -> bool {
        let names = self.docker(&["network", "ls", "--format", "{{.Name}}"]);
        names.lines().any(|name| name == network)
    }

    /// `docker inspect` of a container, network or image.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn inspect(&self, name: &str) -> Value {
        let text = self.docker(&["inspect", name]);
        let mut all: Vec<Value> = serde_json::from_str(&text).expect("inspect answers JSON");
        all.remove(0)
    }

    /// One thing of `docker inspect`, by a template.
    ///
    /// # Panics
    /// There is no such container, network or image.
    #[must_use]
    pub fn look(&self, name: &str, template: &str) -> String {
        self.docker(&["inspect", "--format", template, name])
    }

    /// A container's IPv4 address on a network.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn address(&self, name: &str, network: &str) -> String {
        self.on_network(name, network, "IPAddress")
    }

    /// A container's IPv6 address on a network.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn address6(&self, name: &str, network: &str) -> String {
        self.on_network(name, network, "GlobalIPv6Address")
    }

    /// A container's link-layer address on a network.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn mac(&self, name: &str, network: &str) -> String {
        self.on_network(name, network, "MacAddress")
    }

    fn on_network(&self, name: &str, network: &str, field: &str) -> String {
        let settings = &self.inspect(name)["NetworkSettings"]["Networks"][network];
        let value = settings[field].as_str().unwrap_or_default();
        assert!(
            !value.is_empty(),
            "{name} on {} has no {field} on {network}: {settings}",
            self.host
        );
        value.to_owned()
    }

    /// Runs a command in a container.
    ///
    /// # Errors
    /// It fails: what it said.
    pub fn try_exec(&self, name: &str, command: &[&str]) -> Result<String, String> {
        let mut words = vec!["exec", name];
        words.extend(command);
        self.try_docker(&words)
    }

    /// Runs a command in a container, and answers what it wrote.
    ///
    /// # Panics
    /// It fails.
    pub fn exec(&self, name: &str, command: &[&str]) -> String {
        let mut words = vec!["exec", name];
        words.extend(command);
        self.docker(&words)
    }

    /// Whether a container runs.
    #[must_use]
    pub fn runs(&self, name: &str) -> bool {
        let words = ["inspect", "--format", "{{.State.Running}}", name];
        self.try_docker(&words).is_ok_and(|text| text == "true")
    }

    /// Waits until a container runs, and makes it a place of the lab.
    ///
    /// # Panics
    /// It does not within the deadline.
    pub fn running(&self, name: &str) {
        let what = format!("{name} runs on {}", self.host);
        self.until(&what, || self.runs(name).then_some(()));
        self.place(name);
    }

    /// Asks until there is an answer.
    ///
    /// # Panics
    /// There is none within the deadline; the report holds the end of the engine's log.
    pub fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(
                begun.elapsed() < DEADLINE,
                "in vain waited until {what}\n{}\n{}",
                self.log(),
                self.cluster.logs()
            );
            std::thread::yield_now();
        }
    }

    /// The end of the engine's log.
    #[must_use]
    pub fn log(&self) -> String {
        let script = "tail -n 25 /run/dockerd.log; tail -n 25 /run/tombolo/docker.log 2> /dev/null";
        let output = self.cluster.try_sh(self.host, script);
        let text = String::from_utf8_lossy(&output.stdout);
        format!("--- engine of {}\n{text}", self.host)
    }
}
