//! Examples that stand below each command's help.
//!
//! They are here in one place so that one look shows what is missing; a test does look.

use clap::Command;

/// The words of a command, and its examples.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "init",
        "\
  tombolo init                                     a VXLAN network on 10.244.0.0/16
  tombolo init --transport direct                  nodes in one subnet, nothing wrapped
  tombolo init --pool 10.50.0.0/16 --pool fd50::/64
  tombolo init --underlay interface=eth1           nodes reach each other by eth1
  tombolo init --etcd https://10.0.0.1:2379 --etcd-ca ca.crt --etcd-cert t.crt --etcd-key t.key",
    ),
    (
        "join",
        "\
  tombolo join 192.168.0.1 --token TOKEN           as `tombolo token create --command` says
  TOMBOLO_TOKEN=… tombolo join 192.168.0.1         the token is not seen in a list of processes",
    ),
    (
        "token create",
        "\
  tombolo token create                             good for one node and 24 hours
  tombolo token create --uses 10 --ttl 1h
  tombolo token create --command                   the whole command for the new node",
    ),
    (
        "token list",
        "  tombolo token list\n  tombolo token list -o json",
    ),
    (
        "token revoke",
        "  tombolo token revoke a1b2c3             an id of `tombolo token list`",
    ),
    (
        "agent",
        "\
  tombolo agent                                    as the systemd unit runs it
  TOMBOLO_LOG=debug tombolo agent --log json
  tombolo agent --cleanup                          everything of ours leaves the kernel",
    ),
    (
        "tunnel",
        "\
  tombolo tunnel                                   as the systemd unit runs it
  tombolo tunnel --queues 8                        a faster one takes over; no packet is lost",
    ),
    (
        "status",
        "\
  tombolo status
  tombolo status --wait                            return once the kernel holds all
  tombolo status --check                           status 1 if there are problems",
    ),
    (
        "get",
        "\
  tombolo get nodes
  tombolo get endpoints -o wide -n default
  tombolo get network default -o yaml
  tombolo get endpoints --watch
  tombolo get denials --watch                      what policies deny, as it happens",
    ),
    (
        "describe",
        "  tombolo describe network default\n  tombolo describe ippool default-v4",
    ),
    (
        "apply",
        "  tombolo apply -f network.yaml\n  tombolo apply -f networks/\n  cat pool.yaml | tombolo apply -f -\n  tombolo apply -f policy.yaml --dry-run           who could talk to whom then",
    ),
    (
        "delete",
        "  tombolo delete node b\n  tombolo delete endpoint NAME -n default\n  tombolo delete -f network.yaml",
    ),
    (
        "attach",
        "\
  ip netns add c1; tombolo attach --netns /run/netns/c1 --container c1
  tombolo attach --pid 4711 --container web --network blue --publish 8080:80
  tombolo attach --netns /run/netns/c1 --container c1 --ip 10.244.0.9
  tombolo attach --pid 4711 --container web --label app=web --profile base --named-port web=TCP/80",
    ),
    (
        "detach",
        "  tombolo detach --container c1\n  tombolo detach --container c1 --interface eth1",
    ),
    (
        "label",
        "\
  tombolo label endpoint web role=front            any part of its name that only one has
  tombolo label endpoint shop/web role=back old-
  tombolo label endpoint web -n shop --profile base --profile web
  tombolo label endpoint web --no-profiles",
    ),
    (
        "ipam show",
        "  tombolo ipam show\n  tombolo ipam show -o json",
    ),
    (
        "ipam check",
        "  tombolo ipam check                      status 1 if records do not fit together",
    ),
    (
        "ipam release",
        "  tombolo ipam release 10.244.0.9\n  tombolo ipam release 10.244.0.9 --force",
    ),
    ("validate", "  tombolo validate -f networks/"),
    (
        "plan",
        "\
  tombolo plan                                     what this host should hold, and why
  tombolo plan -f cluster/ --node b                what b would hold, from files, without an agent
  tombolo plan -o json",
    ),
    (
        "lab up",
        "\
  tombolo lab up --hosts 3 --join                  three nodes of one cluster
  tombolo lab up --topology subnets --mtu 9000 --name big",
    ),
    (
        "lab down",
        "  tombolo lab down\n  tombolo lab down --name big",
    ),
    ("lab list", "  tombolo lab list"),
    (
        "lab exec",
        "  tombolo lab exec a -- ip route\n  tombolo lab exec a/c1 -- ping 10.244.1.5\n  tombolo lab exec b      a shell",
    ),
    ("lab cut", "  tombolo lab cut b"),
    ("lab heal", "  tombolo lab heal b"),
    ("lab kill", "  tombolo lab kill b"),
    (
        "bench",
        "\
  tombolo bench                                    everything; some minutes
  tombolo bench --quick --html report.html         fewer sizes; a page with plots
  tombolo bench --list                             which networks there are to compare
  tombolo bench --network routed-direct,routed-vxlan --only tcp-bandwidth
  tombolo bench -o json",
    ),
    ("lab demo", "  tombolo lab demo"),
    ("version", "  tombolo version"),
];

/// Puts the examples below the help of each command.
pub(crate) fn add(command: Command) -> Command {
    EXAMPLES.iter().fold(command, |command, (words, text)| {
        let words: Vec<&str> = words.split(' ').collect();
        below(command, &words, text)
    })
}

fn below(command: Command, words: &[&str], text: &str) -> Command {
    match words.split_first() {
        None => command.after_help(format!("Examples:\n{text}")),
        Some((first, rest)) => command.mut_subcommand(first, |sub| below(sub, rest, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_examples(command: &Command, path: &str, found: &mut Vec<String>) {
        let has = command
            .get_after_help()
            .is_some_and(|help| help.to_string().contains("Examples:"));
        if command.get_subcommands().next().is_none() && !has {
            found.push(path.to_owned());
        }
        for sub in command
            .get_subcommands()
            .filter(|sub| sub.get_name() != "help")
        {
            without_examples(sub, &format!("{path} {}", sub.get_name()), found);
        }
    }

    #[test]
    fn every_command_has_examples() {
        let mut found = Vec::new();
        without_examples(&crate::words(), "tombolo", &mut found);
        assert_eq!(found, [""; 0]);
    }

    /// Every example that begins with our name is understood by our parser.
    #[test]
    fn every_example_is_right() {
        for (_, text) in EXAMPLES {
            let commands = text.lines().flat_map(|line| line.split([';', '|']));
            for example in commands {
                // An explanation stands two or more spaces apart.
                let example = example.trim().split("  ").next().unwrap_or_default();
                let words: Vec<&str> = example.split_whitespace().collect();
                let begin = words.iter().position(|word| *word == "tombolo");
                let Some(words) = begin.map(|begin| &words[begin..]) else {
                    continue;
                };
                let given = example.contains("TOMBOLO_TOKEN");
                let token = ["--token", "x"].into_iter().filter(|_| given);
                let parsed =
                    crate::words().try_get_matches_from(words.iter().copied().chain(token));
                assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
            }
        }
    }
}
