//! Resources as another node's agent may have stored them: read, judged, and planned from; what is
//! read is written as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tombolo_model::kinds::policy;
use tombolo_model::{AnyResource, KindName, Name, World};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, text)) = bytes.split_first() else {
        return;
    };
    let kind = KindName::ALL[usize::from(*kind) % KindName::ALL.len()];
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(text) else {
        return;
    };
    let Ok(resource) = AnyResource::from_value(kind, value) else {
        return;
    };
    let _ = resource.validate();
    let _ = tombolo_plan::check::faults(&resource);
    let _ = policy::source_of(resource.metadata());
    let _ = policy::source_line(resource.metadata(), policy::Direction::Egress, 1);
    let mut written = resource.to_value();
    if let Some(map) = written.as_object_mut() {
        map.remove("apiVersion");
        map.remove("kind");
    }
    let again = AnyResource::from_value(kind, written).expect("what was written is read");
    assert_eq!(again, resource);
    // A node plans from what is there, whatever somebody else's program put there.
    let mut world = World::default();
    let _ = world.conflicts(&resource);
    world.put(resource.clone());
    let me = match &resource {
        AnyResource::Endpoint(endpoint) => endpoint.spec.node.clone(),
        _ => Name::new("a").expect("a name"),
    };
    let node = serde_json::json!({"metadata": {"name": me}, "spec": {}});
    world.put(AnyResource::from_value(KindName::Node, node).expect("a node"));
    assert!(tombolo_plan::plan(&world, &me).is_some());
});
