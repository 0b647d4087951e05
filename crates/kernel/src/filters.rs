//! Other programs' packet filters, of nftables and of iptables' own tables, in a plan's words.

use tombolo_plan::filter::Filter;

use crate::error::KernelError;
use crate::kernel::Ownership;
use crate::netns::NetnsHandle;
use crate::nft::{legacy, tables};

/// Every chain of a namespace that is not in our table, with its rules as far as they are
/// understood.
///
/// # Errors
/// The kernel refuses to tell.
pub fn foreign(netns: &NetnsHandle, ownership: &Ownership) -> Result<Filter, KernelError> {
    let mut chains = tables::chains(netns, &ownership.nft_table)?;
    chains.extend(legacy::chains(netns)?);
    Ok(Filter { chains })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;
    use tombolo_plan::filter::{Fate, Packet};
    use tombolo_plan::objects::HookPoint;

    /// What becomes of a packet from a container to a peer in all chains at the hook.
    fn fate(host: &Host, v6: bool) -> Fate {
        let (source, destination) = if v6 {
            ("fd00::5", "fd00:1::5")
        } else {
            ("10.244.0.5", "10.244.1.5")
        };
        let packet = Packet {
            input: "tbv123".into(),
            output: "tbx4096".into(),
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        };
        let filter = foreign(&host.netns, &Ownership::default()).unwrap();
        let fates = filter
            .fates(HookPoint::Forward, &packet)
            .into_iter()
            .map(|(_, fate)| fate);
        fates.max().unwrap_or(Fate::Passes)
    }

    /// Each step of a script, with what becomes of the packet after it.
    fn steps(v6: bool, steps: &[(&str, Fate)]) {
        let host = Host::new();
        for (line, expected) in steps {
            host.run(line);
            assert_eq!(fate(&host, v6), *expected, "after `{line}`");
        }
    }

    #[test]
    fn chains_of_nft_are_understood() {
        let chain = "nft add table inet fw; nft add chain inet fw f '{type filter hook forward priority 0; policy drop;}'";
        steps(
            false,
            &[
                (chain, Fate::Dropped),
                (
                    "nft add rule inet fw f ct state established,related accept",
                    Fate::Dropped,
                ),
                (
                    "nft add rule inet fw f iifname docker0 accept",
                    Fate::Dropped,
                ),
                (
                    "nft add rule inet fw f ip6 daddr fd00::/8 accept",
                    Fate::Dropped,
                ),
                ("nft add rule inet fw f tcp dport 22 accept", Fate::Unclear),
                (
                    "nft insert rule inet fw f counter iifname \"tb*\" accept",
                    Fate::Passes,
                ),
                (
                    "nft flush chain inet fw f; nft add rule inet fw f ip saddr 10.244.0.0/17 accept",
                    Fate::Passes,
                ),
                (
                    "nft flush chain inet fw f; nft add rule inet fw f ip saddr 10.244.0.0/16 accept",
                    Fate::Passes,
                ),
                (
                    "nft flush chain inet fw f; nft add rule inet fw f ct state new accept",
                    Fate::Passes,
                ),
                (
                    "nft insert rule inet fw f oifname tbx4096 reject",
                    Fate::Dropped,
                ),
            ],
        );
        steps(
            true,
            &[
                (chain, Fate::Dropped),
                (
                    "nft add rule inet fw f ip6 daddr fd00:1::/64 accept",
                    Fate::Passes,
                ),
            ],
        );
    }

    fn iptables(program: &str, v6: bool) {
        let (accept, ranges) = if v6 {
            (
                format!("{program} -I USER -s fd00::/16 -d fd00:1::/32 -j ACCEPT"),
                "fd99::/16",
            )
        } else {
            (
                format!("{program} -I USER -s 10.244.0.0/16 -d 10.244.0.0/15 -j ACCEPT"),
                "10.99.0.0/16",
            )
        };
        let line = |rest: &str| format!("{program} {rest}");
        steps(
            v6,
            &[
                (&line("-P FORWARD DROP"), Fate::Dropped),
                (
                    &line(
                        "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment x -j ACCEPT",
                    ),
                    Fate::Dropped,
                ),
                (&line("-A FORWARD -o docker0 -j ACCEPT"), Fate::Dropped),
                (
                    &line(&format!("-A FORWARD -s {ranges} -j ACCEPT")),
                    Fate::Dropped,
                ),
                (&line("-N USER"), Fate::Dropped),
                (&line("-I FORWARD -j USER"), Fate::Dropped),
                (&accept, Fate::Passes),
                (&line("-F USER"), Fate::Dropped),
                (&line("-I USER -i tb+ -j ACCEPT"), Fate::Passes),
                (&line("-I USER ! -i eth0 -j REJECT"), Fate::Dropped),
                (&line("-F USER"), Fate::Dropped),
                (
                    &line("-A FORWARD -p tcp --dport 80 -j ACCEPT"),
                    Fate::Unclear,
                ),
                (&line("-P FORWARD ACCEPT"), Fate::Passes),
            ],
        );
    }

    #[test]
    fn chains_of_iptables_nft_are_understood() {
        iptables("iptables-nft", false);
        iptables("ip6tables-nft", true);
    }

    #[test]
    fn chains_of_iptables_legacy_are_understood() {
        iptables("iptables-legacy", false);
        iptables("ip6tables-legacy", true);
    }
}
