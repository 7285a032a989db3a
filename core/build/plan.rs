//! What has to be waited for, and what of the engine the asynchronous variant needs anew.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::Visit;
use syn::{Block, ImplItem, Item, ReturnType, TraitItem, UseTree, Visibility};

use crate::walk::{Found, IO_METHODS, Waiting, Walker};
use crate::world::{At, Owner, World, is_public};

pub(crate) struct Plan {
    pub(crate) waiting: Waiting,
    /// Items that are used as they are: where they are, and by what path.
    pub(crate) shared: BTreeMap<At, Vec<String>>,
    calls: BTreeMap<usize, BTreeSet<usize>>,
    device: usize,
}

impl Plan {
    pub(crate) fn new(world: &World) -> Self {
        let device = world.traits.iter().position(|it| it.name == "BlockDevice");
        let device = device.unwrap_or_else(|| panic!("the trait `BlockDevice` is not there"));
        let mut plan =
            Self { waiting: seeds(world, device), shared: BTreeMap::new(), calls: BTreeMap::new(), device };
        while plan.look_once_more(world) {}
        plan.refuse_recursion(world);
        plan.share(world);
        plan
    }

    /// Walks through all functions with what is known; whether more is known now.
    fn look_once_more(&mut self, world: &World) -> bool {
        let before = self.waiting.clone();
        for function in 0..world.functions.len() {
            let Some(mut body) = body_of(world, function) else { continue };
            let Found { waits, params, calls, .. } = Walker::run(world, &before, function, &mut body);
            if waits {
                self.waiting.functions.insert(function);
            }
            self.waiting.params.extend(params);
            self.calls.insert(function, calls);
        }
        // A trait's method and what types make of it are one.
        for (function, it) in world.functions.iter().enumerate() {
            let Owner::Impl(of, _) = it.owner else { continue };
            let declared = world
                .functions
                .iter()
                .position(|other| other.owner == Owner::Trait(of) && other.name == it.name)
                .unwrap_or_else(|| panic!("{}: the trait has no such method", world.name_of(function)));
            if self.waiting.functions.contains(&declared) {
                self.waiting.functions.insert(function);
            } else if self.waiting.functions.contains(&function) {
                self.waiting.functions.insert(declared);
            }
        }
        self.waiting != before
    }

    /// Functions that a call of one may lead to, itself included. A device's own functions lead nowhere.
    pub(crate) fn reached(&self, world: &World, function: usize) -> BTreeSet<usize> {
        let (mut reached, mut next) = (BTreeSet::from([function]), vec![function]);
        while let Some(at) = next.pop() {
            let mut below = self.calls.get(&at).cloned().unwrap_or_default();
            if let Owner::Trait(of) = world.functions[at].owner
                && of != self.device
            {
                let name = &world.functions[at].name;
                let made = world.functions.iter().enumerate();
                below.extend(
                    made.filter(|(_, it)| {
                        matches!(it.owner, Owner::Impl(id, _) if id == of) && it.name == *name
                    })
                    .map(|(id, _)| id),
                );
            }
            next.extend(below.into_iter().filter(|it| reached.insert(*it)));
        }
        reached
    }

    fn refuse_recursion(&self, world: &World) {
        for &function in &self.waiting.functions {
            for &below in self.calls.get(&function).into_iter().flatten() {
                let again =
                    self.waiting.functions.contains(&below) && self.reached(world, below).contains(&function);
                assert!(
                    !again,
                    "{} leads back to itself by way of {}: a future cannot hold itself; make a loop of it",
                    world.name_of(function),
                    world.name_of(below)
                );
            }
        }
    }

    /// Whether a method is the device's.
    pub(crate) fn is_of_device(&self, world: &World, function: usize) -> bool {
        matches!(world.functions[function].owner, Owner::Trait(of) | Owner::Impl(of, _) if of == self.device)
    }

