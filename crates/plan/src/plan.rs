//! The whole plan of one host, put together.

use tombolo_model::{Family, Name, World};

use crate::host_plan::{HostPlan, Origin};
use crate::objects::{Key, Object, Place};
use crate::{bgp, driver, egress, nat, network, policy};

/// Everything that a node should hold. Nothing is known of a node that is not in the World, so
/// there is no plan for it: not the same as a plan to hold nothing.
#[must_use]
pub fn plan(world: &World, node: &Name) -> Option<HostPlan> {
    let me = world.nodes.get(node)?;
    let mut plan = HostPlan::default();
    let residents = network::Residents::of(world, node);
    for each in world.networks.values() {
        network::plan(&residents, me, each, &mut plan);
    }
    bgp::plan(world, me, &mut plan);
    want_forwarding(world, &mut plan);
    egress::plan(world, &mut plan);
    nat::plan(&residents, node, &mut plan);
    policy::plan(&residents, node, &mut plan);
    Some(plan)
}

/// Hosts forward what is not for themselves, in each family that a network has addresses of.
fn want_forwarding(world: &World, plan: &mut HostPlan) {
    for network in world.networks.values() {
        if !driver::find(&network.spec.driver).is_some_and(driver::Driver::forwards) {
            continue;
        }
        for pool in network
            .spec
            .pools
            .iter()
            .filter_map(|name| world.pools.get(name))
        {
            let path = match Family::of_net(pool.spec.cidr) {
                Family::V4 => "net/ipv4/ip_forward",
                Family::V6 => "net/ipv6/conf/all/forwarding",
            };
            let origin = Origin {
                resource: pool.key(),
                rule: "plan: the host forwards",
            };
            let place = Place::host(Key::Sysctl(path.to_owned()));
            // Several pools may ask; the first gives the origin.
            plan.want(place, Object::Sysctl("1".to_owned()), origin);
        }
    }
}
