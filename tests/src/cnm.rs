//! Docker's side of the plugin, without Docker: calls over the plugin's socket, and what libnetwork
//! does with an interface between them.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::Cluster;

/// Where Docker finds the plugin.
const SOCKET: &str = "/run/docker/plugins/tombolo.sock";

/// The plugin of a host, and what was said to it.
pub struct Plugin<'a> {
    cluster: &'a Cluster,
    host: &'a str,
    transcript: RefCell<String>,
}

impl<'a> Plugin<'a> {
    /// Starts the plugin of a host, and waits until it takes connections.
    #[must_use]
    pub fn start(cluster: &'a Cluster, host: &'a str) -> Plugin<'a> {
        let plugin = Plugin {
            cluster,
            host,
            transcript: RefCell::default(),
        };
        plugin.again();
        plugin
    }

    /// Starts it once more, after it was killed.
    pub fn again(&self) {
        let script = "setsid tombolo-docker < /dev/null >> /run/plugin.log 2>&1 &
            echo $! > /run/plugin.pid";
        let _ = self.cluster.sh(self.host, script);
        let socket = self.socket();
        let up = || UnixStream::connect(&socket).ok();
        self.cluster.until("the plugin takes connections", up);
    }

    /// Kills it.
    pub fn kill(&self) {
        let script = "kill -KILL $(cat /run/plugin.pid); while kill -0 $(cat /run/plugin.pid) 2>/dev/null; do :; done";
        let _ = self.cluster.sh(self.host, script);
    }

    fn socket(&self) -> PathBuf {
        self.cluster.file(self.host, SOCKET)
    }

    /// A connection to it, as Docker's client keeps one.
    #[must_use]
    pub fn connect(&self) -> BufReader<UnixStream> {
        BufReader::new(UnixStream::connect(self.socket()).expect("the plugin listens"))
    }

    /// A call, and its status and answer.
    #[must_use]
    pub fn post(&self, path: &str, body: &str) -> (u16, Value) {
        post(&mut self.connect(), path, body)
    }

    /// A call that is understood: its answer, which goes into the transcript.
    pub fn call(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.post(path, &body.to_string());
        assert_eq!(status, 200, "{path}: {answer}");
        let mut transcript = self.transcript.borrow_mut();
        let _ = writeln!(transcript, "> {path} {body}\n< {answer}");
        answer
    }

    /// A call that succeeds.
    pub fn done(&self, path: &str, body: &Value) -> Value {
        let answer = self.call(path, body);
        let error = answer.get("Err").or(answer.get("Error"));
        assert!(error.is_none(), "{path}: {answer}\n{}", self.log());
        answer
    }

    /// A call that fails: why.
    pub fn refused(&self, path: &str, body: &Value) -> String {
        let answer = self.call(path, body);
        let field = if path.starts_with("/IpamDriver.") {
            "Error"
        } else {
            "Err"
        };
        let error = answer[field].as_str();
        error
            .unwrap_or_else(|| panic!("{path} {body} was done: {answer}"))
            .to_owned()
    }

    /// What was said until now.
    #[must_use]
    pub fn transcript(&self) -> String {
        self.transcript.borrow().clone()
    }

    /// The plugin's log.
    #[must_use]
    pub fn log(&self) -> String {
        self.cluster.sh(self.host, "cat /run/plugin.log")
    }

    /// Does with an interface what libnetwork does behind Join: takes it from the host into a
    /// sandbox, names it, sets addresses, routes and gateway as the driver says.
    pub fn plug(&self, container: &str, addresses: &[&str], joined: &Value) {
        let lab = &self.cluster.lab;
        lab.container(self.host, container)
            .expect("a sandbox is made");
        let name = &joined["InterfaceName"];
        let (from, to) = (
            name["SrcName"].as_str().expect("an interface is named"),
            format!(
                "{}0",
                name["DstPrefix"].as_str().expect("and how it becomes")
            ),
        );
        let mut inside = format!("ip link set lo up; ip link set {from} name {to}; ");
        for address in addresses {
            let _ = write!(inside, "ip addr add {address} dev {to} nodad; ");
        }
        let _ = write!(inside, "ip link set {to} up; ");
        let routes = joined["StaticRoutes"].as_array();
        let routes: Vec<&Value> = routes.into_iter().flatten().collect();
        for route in routes.iter().filter(|route| route["RouteType"] == 1) {
            let _ = write!(
                inside,
                "ip route add {} dev {to}; ",
                text(&route["Destination"])
            );
        }
        for gateway in [&joined["Gateway"], &joined["GatewayIPv6"]] {
            if let Some(gateway) = gateway.as_str() {
                let _ = write!(inside, "ip route add default via {gateway} dev {to}; ");
            }
        }
        for route in routes.iter().filter(|route| route["RouteType"] == 0) {
            let (dst, hop) = (text(&route["Destination"]), text(&route["NextHop"]));
            let _ = write!(inside, "ip route add {dst} via {hop} dev {to}; ");
        }
        let move_it = format!("ip link set {from} netns {container}");
        let _ = self.cluster.sh(self.host, &move_it);
        let place = format!("{}/{container}", self.host);
        let _ = self.cluster.sh(&place, &format!("set -e; {inside}"));
    }

    /// Does what libnetwork does before Leave: puts the interface back.
    pub fn unplug(&self, container: &str, joined: &Value) {
        let name = text(&joined["InterfaceName"]["SrcName"]);
        let script = format!(
            "set -e; ip -n {container} link set eth0 down
             ip -n {container} link set eth0 name {name}
             ip -n {container} link set {name} netns $$"
        );
        let _ = self.cluster.sh(self.host, &script);
        self.cluster
            .lab
            .remove_container(self.host, container)
            .expect("the sandbox is removed");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// One call on a connection that stays open.
///
/// # Panics
/// The answer is no HTTP.
pub fn post(connection: &mut BufReader<UnixStream>, path: &str, body: &str) -> (u16, Value) {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: \r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let stream = connection.get_mut();
    stream
        .write_all(request.as_bytes())
        .expect("it takes a call");
    let mut status = 0;
    let mut length = 0;
    loop {
        let mut line = String::new();
        let read = connection.read_line(&mut line).expect("it answers");
        assert!(read > 0, "{path}: the answer broke off");
        let lower = line.to_ascii_lowercase();
        if let Some(rest) = lower.strip_prefix("http/1.1 ") {
            status = rest[..3].parse().expect("a status is a number");
        } else if let Some(rest) = lower.strip_prefix("content-length:") {
            length = rest.trim().parse().expect("a length is a number");
        } else if line == "\r\n" {
            break;
        }
    }
    let mut answer = vec![0; length];
    connection.read_exact(&mut answer).expect("it answers");
    let answer = serde_json::from_slice(&answer).expect("its answer is JSON");
    (status, answer)
}

/// The body of `CreateNetwork` for one IPv4 subnet, with `docker network create -o` options.
#[must_use]
pub fn network(id: &str, subnet: (&str, &str), options: &Value) -> Value {
    let (pool, gateway) = subnet;
    json!({"NetworkID": id,
        "Options": {"com.docker.network.enable_ipv6": false,
                    "com.docker.network.generic": options},
        "IPv4Data": [{"AddressSpace": "tombolo-local", "Pool": pool, "Gateway": gateway,
                      "AuxAddresses": null}],
        "IPv6Data": null})
}
