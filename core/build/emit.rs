//! Writes the asynchronous variant.

use proc_macro2::Span;
use quote::ToTokens as _;
use syn::visit_mut::VisitMut;
use syn::{
    Attribute, Block, Expr, Ident, ImplItem, Item, ItemMod, ItemStruct, ItemUse, Path, Signature, Stmt,
    TraitItem, Type, TypeParamBound, UseTree, parse_quote,
};

use crate::plan::{Leaf, Plan, body_of, leaves};
use crate::walk::Walker;
use crate::world::{At, Owner, World, path_names};

/// The module that the variant lies in.
const HERE: [&str; 2] = ["asynchronous", "made"];

/// What the asynchronous variant of the device's trait promises besides.
const IF_DROPPED: [&str; 5] = [
    "",
    " # A future that is dropped",
    "",
    " Of a write that is dropped before its end the range holds any mix of old and new bytes, of a sync or a growth nothing is",
    " known. A dropped call has come to its end, or is given up, before the next one begins: no transfer goes on into a buffer.",
];

pub(crate) struct Emitter<'w> {
    world: &'w World,
    plan: &'w Plan,
    problems: Vec<String>,
    /// What was changed by [`Emitter::guard`], each of which has to happen.
    guarded: Vec<&'static str>,
}

/// What only the asynchronous variant has, so that a call that is dropped before its end is told from one that ended.
const GUARDS: [&str; 5] = ["Io", "Io::new", "Io as BlockDevice", "Store::ready", "Store::get"];

impl<'w> Emitter<'w> {
    pub(crate) fn run(world: &'w World, plan: &'w Plan) -> String {
        let mut emitter = Self { world, plan, problems: Vec::new(), guarded: Vec::new() };
        let roots: Vec<Item> = (0..world.modules.len())
            .filter(|module| world.modules[*module].path.len() == 1)
            .map(|module| Item::Mod(emitter.module(module)))
            .collect();
        for guard in GUARDS {
            if !emitter.guarded.contains(&guard) {
                emitter
                    .problems
                    .push(format!("`{guard}` is not where it was: see `guard` in core/build/emit.rs"));
            }
        }
        assert!(
            emitter.problems.is_empty(),
            "core/build cannot make the asynchronous variant:\n{}",
            emitter.problems.join("\n")
        );
        prettyplease::unparse(&syn::File { shebang: None, attrs: Vec::new(), items: roots })
    }

