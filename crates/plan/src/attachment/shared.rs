//! Attachments that make no interface: `none`, `host` and `container`.
//!
//! With `none` a sandbox has its loopback and nothing else. With `host` and `container` the
//! container runs in a sandbox that is somebody else's, where nothing is touched.

use tombolo_model::{Endpoint, World};

use super::{Attachment, ContainerView, Plug, Site};
use crate::host_plan::HostPlan;

/// A sandbox with its loopback and nothing else.
pub struct None;

impl Attachment for None {
    fn plan_network(&self, _: &Site, _: &mut HostPlan) {}

    fn plan_endpoint(&self, _: &Site, plug: &Plug, plan: &mut HostPlan) {
        plug.want_loopback(plan);
    }

    fn view(&self, _: &World, _: &Endpoint) -> ContainerView {
        ContainerView::default()
    }

    fn reserved(&self) -> (u32, u32) {
        (0, 0)
    }
}

/// Somebody else's sandbox.
pub struct Shared;

impl Attachment for Shared {
    fn plan_network(&self, _: &Site, _: &mut HostPlan) {}

    fn plan_endpoint(&self, _: &Site, _: &Plug, _: &mut HostPlan) {}

    fn view(&self, _: &World, _: &Endpoint) -> ContainerView {
        ContainerView::default()
    }

    fn reserved(&self) -> (u32, u32) {
        (0, 0)
    }
}
