//! Which endpoint is meant by words of people.
//!
//! An endpoint's name is long: its node, its container's id, its interface. Any part of it does, where
//! only one endpoint fits. What fits better goes first: the whole name, the whole id of the container,
//! the beginning of one, a part of the name. More than one of the best is a fault that lists them.

use tombolo_api::{Fault, FaultKind};
use tombolo_model::{Endpoint, Name, Resource, World};

/// The most candidates that a fault lists.
const MOST_CANDIDATES: usize = 8;

/// An endpoint's namespace and name.
pub(crate) type EndpointKey = (Name, Name);

/// The endpoint that is meant. `namespace/part` looks in that namespace only, as `namespace` does.
///
/// # Errors
/// None fits, or several do.
pub(crate) fn endpoint(
    world: &World,
    namespace: Option<&Name>,
    text: &str,
) -> Result<EndpointKey, Fault> {
    let (namespace, part) = match text.split_once('/') {
        Some((written, part)) => (Some(written), part),
        None => (namespace.map(Name::as_str), text),
    };
    let of_namespace = |key: &EndpointKey| namespace.is_none_or(|name| key.0.as_str() == name);
    let mut best: Option<Fit> = None;
    let mut found: Vec<&EndpointKey> = Vec::new();
    for (key, endpoint) in &world.endpoints {
        let fit = Fit::of(endpoint, part).filter(|_| of_namespace(key) && !part.is_empty());
        let Some(fit) = fit else {
            continue;
        };
        if best.is_none_or(|best| fit < best) {
            best = Some(fit);
            found.clear();
        }
        if best == Some(fit) {
            found.push(key);
        }
    }
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let place = namespace.map(|name| format!(" in namespace {name}"));
            let message = format!(
                "no endpoint{} is called {part:?}, nor its container; see `tombolo get endpoints`",
                place.unwrap_or_default()
            );
            Err(Fault::new(FaultKind::NotFound, message))
        }
        many => Err(several(text, many)),
    }
}

fn several(text: &str, many: &[&EndpointKey]) -> Fault {
    let shown = many.iter().take(MOST_CANDIDATES);
    let mut lines: Vec<String> = shown
        .map(|(space, name)| format!("{space}/{name}"))
        .collect();
    if many.len() > MOST_CANDIDATES {
        lines.push(format!("and {} more", many.len() - MOST_CANDIDATES));
    }
    let message = format!(
        "{text:?} may be any of {} endpoints; say which:\n  {}",
        many.len(),
        lines.join("\n  ")
    );
    Fault::new(FaultKind::Invalid, message)
}

/// How an endpoint fits words, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Name,
    Container,
    ContainersBeginning,
    PartOfName,
}

impl Fit {
    fn of(endpoint: &Resource<Endpoint>, text: &str) -> Option<Fit> {
        let name = endpoint.name().as_str();
        let container = endpoint.spec.container_id.as_str();
        match () {
            () if name == text => Some(Fit::Name),
            () if container == text => Some(Fit::Container),
            () if container.starts_with(text) => Some(Fit::ContainersBeginning),
            () if name.contains(text) => Some(Fit::PartOfName),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_model::parse::{Accept, parse_with, world_of};

    fn world(endpoints: &[(&str, &str)]) -> World {
        let one = |(namespace, container): &(&str, &str)| {
            format!(
                "apiVersion: tombolo.dev/v1\nkind: Endpoint\nmetadata: {{namespace: {namespace}, name: n.{container}.eth0}}\nspec: {{node: n, network: default, containerID: {container}, interface: eth0, sandbox: /s, handle: h.{container}, generation: 1, mac: 02:00:00:00:00:01}}\n"
            )
        };
        let texts: Vec<String> = endpoints.iter().map(one).collect();
        let parsed = parse_with("t.yaml", &texts.join("---\n"), Accept::Internal).unwrap();
        world_of(&parsed).unwrap()
    }

    fn find(world: &World, text: &str) -> Result<String, String> {
        let found = endpoint(world, None, text).map_err(|fault| fault.to_string());
        found.map(|(namespace, name)| format!("{namespace}/{name}"))
    }

    #[test]
    fn any_part_that_one_has_does() {
        let world = world(&[
            ("default", "web1"),
            ("default", "web12"),
            ("shop", "web1"),
            ("shop", "db"),
        ]);
        for (text, found) in [
            ("shop/web1", "shop/n.web1.eth0"),
            ("db", "shop/n.db.eth0"),
            ("n.db.eth0", "shop/n.db.eth0"),
            ("db.eth", "shop/n.db.eth0"),
            ("web12", "default/n.web12.eth0"),
            ("default/web1", "default/n.web1.eth0"),
        ] {
            assert_eq!(find(&world, text).unwrap(), found, "{text}");
        }
        for (text, said) in [
            ("web1", "default/n.web1.eth0\n  shop/n.web1.eth0"),
            ("eth0", "any of 4 endpoints"),
            ("mail", "no endpoint is called \"mail\""),
            ("shop/web12", "no endpoint in namespace shop"),
            ("shop/", "no endpoint in namespace shop"),
        ] {
            let error = find(&world, text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn the_namespace_may_be_given_beside() {
        let world = world(&[("default", "a"), ("shop", "a")]);
        let shop = Name::new("shop").unwrap();
        let (namespace, _) = endpoint(&world, Some(&shop), "a").unwrap();
        assert_eq!(namespace, shop);
    }

    #[test]
    fn many_candidates_are_not_all_listed() {
        let names: Vec<String> = (10..40).map(|n| format!("c{n}")).collect();
        let all: Vec<(&str, &str)> = names
            .iter()
            .map(|name| ("default", name.as_str()))
            .collect();
        let error = find(&world(&all), "c").unwrap_err();
        assert!(
            error.contains("any of 30 endpoints") && error.contains("and 22 more"),
            "{error}"
        );
    }
}
