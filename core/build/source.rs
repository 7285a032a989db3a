//! The engine's sources as they are, file by file, without what the asynchronous variant leaves out.

use std::path::{Path, PathBuf};

use syn::punctuated::Punctuated;
use syn::{Attribute, ImplItem, Item, Meta, Token, TraitItem, Visibility};

/// A file of the engine.
pub(crate) struct Module {
    /// Names of the module and those it lies in.
    pub(crate) path: Vec<String>,
    pub(crate) visibility: Visibility,
    /// Its documentation.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) items: Vec<Item>,
}

/// Reads a module and those below it, parents first.
pub(crate) fn load(src: &Path, path: Vec<String>, visibility: Visibility, into: &mut Vec<Module>) {
    let directory: PathBuf = src.join(path.join("/"));
    let files = [directory.with_extension("rs"), directory.join("mod.rs")];
    let Some(file) = files.iter().find(|file| file.exists()) else {
        panic!("the source of module `{}` is not there", path.join("::"));
    };
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let items: Vec<Item> = parsed.items.into_iter().filter_map(selected).collect();
    let below: Vec<(String, Visibility)> = items
        .iter()
        .filter_map(|item| match item {
            Item::Mod(module) if module.content.is_none() => {
                Some((module.ident.to_string(), module.vis.clone()))
            }
            _ => None,
        })
        .collect();
    into.push(Module { path: path.clone(), visibility, attributes: parsed.attrs, items });
    for (name, visibility) in below {
        let path = path.iter().cloned().chain([name]).collect();
        load(src, path, visibility, into);
    }
}

/// The item without what `cfg` takes away from it; None if it takes all.
fn selected(mut item: Item) -> Option<Item> {
    let attributes = match &mut item {
        Item::Const(item) => &mut item.attrs,
        Item::Enum(item) => &mut item.attrs,
        Item::Fn(item) => &mut item.attrs,
        Item::Impl(item) => &mut item.attrs,
        Item::Mod(item) => &mut item.attrs,
        Item::Static(item) => &mut item.attrs,
        Item::Struct(item) => &mut item.attrs,
        Item::Trait(item) => &mut item.attrs,
        Item::Type(item) => &mut item.attrs,
        Item::Use(item) => &mut item.attrs,
        Item::Macro(item) => &mut item.attrs,
        _ => panic!("an item of a kind that is not known here: {}", quote::quote!(#item)),
    };
    if !select(attributes) {
        return None;
    }
    match &mut item {
        Item::Impl(item) => item.items.retain_mut(|item| match item {
            ImplItem::Fn(item) => select(&mut item.attrs),
            _ => true,
        }),
        Item::Trait(item) => item.items.retain_mut(|item| match item {
            TraitItem::Fn(item) => select(&mut item.attrs),
            _ => true,
        }),
        _ => {}
    }
    Some(item)
}

/// Takes away the `cfg`s that are true here; false if one is not. Makes of what `expect`s a lint what allows it: the
/// lint may not be met in the other form of the code.
fn select(attributes: &mut Vec<Attribute>) -> bool {
    let mut kept = true;
    attributes.retain_mut(|attribute| {
        if let Meta::List(list) = &mut attribute.meta
            && list.path.is_ident("expect")
        {
            list.path = syn::parse_quote!(allow);
        }
        if !attribute.path().is_ident("cfg") {
            return true;
        }
        let predicate: Meta = attribute.parse_args().unwrap_or_else(|error| panic!("a cfg: {error}"));
        match holds(&predicate) {
            Some(true) => false,
            Some(false) => {
                kept = false;
                false
            }
            None => true,
        }
    });
    kept
}

/// Whether a predicate is true of the asynchronous variant, wherever it is built; None if that depends.
fn holds(predicate: &Meta) -> Option<bool> {
    match predicate {
        Meta::Path(path) if path.is_ident("asynchronous") => Some(true),
        Meta::Path(path) if path.is_ident("test") => Some(false),
        Meta::List(list) => {
            let parts = list
                .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                .unwrap_or_else(|error| panic!("a cfg: {error}"));
            let mut parts = parts.iter().map(holds);
            if list.path.is_ident("not") {
                parts.next()?.map(|holds| !holds)
            } else if list.path.is_ident("all") {
                let parts: Vec<_> = parts.collect();
                if parts.contains(&Some(false)) { Some(false) } else { parts.into_iter().min()? }
            } else if list.path.is_ident("any") {
                let parts: Vec<_> = parts.collect();
                if parts.contains(&Some(true)) {
                    Some(true)
                } else if parts.contains(&None) {
                    None
                } else {
                    Some(false)
                }
            } else {
                None
            }
        }
        _ => None,
    }
}
