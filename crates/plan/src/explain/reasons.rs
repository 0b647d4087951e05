//! One sentence for each of the planner's rules: why it is there.
//!
//! A rule without a sentence fails the tests, as does a sentence without a rule.

/// Each rule, as origins name it, and why it is there.
const REASONS: &[(&str, &str)] = &[
    (
        "attachment: loopback of the sandbox",
        "programs in a container expect that its loopback is up",
    ),
    (
        "attachment: the container's end",
        "it is the interface that the container sees",
    ),
    (
        "attachment: the container's way out",
        "all that is not in the container itself goes through the host",
    ),
    (
        "attachment: the host's end",
        "a pair of virtual interfaces joins the container to the host; this is the host's one",
    ),
    (
        "attachment/bridge: an address to ask neighbours from",
        "IPv6 asks for a neighbour from a link-local address, and this one needs no check for duplicates first",
    ),
    (
        "attachment/bridge: gateway of the block",
        "containers of the bridge send what is for others to this address",
    ),
    (
        "attachment/bridge: the container's address",
        "IPAM gave this address to the container",
    ),
    (
        "attachment/bridge: the container's segment",
        "the containers of a block reach each other without the host as a gateway",
    ),
    (
        "attachment/bridge: the network's bridge",
        "containers of the network share this segment",
    ),
    (
        "attachment/bridge: way to the segment",
        "the host reaches the containers of the block through their bridge",
    ),
    (
        "attachment/physical: routers' advertisements are not heard",
        "addresses and routes are the plan's to give; a router that advertises itself would add others",
    ),
    (
        "attachment/physical: the host routes the rest",
        "in ipvlan's modes l3 and l3s a container asks nobody on the segment: the host looks up its packets' way",
    ),
    (
        "attachment/physical: the VLAN of the parent",
        "the network is one VLAN of the parent, and its frames are tagged so on the wire",
    ),
    (
        "attachment/physical: the container's address",
        "IPAM gave this address to the container",
    ),
    (
        "attachment/physical: the container's interface",
        "it puts the container on the physical network, with a link-layer address of its own",
    ),
    (
        "attachment/physical: the container's segment",
        "everybody on the physical segment is reached directly",
    ),
    (
        "attachment/physical: the container's way to its host",
        "the host's other addresses on the segment answer nobody who stands on the same interface, so the way is through the shim",
    ),
    (
        "attachment/physical: the host's own address on the segment",
        "the host's packets to its containers carry it, so that answers come back through the same interface",
    ),
    (
        "attachment/physical: the host's own interface on the segment",
        "the kernel hands nothing over between an interface and those on it, so the host needs one among them",
    ),
    (
        "attachment/physical: the host's way to its container",
        "by the parent the host would not reach a container that stands on it",
    ),
    (
        "attachment/physical: the segment's router",
        "all that is not on the segment goes through the router that the network names",
    ),
    (
        "attachment/overlay: the segment's namespace",
        "the network's segment is kept apart from the host's own packets and from other networks'",
    ),
    (
        "attachment/overlay: the segment's bridge",
        "containers of the network on this host share this segment with those on other hosts",
    ),
    (
        "attachment/overlay: the gateway",
        "containers send what leaves the network to this address, which is on every host the same",
    ),
    (
        "attachment/overlay: where the container is",
        "the bridge learns nothing: it is told behind which port the container is, and answers for it",
    ),
    (
        "attachment/overlay: the container's address",
        "IPAM gave this address to the container",
    ),
    (
        "attachment/overlay: the container's segment",
        "all containers of the network are on one segment, on whichever host",
    ),
    (
        "segment: the link-layer address of a container on another host",
        "who asks for the container's address is answered on this host, so that no question travels",
    ),
    (
        "transport/udp: the device",
        "packets for other nodes go to it, and a process carries them in UDP",
    ),
    (
        "transport/udp: the node's own address in the network",
        "the node's own packets to containers elsewhere carry it, so that answers come back through the tunnel",
    ),
    (
        "transport/vxlan: the segment's device",
        "frames for containers on other hosts leave and arrive by it",
    ),
    (
        "transport/vxlan: frames for all go to each host that has endpoints of the network",
        "broadcast and multicast are copied to each of these hosts, and to no other",
    ),
    (
        "transport/vxlan: the host that a container is on",
        "frames for the container go to its host alone",
    ),
    (
        "transport/vxlan: a container on another host is behind the device",
        "the bridge learns nothing: it is told that the container is on another host",
    ),
    (
        "attachment/routed: no way out for addresses of the block that nobody holds",
        "packets to addresses that no container has are dropped here, so that they do not wander off by the default route",
    ),
    (
        "attachment/routed: the container's address",
        "IPAM gave this address to the container",
    ),
    (
        "attachment/routed: the gateway's address",
        "whoever asks for the gateway is answered, also after a container's link-layer address was changed",
    ),
    (
        "attachment/routed: the gateway's link-layer address",
        "the container knows its gateway from the start and need not ask",
    ),
    (
        "attachment/routed: way to the container",
        "packets for the container leave by its own pair",
    ),
    (
        "bgp: a block of another node, as it was learned",
        "the node that the block belongs to announces it, so packets to its containers go where it says",
    ),
    (
        "bgp: a block of this node is announced",
        "others learn by it that the block's containers are here",
    ),
    (
        "bgp: a peer as a BGPPeer says",
        "an operator wrote that this node speaks with it",
    ),
    (
        "bgp: a range of services is announced by every node",
        "BGPConfiguration names the range, and packets to it may enter the cluster at any node",
    ),
    (
        "bgp: a reflector speaks with every node",
        "a reflector passes on what each node tells, so that not every node need speak with every other",
    ),
    (
        "bgp: a route of before a restart is kept",
        "the speaker has begun anew and is told its routes again; until then packets go on as before",
    ),
    (
        "bgp: a route that a peer announced",
        "the peer says that the destination is reached through it, no filter refused it, and it is of no pool of ours",
    ),
    (
        "bgp: this node's own address, which is on the loopback, is announced",
        "no wire has the address, so others find the node only by what it says",
    ),
    (
        "bgp: a speaker for a network's transport",
        "a network's packets go by what the nodes tell each other by BGP",
    ),
    (
        "bgp: a speaker for a peer",
        "a BGPPeer says that this node speaks with somebody",
    ),
    (
        "bgp: an address at another node, as it was learned",
        "its container is not at the node that its block belongs to, and the node where it is announces it by itself",
    ),
    (
        "bgp: an address that is here, of no block of this node, is announced",
        "the block's own node is told of by its block; the single address is more specific, and leads here",
    ),
    (
        "bgp: every node speaks with the reflectors",
        "the reflectors pass on what the others tell",
    ),
    (
        "bgp: the mesh of all nodes",
        "every node tells every other what it holds, as long as none is a reflector",
    ),
    (
        "egress: a source address is looked for in the segment's table",
        "the host checks that a packet came by the way back to its source, which only this table knows",
    ),
    (
        "egress: packets with the segment's mark take its table",
        "several segments may have the same addresses; the mark says which one is meant",
    ),
    (
        "egress: way to the segment",
        "answers to containers of the segment, and what comes to their published ports, go by its gateway",
    ),
    (
        "egress: which segment a packet is of",
        "several segments may have the same addresses; a mark and a zone of connection tracking tell them apart",
    ),
    (
        "nat: a published port",
        "a port of the host leads to the container",
    ),
    (
        "nat: packets that leave the pools",
        "it says whose packets are translated, and which destinations are inside and are not",
    ),
    (
        "nat: published ports",
        "packets to published ports are sent on to their containers, and nobody outside may pose as the loopback",
    ),
    (
        "nat: the host's loopback reaches published ports",
        "without it the kernel refuses to forward packets from 127.0.0.1",
    ),
    (
        "nat: translation of source addresses",
        "the world outside has no way to the pools, so packets that leave them take the host's address",
    ),
    (
        "network: way to a block of another node",
        "the addresses of the block are at that node",
    ),
    (
        "network: way to an address that another node borrowed",
        "the address is of another node's block, but its container is at this one",
    ),
    (
        "plan: the host forwards",
        "a host drops what is not for itself unless it is told to forward",
    ),
    (
        "policy: a policy's rules",
        "these rules are what the policy says, and every endpoint that it applies to is led here",
    ),
    (
        "policy: a profile's rules",
        "these rules are what the profile says, and are asked for its endpoints when no policy decided",
    ),
    (
        "policy: networks are kept apart",
        "endpoints of other networks reach this one only if a rule says so",
    ),
    (
        "policy: connections are known before they are judged",
        "a policy that comes later finds the connections that exist, and who began them",
    ),
    (
        "policy: only nodes send to tunnels",
        "what comes out of a tunnel is taken for another node's word, and a container could speak so for any other",
    ),
    (
        "policy: packets come from their sender's own address",
        "what is sent from another's address would get the other's rights",
    ),
    (
        "policy: profiles that are not there",
        "the endpoint names profiles, and what no profile allows is dropped",
    ),
    (
        "policy: the policies of a tier that apply",
        "endpoints to which the same policies apply are led here, and packets that none of these lets through end here",
    ),
    (
        "policy: what goes from port to port is judged",
        "packets between containers of one bridge would not meet the policies otherwise",
    ),
    (
        "policy: what the host itself is asked and says",
        "the host's interface is an endpoint, so policies apply to the host as they do to containers",
    ),
    (
        "policy: which stack a packet goes to",
        "interface and address say whose packet it is, and so which policies it meets",
    ),
    (
        "transport/gre: the device",
        "packets to other nodes travel in GRE through it, for all networks of that transport",
    ),
    (
        "transport/gre: the node's own address in the network",
        "the host's own packets to containers elsewhere carry it, so that answers come back through the tunnel",
    ),
    (
        "transport/ipip: the device",
        "packets to other nodes travel in packets through it, for all networks of that transport",
    ),
    (
        "transport/ipip: the node's own address in the network",
        "the host's own packets to containers elsewhere carry it, so that answers come back through the tunnel",
    ),
    (
        "transport/vxlan: the device",
        "packets to other nodes travel in UDP through it",
    ),
    (
        "transport/vxlan: the node's own address in the network",
        "the host's own packets to containers elsewhere carry it, so that answers come back through the tunnel",
    ),
    (
        "transport/vxlan: the peer's link-layer address",
        "the tunnel asks nobody for link-layer addresses: the plan knows them",
    ),
    (
        "transport/vxlan: where the peer's link-layer address is",
        "the tunnel learns nothing from packets: the plan says behind which node an address is",
    ),
];

/// Why a rule of the planner is there, in one sentence.
#[must_use]
pub fn why(rule: &str) -> Option<&'static str> {
    let found = REASONS.iter().find(|(name, _)| *name == rule);
    found.map(|(_, why)| *why)
}

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    REASONS.iter().map(|(rule, _)| *rule)
}
