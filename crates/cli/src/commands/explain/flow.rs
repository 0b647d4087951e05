//! `explain flow`: whether a flow is let through, what decided, and what would decide otherwise.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use tombolo_api::{Client, FlowAnswer, FlowRequest};
use tombolo_model::parse::Accept;

use crate::commands::files;
use crate::output::Format;

pub(super) fn run(
    words: &[String],
    file: &[PathBuf],
    output: Format,
    client: &Client,
) -> Result<ExitCode> {
    let (from, to, port) = match words {
        [from, to] => (from, to, None),
        [from, to, port] => (from, to, Some(port.clone())),
        _ => {
            eprintln!("error: a flow is FROM TO [PORT], as `tombolo explain flow client web 80`");
            return Ok(ExitCode::from(2));
        }
    };
    let request = FlowRequest {
        from: from.clone(),
        to: to.clone(),
        port,
        family: None,
    };
    let answer = match file {
        [] => client.post("/v1/flow", &request)?,
        files => {
            let world = files::world(&files::read(files, Accept::Internal)?)?;
            tombolo_agent::explain_flow(&world, &request)?
        }
    };
    if !output.print(&answer)? {
        print!("{}", report(&answer));
    }
    Ok(ExitCode::SUCCESS)
}

/// The verdict, what decided at each end, what would let it through, and then all that was looked at.
fn report(answer: &FlowAnswer) -> String {
    let verdict = &answer.verdict;
    let whole = verdict.to_string();
    let mut lines = whole.lines();
    let mut text = format!("{}  {}\n", lines.next().unwrap_or_default(), answer.flow);
    for stage in verdict.stages() {
        let said = stage.to_string();
        text.push_str(&format!("  {}\n", said.lines().next().unwrap_or_default()));
    }
    for (index, advice) in answer.advice.iter().enumerate() {
        let apart = if index == 0 { "\n" } else { "" };
        text.push_str(&format!("{apart}{advice}\n"));
    }
    if verdict.stages().any(|stage| !stage.steps.is_empty()) {
        text.push_str("\nwhat was looked at\n");
    }
    for stage in verdict.stages().filter(|stage| !stage.steps.is_empty()) {
        text.push_str(&format!("  {} of {}\n", stage.direction, stage.subject));
        for step in &stage.steps {
            text.push_str(&format!("  {step}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_model::parse::{parse_with, world_of};

    const FILE: &str = "
apiVersion: tombolo.dev/v1
kind: Node
metadata: {name: n}
spec: {addresses: [{address: 192.168.0.1/24, interface: eth0, mtu: 1500, reason: test}]}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: p}
spec: {cidr: 10.0.0.0/16}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: default}
spec: {driver: routed, pools: [p], transport: {type: direct}}
---
apiVersion: tombolo.dev/v1
kind: NetworkPolicy
metadata: {namespace: default, name: web}
spec:
  selector: app == 'web'
  ingress:
    - {action: Allow, protocol: TCP, destination: {ports: [80]}}
---
apiVersion: tombolo.dev/v1
kind: Endpoint
metadata: {namespace: default, name: n.web.eth0, labels: {app: web}}
spec: {node: n, network: default, containerID: web, interface: eth0, sandbox: /s, handle: h.web, generation: 1, addresses: [10.0.0.1], mac: 02:00:00:00:00:01}
---
apiVersion: tombolo.dev/v1
kind: Endpoint
metadata: {namespace: default, name: n.client.eth0}
spec: {node: n, network: default, containerID: client, interface: eth0, sandbox: /s, handle: h.client, generation: 1, addresses: [10.0.0.2], mac: 02:00:00:00:00:02}
";

    fn ask(port: &str) -> FlowAnswer {
        let world = world_of(&parse_with("web.yaml", FILE, Accept::Internal).unwrap()).unwrap();
        let request = FlowRequest {
            from: "client".to_owned(),
            to: "web".to_owned(),
            port: Some(port.to_owned()),
            family: None,
        };
        tombolo_agent::explain_flow(&world, &request).unwrap()
    }

    #[test]
    fn the_verdict_comes_first_and_what_was_looked_at_last() {
        for (port, verdict, decided, seen) in [
            (
                "80",
                "allowed  default/n.client.eth0 → default/n.web.eth0 TCP 80\n",
                "NetworkPolicy default/web ingress rule 1",
                ": yes",
            ),
            (
                "81",
                "denied  ",
                "\nwould be allowed by NetworkPolicy default/web ingress rule 1",
                ": no, the destination port 81 is not 80",
            ),
            (
                "UDP/53",
                "denied  ",
                "denied, end of tier default",
                ": no, the protocol is UDP, not TCP",
            ),
        ] {
            let text = report(&ask(port));
            assert!(text.starts_with(verdict), "{text}");
            let (said, looked) = text.split_once("\nwhat was looked at\n").unwrap();
            assert!(
                said.contains("egress of Endpoint default/n.client.eth0: allowed"),
                "{text}"
            );
            assert!(said.contains(decided), "{text}");
            assert!(looked.contains(seen), "{text}");
        }
    }

    #[test]
    fn programs_get_the_verdict_itself() {
        let value = serde_json::to_value(ask("443")).unwrap();
        assert_eq!(value["allowed"], false);
        assert_eq!(value["ingress"]["decision"]["tierEnd"], "default");
        assert_eq!(value["flow"]["destinationPort"], 443);
        let back: FlowAnswer = serde_json::from_value(value).unwrap();
        assert_eq!(back, ask("443"));
    }
}
