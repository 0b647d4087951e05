//! The network that most scenarios are about.

/// The network `default`, of driver `routed` with pools of both families, with more words of its spec, as
/// `transport: {type: bgp}`.
#[must_use]
pub fn default_network(words: &str) -> String {
    format!(
        "apiVersion: tombolo.dev/v1\nkind: Network\nmetadata: {{name: default}}\nspec:\n  driver: routed\n  {words}\n  pools: [default-v4, default-v6]\n"
    )
}
