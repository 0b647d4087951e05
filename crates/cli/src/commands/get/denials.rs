//! `get denials`: packets that policies denied on this node.

use anyhow::{Context, Result, bail};
use tombolo_api::{Client, Denial};
use tombolo_model::ResourceKey;

use super::Get;
use crate::output::table;

pub(super) fn run(get: &Get, client: &Client) -> Result<()> {
    if get.name.is_some() {
        bail!("denials have no names; leave the name out");
    }
    let is_wanted = |denial: &Denial| match &get.namespace {
        None => true,
        Some(namespace) => [&denial.from, &denial.to]
            .into_iter()
            .flatten()
            .any(|key| key.namespace.as_ref() == Some(namespace)),
    };
    if get.watch {
        for line in client.lines("/v1/watch/denials")? {
            let line = line.context("the agent ended the watch")?;
            let denial: Denial = serde_json::from_str(&line).context("a denial")?;
            if is_wanted(&denial) && !get.output.print(&denial)? {
                println!("{}", row(&denial).join("   "));
            }
        }
        bail!("the agent ended the watch; ask again");
    }
    let mut denials: Vec<Denial> = client.get("/v1/denials")?;
    denials.retain(is_wanted);
    if get.output.print(&denials)? {
        return Ok(());
    }
    match denials.as_slice() {
        [] => println!("nothing was denied lately"),
        all => println!("{}", table(&HEADER, all.iter().map(row))),
    }
    Ok(())
}

const HEADER: [&str; 5] = ["when", "from", "to", "port", "denied by"];

fn row(denial: &Denial) -> Vec<String> {
    let who = |address: std::net::IpAddr, key: &Option<ResourceKey>| match key {
        None => address.to_string(),
        Some(key) => match &key.namespace {
            Some(namespace) => format!("{namespace}/{} ({address})", key.name),
            None => format!(
                "{} {} ({address})",
                key.kind.as_str().to_lowercase(),
                key.name
            ),
        },
    };
    vec![
        denial.time.clone(),
        who(denial.source, &denial.from),
        who(denial.destination, &denial.to),
        port(denial),
        denial.denied_by.clone(),
    ]
}

/// In the words in which `explain flow` takes it.
fn port(denial: &Denial) -> String {
    match (denial.destination_port, denial.icmp) {
        (Some(port), _) => format!("{}/{port}", denial.protocol),
        (None, Some((kind, code))) => format!("{}/{kind}/{code}", denial.protocol),
        (None, None) => denial.protocol.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_denial_is_a_line() {
        let denial: Denial = serde_json::from_value(json!({
            "time": "2026-01-31T12:00:00.000Z", "deniedBy": "ingress at the end of tier default",
            "source": "10.0.0.1", "destination": "10.0.0.2",
            "from": {"kind": "Endpoint", "namespace": "shop", "name": "n.c.eth0"},
            "to": {"kind": "Node", "name": "b"},
            "protocol": "TCP", "sourcePort": 40000, "destinationPort": 80,
        }))
        .unwrap();
        insta::assert_snapshot!(table(&HEADER, [row(&denial)]), @r"
        WHEN                       FROM                       TO                  PORT     DENIED BY
        2026-01-31T12:00:00.000Z   shop/n.c.eth0 (10.0.0.1)   node b (10.0.0.2)   TCP/80   ingress at the end of tier default
        ");
        let other = Denial {
            from: None,
            destination_port: None,
            icmp: Some((8, 0)),
            ..denial
        };
        assert_eq!(row(&other)[1], "10.0.0.1");
        assert_eq!(port(&other), "TCP/8/0");
    }
}