    fn module(&mut self, module: usize) -> ItemMod {
        let it = &self.world.modules[module];
        let mut items = Vec::new();
        for number in 0..it.items.len() {
            items.extend(self.item((module, number, None)));
        }
        let name = Ident::new(it.path.last().map_or("", String::as_str), Span::call_site());
        let visibility = &it.visibility;
        let mut made: ItemMod = parse_quote!(#visibility mod #name {});
        made.attrs = it.attributes.clone();
        made.content = Some((syn::token::Brace::default(), items));
        made
    }

    fn item(&mut self, at: At) -> Vec<Item> {
        let original = &self.world.modules[at.0].items[at.1];
        if let Some(path) = self.plan.shared.get(&at) {
            return vec![shared(original, path)];
        }
        let mut item = original.clone();
        match &mut item {
            Item::Mod(it) if it.content.is_none() => {
                let mut path = self.world.modules[at.0].path.clone();
                path.push(it.ident.to_string());
                let Some(below) = self.world.modules.iter().position(|it| it.path == path) else {
                    return Vec::new();
                };
                let mut made = self.module(below);
                made.attrs.splice(0..0, it.attrs.iter().cloned());
                return vec![Item::Mod(made)];
            }
            Item::Use(it) => return self.uses(it),
            Item::Impl(it) => {
                let of = self.world.type_of(&it.self_ty, at.0).map(|id| self.world.types[id].at);
                if of.is_some_and(|of| self.plan.shared.contains_key(&of)) {
                    return Vec::new();
                }
                for (part, method) in it.items.iter_mut().enumerate() {
                    if let ImplItem::Fn(method) = method {
                        let at = (at.0, at.1, Some(part));
                        self.function(at, &mut method.sig, Some(&mut method.block));
                    }
                }
            }
            Item::Trait(it) => {
                if it.ident == "BlockDevice" {
                    let text = IF_DROPPED.map(|line| -> Attribute { parse_quote!(#[doc = #line]) });
                    it.attrs.extend(text);
                }
                for (part, method) in it.items.iter_mut().enumerate() {
                    if let TraitItem::Fn(method) = method {
                        let at = (at.0, at.1, Some(part));
                        self.function(at, &mut method.sig, method.default.as_mut());
                    }
                }
            }
            Item::Fn(it) => self.function(at, &mut it.sig, Some(&mut it.block)),
            Item::Struct(it) => self.guard_struct(it),
            _ => {}
        }
        Paths.visit_item_mut(&mut item);
        vec![item]
    }

    /// Makes a function one that waits, if it is.
    fn function(&mut self, at: At, signature: &mut Signature, body: Option<&mut Block>) {
        let function = self.world.by_place[&at];
        let waiting = &self.plan.waiting;
        if let (Some(mut made), Some(body)) = (body_of(self.world, function), body) {
            let found = Walker::run(self.world, waiting, function, &mut made);
            self.problems.extend(found.problems);
            if found.waits && !waiting.functions.contains(&function) {
                self.problems
                    .push(format!("{}: it waits now and did not before", self.world.name_of(function)));
            }
            *body = made;
            self.guard(function, signature, body);
        }
        if waiting.functions.contains(&function) {
            signature.asyncness = Some(syn::token::Async::default());
            signature.constness = None;
            if let Owner::Foreign(name, _) = &self.world.functions[function].owner
                && !name.starts_with("embedded_io::")
            {
                let name = self.world.name_of(function);
                self.problems.push(format!("{name}: the trait's method cannot wait for the device"));
            }
        }
        for &(_, param) in waiting.params.iter().filter(|(id, _)| *id == function) {
            self.wait_for_param(signature, function, param);
        }
    }

    /// Makes a parameter that is a function one that is waited for.
    fn wait_for_param(&mut self, signature: &mut Signature, function: usize, param: usize) {
        let typed = signature.inputs.iter_mut().filter_map(|input| match input {
            syn::FnArg::Typed(input) => Some(&mut *input.ty),
            syn::FnArg::Receiver(_) => None,
        });
        let renamed = match typed.into_iter().nth(param) {
            Some(Type::ImplTrait(of)) => rename_callable(of.bounds.iter_mut()),
            Some(Type::Path(path)) => {
                let name = path.path.get_ident().cloned();
                let mut params = signature.generics.type_params_mut();
                params
                    .find(|it| Some(&it.ident) == name.as_ref())
                    .is_some_and(|it| rename_callable(it.bounds.iter_mut()))
            }
            _ => false,
        };
        if !renamed {
            let name = self.world.name_of(function);
            self.problems
                .push(format!("{name}: parameter {param} is a function, of what kind is not understood"));
        }
    }

    fn uses(&self, item: &ItemUse) -> Vec<Item> {
        let each = leaves(&item.tree).into_iter().map(|mut leaf| {
            moved(&mut leaf.path);
            let tree = use_tree(&leaf);
            let (attributes, visibility) = (&item.attrs, &item.vis);
            parse_quote!(#(#attributes)* #visibility use #tree;)
        });
        each.collect()
    }
}

// What only the asynchronous variant has. A future may be dropped while it waits for the device. Whether what it leaves
// behind in memory can be gone on with is known by the device's call that it waited for, and by the store's:
//
// * `Io` is poisoned for as long as the device writes, grows or syncs, and for as long as it reads for a call that
//   changes the store. Where the call ends, it is what it was before.
// * `Io::changing` says what kind of call it is: `Store::ready`, with which each call begins that changes something,
//   sets it, and those that read take it back.
impl Emitter<'_> {
    fn guard_struct(&mut self, item: &mut ItemStruct) {
        if item.ident == "Io"
            && let syn::Fields::Named(fields) = &mut item.fields
        {
            fields.named.push(parse_quote!(
                /// Whether the call under way leaves the store half changed if it is dropped.
                pub(crate) changing: bool
            ));
            self.guarded.push("Io");
        }
    }

    fn guard(&mut self, function: usize, signature: &mut Signature, body: &mut Block) {
        let it = &self.world.functions[function];
        let of = match it.owner {
            Owner::Type(id) | Owner::Impl(_, Some(id)) => self.world.types[id].name.as_str(),
            _ => return,
        };
        match (of, &it.owner, it.name.as_str()) {
            ("Io", Owner::Type(_), "new") => {
                if let Some(Stmt::Expr(Expr::Struct(made), None)) = body.stmts.last_mut() {
                    made.fields.push(parse_quote!(changing: true));
                    self.guarded.push("Io::new");
                }
            }
            ("Io", Owner::Impl(..), name) if self.plan.is_of_device(self.world, function) => {
                let reads = matches!(name, "read" | "length");
                Calls { reads }.visit_block_mut(body);
                self.guarded.push("Io as BlockDevice");
            }
            ("Store", Owner::Type(_), "ready") => {
                if let Some(syn::FnArg::Receiver(receiver)) = signature.inputs.first_mut() {
                    *receiver = parse_quote!(&mut self);
                    body.stmts.insert(0, parse_quote!(self.io.changing = true;));
                    self.guarded.push("Store::ready");
                }
            }
            ("Store" | "BlockReader", Owner::Type(_), name) if it.public && self.only_reads(function) => {
                let mark: Stmt = match of {
                    "Store" => parse_quote!(self.io.changing = false;),
                    _ => parse_quote!(self.store.io.changing = false;),
                };
                body.stmts.insert(0, mark);
                if name == "get" {
                    self.guarded.push("Store::get");
                }
            }
            _ => {}
        }
    }

    /// Whether a method waits and changes nothing of the store.
    fn only_reads(&self, function: usize) -> bool {
        let world = self.world;
        let ready = |id: &usize| {
            let it = &world.functions[*id];
            it.name == "ready" && matches!(it.owner, Owner::Type(of) if world.types[of].name == "Store")
        };
        self.plan.waiting.functions.contains(&function)
            && world.functions[function].signature.receiver().is_some()
            && !self.plan.reached(world, function).iter().any(ready)
    }
}

/// Poisons for as long as the device is waited for.
struct Calls {
    reads: bool,
}

impl VisitMut for Calls {
    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        if let Expr::Await(call) = expr {
            let poisoned: Expr =
                if self.reads { parse_quote!(self.poisoned || self.changing) } else { parse_quote!(true) };
            *expr = parse_quote!({
                let before = self.poisoned;
                self.poisoned = #poisoned;
                let result = #call;
                self.poisoned = before;
                result
            });
            return;
        }
        syn::visit_mut::visit_expr_mut(self, expr);
    }
}

/// A `use` of what is shared.
fn shared(item: &Item, path: &[String]) -> Item {
    let (visibility, attributes): (_, &[Attribute]) = match item {
        Item::Const(it) => (&it.vis, &it.attrs),
        Item::Enum(it) => (&it.vis, &it.attrs),
        Item::Fn(it) => (&it.vis, &it.attrs),
        Item::Struct(it) => (&it.vis, &it.attrs),
        Item::Trait(it) => (&it.vis, &it.attrs),
        Item::Type(it) => (&it.vis, &it.attrs),
        other => panic!("cannot be shared: {}", other.to_token_stream()),
    };
    let tree = use_tree(&Leaf { path: path.to_vec(), renamed: None });
    let cfgs = attributes.iter().filter(|it| it.path().is_ident("cfg"));
    parse_quote!(#(#cfgs)* #visibility use #tree;)
}

fn use_tree(leaf: &Leaf) -> UseTree {
    let text = leaf.path.join("::");
    let text = match &leaf.renamed {
        Some(name) => format!("{text} as {name}"),
        None => text,
    };
    syn::parse_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn rename_callable<'b>(mut bounds: impl Iterator<Item = &'b mut TypeParamBound>) -> bool {
    bounds.any(|bound| {
        let TypeParamBound::Trait(bound) = bound else { return false };
        let Some(last) = bound.path.segments.last_mut() else { return false };
        let name = last.ident.to_string();
        if name.starts_with("Fn") {
            last.ident = Ident::new(&format!("Async{name}"), Span::call_site());
        }
        name.starts_with("Fn")
    })
}

/// Where a path of the engine leads in the variant.
fn moved(path: &mut Vec<String>) {
    let made =
        |name: &String| crate::ROOTS.contains(&name.as_str()) || name == "BlockDevice" || name == "Store";
    match path.as_mut_slice() {
        [first, second, ..] if first == "crate" && made(second) => {
            path.splice(1..1, HERE.map(str::to_string));
        }
        [first, ..] if first == "embedded_io" => *first = "embedded_io_async".to_string(),
        _ => {}
    }
}

struct Paths;

impl VisitMut for Paths {
    fn visit_path_mut(&mut self, path: &mut Path) {
        let before = path_names(path);
        let mut after = before.clone();
        moved(&mut after);
        if after.len() > before.len() {
            let mut segments = syn::punctuated::Punctuated::new();
            for (at, segment) in path.segments.iter().enumerate() {
                segments.push(segment.clone());
                if at == 0 {
                    segments
                        .extend(HERE.map(|name| syn::PathSegment::from(Ident::new(name, Span::call_site()))));
                }
            }
            path.segments = segments;
        } else if after != before
            && let Some(first) = path.segments.first_mut()
        {
            first.ident = Ident::new(&after[0], first.ident.span());
        }
        syn::visit_mut::visit_path_mut(self, path);
    }
}