    /// Finds what can be used as it is: what everybody sees, and nothing of which waits.
    fn share(&mut self, world: &World) {
        let mut anew: BTreeSet<At> = BTreeSet::new();
        for &function in &self.waiting.functions {
            let (module, item, part) = world.functions[function].at;
            match &world.functions[function].owner {
                Owner::Type(id) | Owner::Impl(_, Some(id)) | Owner::Foreign(_, Some(id)) => {
                    anew.insert(world.types[*id].at);
                }
                Owner::Trait(id) => {
                    anew.insert(world.traits[*id].at);
                }
                Owner::Nobody => {
                    anew.insert((module, item, part));
                }
                Owner::Impl(_, None) | Owner::Foreign(_, None) => {}
            }
        }
        loop {
            let before = anew.len();
            for at in items(world) {
                if anew.contains(&at) {
                    continue;
                }
                let item = &world.modules[at.0].items[at.1];
                let visible = shown(world, at).is_some();
                let mut names = Names::default();
                match item {
                    // Of a type what it holds counts, and whether everybody sees it.
                    Item::Struct(it) if visible && is_public(&it.vis) => names.visit_fields(&it.fields),
                    Item::Enum(it) if visible && is_public(&it.vis) => names.visit_item_enum(it),
                    Item::Trait(it) if visible && is_public(&it.vis) => names.visit_item_trait(it),
                    Item::Fn(it) if visible => names.visit_signature(&it.sig),
                    Item::Const(_) | Item::Type(_) if visible => names.visit_item(item),
                    Item::Struct(_)
                    | Item::Enum(_)
                    | Item::Trait(_)
                    | Item::Fn(_)
                    | Item::Const(_)
                    | Item::Type(_) => {
                        anew.insert(at);
                        continue;
                    }
                    _ => continue,
                }
                let needs = names.0.iter().any(|path| {
                    let ty = world.find_type(at.0, path).map(|id| world.types[id].at);
                    let of = world.find_trait(at.0, path).map(|id| world.traits[id].at);
                    ty.into_iter().chain(of).any(|found| anew.contains(&found))
                });
                if needs {
                    anew.insert(at);
                }
            }
            if anew.len() == before {
                break;
            }
        }
        let shared = items(world).into_iter().filter(|at| !anew.contains(at));
        self.shared = shared.filter_map(|at| shown(world, at).map(|path| (at, path))).collect();
    }
}

/// What the device itself makes one wait for: its methods that can fail.
fn seeds(world: &World, device: usize) -> Waiting {
    let methods = world.functions.iter().enumerate().filter(|(_, it)| it.owner == Owner::Trait(device));
    let fails = methods.filter(|(_, it)| match &it.signature.output {
        ReturnType::Type(_, of) => matches!(&**of, syn::Type::Path(path)
            if path.path.segments.last().is_some_and(|last| last.ident == "Result")),
        ReturnType::Default => false,
    });
    // And what the engine gives to those of `embedded-io`, where one waits.
    let given = world.functions.iter().enumerate().filter(|(_, it)| {
        matches!(&it.owner, Owner::Foreign(name, _) if name.starts_with("embedded_io::"))
            && IO_METHODS.contains(&it.name.as_str())
    });
    Waiting { functions: fails.chain(given).map(|(id, _)| id).collect(), params: BTreeSet::new() }
}

/// A copy of a function's body.
pub(crate) fn body_of(world: &World, function: usize) -> Option<Block> {
    let (module, item, part) = world.functions[function].at;
    match (&world.modules[module].items[item], part) {
        (Item::Fn(it), None) => Some((*it.block).clone()),
        (Item::Impl(it), Some(part)) => match &it.items[part] {
            ImplItem::Fn(it) => Some(it.block.clone()),
            _ => None,
        },
        (Item::Trait(it), Some(part)) => match &it.items[part] {
            TraitItem::Fn(it) => it.default.clone(),
            _ => None,
        },
        _ => None,
    }
}

