//! One Rust file, measured exactly: which lines hold code, which of them are test code, how long
//! every function is, how often `unsafe` and `unwrap` stand in it, what it names.
//!
//! A line counts as code where a token lies on it; blank lines and comments, documentation
//! included, do not count. Test code is every item under `#[cfg(test)]`; whole test files are told
//! apart by their path ([`is_test_path`]) or by the module declaration that leads to them.
//! The source is parsed, never searched as text, so strings and comments cannot mislead it.

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// What was measured in one file.
#[derive(Debug, Default)]
pub struct Source {
    /// Path below the workspace's root.
    pub path: String,
    /// Lines of code outside `#[cfg(test)]` items.
    pub code: BTreeSet<usize>,
    /// Lines of `#[cfg(test)]` items.
    pub test: BTreeSet<usize>,
    /// Functions and methods with a body, outside test items.
    pub functions: Vec<Function>,
    /// Lines with the keyword `unsafe`, test items included.
    pub unsafes: Vec<usize>,
    /// Calls of `.unwrap()` outside test items.
    pub unwraps: usize,
    /// Names that follow the keyword `fn`, also inside macros.
    pub fn_names: BTreeSet<String>,
    /// Modules declared as `#[cfg(test)] mod name;`: they are files of tests.
    pub test_modules: Vec<String>,
}

/// One function or method.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// `name`, or `Type::name` for a method.
    pub name: String,
    /// The line of its `fn`.
    pub line: usize,
    /// Lines of code from `fn` to the closing brace.
    pub lines: usize,
    /// Arguments, `self` included; 0 for methods of a trait's implementation, whose signature is
    /// not theirs to choose.
    pub arguments: usize,
}

/// True for files that hold nothing but tests: `tests.rs`, and all below a `tests` folder.
pub fn is_test_path(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.split('/').any(|part| part == "tests")
}

/// Measures `text`, the content of the file at `path`.
pub fn measure(path: &str, text: &str) -> Result<Source> {
    let tokens: TokenStream = text
        .parse()
        .map_err(|error| anyhow::anyhow!("{path}: not Rust: {error}"))?;
    let file = syn::parse2::<syn::File>(tokens.clone()).with_context(|| format!("parse {path}"))?;

    let mut items = Items::default();
    items.visit_file(&file);
    let mut source = Source {
        path: path.to_string(),
        test: items.test,
        test_modules: items.test_modules,
        ..Source::default()
    };
    let mut code = BTreeSet::new();
    walk(tokens, &mut code, &mut source);
    source.functions = items
        .functions
        .into_iter()
        .map(|(name, span, arguments)| Function {
            name,
            line: *span.start(),
            lines: code.range(span).count(),
            arguments,
        })
        .collect();
    source.code = code.difference(&source.test).copied().collect();
    Ok(source)
}

/// True for `#[cfg(test)]` and `#[cfg(all(test, …))]`.
pub fn is_cfg_test(attributes: &[syn::Attribute]) -> bool {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .any(|attribute| {
            attribute.meta.require_list().is_ok_and(|list| {
                let words: Vec<String> = list
                    .tokens
                    .clone()
                    .into_iter()
                    .map(|t| t.to_string())
                    .collect();
                words == ["test"]
                    || (words.first().is_some_and(|w| w == "all") && words[1].contains("test"))
            })
        })
}

/// Collects functions and the lines of test items.
#[derive(Default)]
struct Items {
    test: BTreeSet<usize>,
    test_modules: Vec<String>,
    functions: Vec<(String, RangeInclusive<usize>, usize)>,
    owner: Option<String>,
    of_trait: bool,
}

impl Items {
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let name = match &self.owner {
            Some(owner) => format!("{owner}::{}", signature.ident),
            None => signature.ident.to_string(),
        };
        let arguments = if self.of_trait {
            0
        } else {
            signature.inputs.len()
        };
        let first = signature.fn_token.span.start().line;
        let last = block.brace_token.span.close().end().line;
        self.functions.push((name, first..=last, arguments));
    }

    fn within(&mut self, owner: Option<String>, of_trait: bool, visit: impl FnOnce(&mut Self)) {
        let outer = (std::mem::replace(&mut self.owner, owner), self.of_trait);
        self.of_trait = of_trait;
        visit(self);
        (self.owner, self.of_trait) = outer;
    }
}

impl<'ast> Visit<'ast> for Items {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_cfg_test(attributes(item)) {
            self.test
                .extend(item.span().start().line..=item.span().end().line);
            if let syn::Item::Mod(module) = item
                && module.content.is_none()
            {
                self.test_modules.push(module.ident.to_string());
            }
            return;
        }
        visit::visit_item(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(None, false, |this| {
            this.function(&item.sig, &item.block);
            visit::visit_item_fn(this, item);
        });
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let owner = match &*item.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        self.within(owner, item.trait_.is_some(), |this| {
            visit::visit_item_impl(this, item)
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if is_cfg_test(&item.attrs) {
            self.test
                .extend(item.span().start().line..=item.span().end().line);
            return;
        }
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        let owner = Some(item.ident.to_string());
        self.within(owner, false, |this| visit::visit_item_trait(this, item));
    }
}

/// The attributes of an item, of the kinds that tests are made of.
pub fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Goes through the tokens, groups included: marks code lines, counts keywords and calls.
fn walk(tokens: TokenStream, code: &mut BTreeSet<usize>, source: &mut Source) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    while let Some((token, after)) = rest.split_first() {
        if let Some(skipped) = doc_comment(rest) {
            rest = &rest[skipped..];
            continue;
        }
        let line = token.span().start().line;
        match token {
            TokenTree::Group(group) => {
                code.extend([
                    group.span_open().start().line,
                    group.span_close().end().line,
                ]);
                walk(group.stream(), code, source);
            }
            other => code.extend(line..=other.span().end().line),
        }
        match (token.to_string().as_str(), after.first(), after.get(1)) {
            ("unsafe", ..) => source.unsafes.push(line),
            ("fn", Some(TokenTree::Ident(name)), _) => {
                source.fn_names.insert(name.to_string());
            }
            (".", Some(TokenTree::Ident(name)), Some(TokenTree::Group(arguments)))
                if name == "unwrap" && is_call(arguments) && !source.test.contains(&line) =>
            {
                source.unwraps += 1;
            }
            _ => {}
        }
        rest = after;
    }
}

fn is_call(arguments: &Group) -> bool {
    arguments.delimiter() == Delimiter::Parenthesis && arguments.stream().is_empty()
}

/// The number of tokens of the documentation comment that `tokens` begin with: the tokenizer
/// turns `/// text` into `#[doc = "text"]` and `//! text` into `#![doc = "text"]`.
fn doc_comment(tokens: &[TokenTree]) -> Option<usize> {
    let is = |index: usize, sign: char| matches!(tokens.get(index), Some(TokenTree::Punct(p)) if p.as_char() == sign);
    if !is(0, '#') {
        return None;
    }
    let at = if is(1, '!') { 2 } else { 1 };
    let Some(TokenTree::Group(group)) = tokens.get(at) else {
        return None;
    };
    let first = group.stream().into_iter().next();
    matches!(first, Some(TokenTree::Ident(name)) if name == "doc").then_some(at + 1)
}

#[cfg(test)]
mod tests;
