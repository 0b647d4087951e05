//! The CNI plugin, called as a runtime calls it: environment and standard input.

use serde_json::{Value, json};
use tombolo_lab::Lab;

use crate::{Cluster, Shape, programs};

/// One call of the plugin: environment and configuration, changed at will.
#[derive(Clone)]
pub struct Call {
    /// `CNI_*`.
    pub environment: Vec<(&'static str, String)>,
    /// What it reads.
    pub config: Value,
    /// The plugin's program.
    pub program: String,
}

/// What the plugin answered.
pub struct Answer {
    /// The exit status.
    pub status: i32,
    /// What it wrote.
    pub text: String,
    /// The same, if it is JSON.
    pub json: Value,
}

impl Call {
    /// A command for `eth0` of a container.
    #[must_use]
    pub fn new(command: &str, container: &str) -> Call {
        Call {
            environment: vec![
                ("CNI_COMMAND", command.to_owned()),
                ("CNI_CONTAINERID", format!("id-{container}")),
                ("CNI_NETNS", format!("/run/netns/{container}")),
                ("CNI_IFNAME", "eth0".to_owned()),
            ],
            config: json!({"cniVersion": "1.1.0", "name": "default", "type": "tombolo-cni"}),
            program: programs().join("tombolo-cni").display().to_string(),
        }
    }

    /// The same without a variable.
    #[must_use]
    pub fn without(mut self, variable: &str) -> Call {
        self.environment.retain(|(name, _)| *name != variable);
        self
    }

    /// The same with a variable.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: &str) -> Call {
        self.environment.retain(|(other, _)| *other != name);
        self.environment.push((name, value.to_owned()));
        self
    }

    /// The same with a field of the configuration.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Call {
        self.config[key] = value;
        self
    }

    /// Calls the plugin on host `a`.
    #[must_use]
    pub fn on(&self, cluster: &Cluster) -> Answer {
        self.on_lab(&cluster.lab, self.config.to_string())
    }

    /// The same with any input.
    #[must_use]
    pub fn on_lab(&self, lab: &Lab, input: String) -> Answer {
        let pairs: Vec<String> = self
            .environment
            .iter()
            .map(|(name, value)| format!("{name}='{value}'"))
            .collect();
        let plugin = &self.program;
        let script = format!(
            "cat > /run/input-$$ <<'END'\n{input}\nEND\nenv -i {} {plugin} < /run/input-$$",
            pairs.join(" ")
        );
        let output = lab
            .exec("a", &["sh", "-c", &script])
            .expect("the shell runs");
        let text = String::from_utf8(output.stdout).expect("an answer is text");
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer {
            status: output.status.code().expect("it ends by itself"),
            text,
            json,
        }
    }
}

impl Answer {
    /// What it answered with status 0.
    #[must_use]
    pub fn succeeded(self) -> Value {
        assert_eq!(self.status, 0, "{}", self.text);
        self.json
    }

    /// The message of an error of this code.
    ///
    /// # Panics
    /// It succeeded, or failed otherwise.
    #[must_use]
    pub fn failed(self, code: u32) -> String {
        assert_ne!(self.status, 0, "it succeeded: {}", self.text);
        assert_eq!(self.json["code"], code, "{}", self.text);
        assert!(self.json["cniVersion"].is_string(), "{}", self.text);
        format!(
            "{} {}",
            self.json["msg"].as_str().expect("a message is text"),
            self.json["details"].as_str().expect("details are text")
        )
    }
}

/// A cluster of one host.
#[must_use]
pub fn one_host(name: &str) -> Cluster {
    Cluster::up(name, &Shape::hosts(1))
}

/// The result of ADD for a new container.
#[must_use]
pub fn added(cluster: &Cluster, container: &str) -> Value {
    cluster
        .lab
        .container("a", container)
        .expect("a container is made");
    Call::new("ADD", container).on(cluster).succeeded()
}

/// Nothing of any container is left: no link, no route, no address, no lease.
pub fn nothing_left(cluster: &Cluster) {
    cluster.settle();
    let links = cluster.sh("a", "ip -o link");
    assert!(!links.contains("tbv"), "{links}");
    let endpoints = cluster.json("a", &["get", "endpoints", "-o", "json"]);
    assert_eq!(endpoints["items"], json!([]));
    let blocks = cluster
        .json("a", &["get", "blocks", "-o", "json"])
        .to_string();
    assert!(!blocks.contains("\"workload\""), "{blocks}");
    cluster
        .lab
        .tombolo("a", &["ipam", "check"])
        .expect("everything fits together");
}