fn items(world: &World) -> Vec<At> {
    let modules = world.modules.iter().enumerate();
    modules.flat_map(|(module, it)| (0..it.items.len()).map(move |item| (module, item, None))).collect()
}

fn name_of(item: &Item) -> Option<(String, &Visibility)> {
    Some(match item {
        Item::Const(it) => (it.ident.to_string(), &it.vis),
        Item::Enum(it) => (it.ident.to_string(), &it.vis),
        Item::Fn(it) => (it.sig.ident.to_string(), &it.vis),
        Item::Struct(it) => (it.ident.to_string(), &it.vis),
        Item::Trait(it) => (it.ident.to_string(), &it.vis),
        Item::Type(it) => (it.ident.to_string(), &it.vis),
        _ => return None,
    })
}

fn in_crate(visibility: &Visibility) -> bool {
    match visibility {
        Visibility::Public(_) => true,
        Visibility::Restricted(it) => it.path.is_ident("crate"),
        Visibility::Inherited => false,
    }
}

/// The path by which the whole crate sees an item, if it does.
fn shown(world: &World, at: At) -> Option<Vec<String>> {
    let (name, visibility) = name_of(&world.modules[at.0].items[at.1])?;
    if !in_crate(visibility) {
        return None;
    }
    let mut path = world.modules[at.0].path.clone();
    while path.len() > 1 {
        let module = world.modules.iter().find(|it| it.path == path)?;
        let parent = path.split_last().map(|(_, parent)| parent.to_vec())?;
        if !in_crate(&module.visibility) {
            let above = world.modules.iter().find(|it| it.path == parent)?;
            let shows = above.items.iter().any(|item| match item {
                Item::Use(it) => {
                    in_crate(&it.vis) && leaves(&it.tree).iter().any(|leaf| leaf.path.last() == Some(&name))
                }
                _ => false,
            });
            if !shows {
                return None;
            }
        }
        path = parent;
        // Shown one level up by its name alone: from there on that counts.
    }
    let mut shortest = world.modules[at.0].path.clone();
    while shortest.len() > 1 && !in_crate(&world.modules.iter().find(|it| it.path == shortest)?.visibility) {
        shortest.pop();
    }
    Some(["crate".to_string()].into_iter().chain(shortest).chain([name]).collect())
}

/// One name that a `use` brings.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) path: Vec<String>,
    pub(crate) renamed: Option<String>,
}

pub(crate) fn leaves(tree: &UseTree) -> Vec<Leaf> {
    match tree {
        UseTree::Path(it) => leaves(&it.tree)
            .into_iter()
            .map(|leaf| Leaf { path: [it.ident.to_string()].into_iter().chain(leaf.path).collect(), ..leaf })
            .collect(),
        UseTree::Name(it) if it.ident == "self" => vec![Leaf { path: Vec::new(), renamed: None }],
        UseTree::Name(it) => vec![Leaf { path: vec![it.ident.to_string()], renamed: None }],
        UseTree::Rename(it) => {
            vec![Leaf { path: vec![it.ident.to_string()], renamed: Some(it.rename.to_string()) }]
        }
        UseTree::Group(it) => it.items.iter().flat_map(leaves).collect(),
        UseTree::Glob(_) => panic!("everything of another module is used"),
    }
}

/// The paths in a piece of source.
#[derive(Default)]
struct Names(Vec<Vec<String>>);

impl Visit<'_> for Names {
    fn visit_path(&mut self, path: &syn::Path) {
        self.0.push(crate::world::path_names(path));
        syn::visit::visit_path(self, path);
    }

    fn visit_type_path(&mut self, of: &syn::TypePath) {
        if let Some(qself) = &of.qself {
            // `<S as Trait>::Of`: the trait counts.
            self.0.push(crate::world::path_names(&of.path).into_iter().take(qself.position).collect());
        }
        syn::visit::visit_type_path(self, of);
    }
}
