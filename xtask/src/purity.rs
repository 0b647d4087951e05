//! What the source of a pure crate must not name: files, sockets, threads, clocks.
//!
//! Every path outside tests is looked at: in `use` trees, in expressions, in types and patterns.
//! A path counts when it begins with a forbidden one, whether it is written out or imported;
//! `core::` and `alloc::` offer nothing that does I/O. Names inside macro calls are not seen: what
//! they need must have been imported or is written out elsewhere in practice, and the crate's
//! dependencies are limited besides.

use crate::layers::Forbidden;
use crate::source;
use crate::tree;
use anyhow::{Context, Result};
use std::path::Path;
use syn::visit::{self, Visit};

/// Every forbidden path that a file below `folder` names, as findings.
pub fn check(root: &Path, folder: &str, forbidden: &[Forbidden]) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for path in tree::files(root, "rs")? {
        if path.starts_with(&format!("{folder}/")) && !source::is_test_path(&path) {
            let text = tree::read(root, &path)?;
            let named = paths(&text).with_context(|| format!("parse {path}"))?;
            findings.extend(judge(&path, &named, forbidden));
        }
    }
    Ok(findings)
}

fn judge(file: &str, named: &[(usize, String)], forbidden: &[Forbidden]) -> Vec<String> {
    let mut findings = Vec::new();
    for (line, path) in named {
        for Forbidden { name, reason } in forbidden {
            if path == name || path.starts_with(&format!("{name}::")) {
                findings.push(format!(
                    "{file}:{line}: a pure crate names {path} ({reason})"
                ));
            }
        }
    }
    findings
}

/// Every path that the source names outside tests, with its line.
fn paths(text: &str) -> Result<Vec<(usize, String)>> {
    let file = syn::parse_file(text)?;
    let mut paths = Paths::default();
    paths.visit_file(&file);
    Ok(paths.found)
}

#[derive(Default)]
struct Paths {
    found: Vec<(usize, String)>,
}

impl Paths {
    fn add_use(&mut self, prefix: &str, tree: &syn::UseTree) {
        let join = |name: String| match prefix {
            "" => name,
            prefix => format!("{prefix}::{name}"),
        };
        match tree {
            syn::UseTree::Path(path) => self.add_use(&join(path.ident.to_string()), &path.tree),
            syn::UseTree::Name(name) => self.add(&name.ident, join(name.ident.to_string())),
            syn::UseTree::Rename(name) => self.add(&name.ident, join(name.ident.to_string())),
            syn::UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                self.found.push((line, prefix.to_string()));
            }
            syn::UseTree::Group(group) => {
                group
                    .items
                    .iter()
                    .for_each(|tree| self.add_use(prefix, tree));
            }
        }
    }

    /// `use std::fs::{self}` names `std::fs`.
    fn add(&mut self, at: &syn::Ident, path: String) {
        let path = path
            .strip_suffix("::self")
            .map(str::to_string)
            .unwrap_or(path);
        self.found.push((at.span().start().line, path));
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !source::is_cfg_test(source::attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_use("", &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        let line = path
            .segments
            .first()
            .map_or(0, |s| s.ident.span().start().line);
        self.found.push((line, names.join("::")));
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Vec<String> {
        let forbidden = [
            Forbidden {
                name: "std::fs".into(),
                reason: "I/O".into(),
            },
            Forbidden {
                name: "std::time::Instant".into(),
                reason: "a clock".into(),
            },
        ];
        judge("a.rs", &paths(text).unwrap(), &forbidden)
    }

    #[test]
    fn forbidden_names_are_seen_in_every_form() {
        for text in [
            "use std::fs;",
            "use std::fs::*;",
            "use std::{net::IpAddr, fs::{self, File}};",
            "fn f() { std::fs::read(\"x\"); }",
            "fn f(now: std::time::Instant) {}",
            "use std::time::{Duration, Instant as Now};",
        ] {
            assert!(!judged(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn values_and_tests_are_free() {
        let text = "use std::net::IpAddr; use std::time::Duration;\n\
                    #[cfg(test)]\nmod tests { use std::fs; }";
        assert_eq!(judged(text), Vec::<String>::new());
    }
}
