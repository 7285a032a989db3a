//! What the engine's modules define, and what a name means in one of them.

use std::collections::{BTreeMap, HashMap};

use syn::{
    Fields, FnArg, GenericParam, Generics, ImplItem, Item, ReturnType, Signature, TraitItem, Type,
    TypeParamBound, UseTree, Visibility, WherePredicate,
};

use crate::source::Module;

/// Where something is defined: module, item, and the item's part.
pub(crate) type At = (usize, usize, Option<usize>);

/// A struct or an enum.
pub(crate) struct TypeDef {
    pub(crate) at: At,
    pub(crate) name: String,
    pub(crate) params: Vec<String>,
    pub(crate) fields: HashMap<String, Type>,
}

pub(crate) struct TraitDef {
    pub(crate) at: At,
    pub(crate) name: String,
    above: Vec<String>,
}

pub(crate) struct AliasDef {
    at: At,
    name: String,
    params: Vec<String>,
    to: Type,
}

/// Whose a function is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Nobody,
    Type(usize),
    Trait(usize),
    /// A method of one of our traits, for a type or something else.
    Impl(usize, Option<usize>),
    /// A method of a foreign trait.
    Foreign(String, Option<usize>),
}

pub(crate) struct FnDef {
    pub(crate) at: At,
    pub(crate) name: String,
    pub(crate) owner: Owner,
    pub(crate) signature: Signature,
    pub(crate) public: bool,
    /// Generics of the impl or trait around it.
    outer: Generics,
    self_type: Option<Type>,
}

/// What is known of the type of an expression. References are looked through.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ty {
    Unknown,
    /// Defined elsewhere.
    Foreign,
    Of(usize, Vec<Ty>),
    /// Of these traits.
    Bound(Vec<Bound>),
    Tuple(Vec<Ty>),
    /// An Option or a Result of it.
    Wrap(Box<Ty>),
    /// A function that was handed in as this parameter.
    Callable(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bound {
    Trait(usize),
    /// A trait of `embedded-io`.
    Io(String),
}

/// What names mean at some place.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) module: usize,
    pub(crate) self_type: Ty,
    pub(crate) params: HashMap<String, Ty>,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) modules: Vec<Module>,
    pub(crate) types: Vec<TypeDef>,
    pub(crate) traits: Vec<TraitDef>,
    aliases: Vec<AliasDef>,
    pub(crate) functions: Vec<FnDef>,
    pub(crate) by_place: HashMap<At, usize>,
    /// Of each module: a name that it uses, and where that is from.
    uses: Vec<BTreeMap<String, Vec<String>>>,
}

pub(crate) fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

impl World {
    pub(crate) fn new(modules: Vec<Module>) -> Self {
        let mut world = Self { modules, ..Self::default() };
        for module in 0..world.modules.len() {
            let mut uses = BTreeMap::new();
            for item in &world.modules[module].items {
                if let Item::Use(item) = item {
                    world.note_use(module, &item.tree, Vec::new(), &mut uses);
                }
            }
            world.uses.push(uses);
        }
        world.define_types();
        world.define_functions();
        world
    }

    fn each_item(&self) -> impl Iterator<Item = (At, &Item)> {
        let items = |module: usize| self.modules[module].items.iter().enumerate();
        (0..self.modules.len())
            .flat_map(move |module| items(module).map(move |(item, it)| ((module, item, None), it)))
    }

    fn define_types(&mut self) {
        let (mut types, mut traits, mut aliases) = (Vec::new(), Vec::new(), Vec::new());
        for (at, item) in self.each_item() {
            match item {
                Item::Struct(item) => {
                    let fields = fields_of(&item.fields);
                    types.push(TypeDef {
                        at,
                        name: item.ident.to_string(),
                        params: params_of(&item.generics),
                        fields,
                    });
                }
                Item::Enum(item) => {
                    let name = item.ident.to_string();
                    types.push(TypeDef {
                        at,
                        name,
                        params: params_of(&item.generics),
                        fields: HashMap::new(),
                    });
                }
                Item::Trait(item) => {
                    let above = item.supertraits.iter().filter_map(bound_name).collect();
                    traits.push(TraitDef { at, name: item.ident.to_string(), above });
                }
                Item::Type(item) => aliases.push(AliasDef {
                    at,
                    name: item.ident.to_string(),
                    params: params_of(&item.generics),
                    to: (*item.ty).clone(),
                }),
                _ => {}
            }
        }
        (self.types, self.traits, self.aliases) = (types, traits, aliases);
    }

    fn define_functions(&mut self) {
        let mut functions = Vec::new();
        for (at, item) in self.each_item() {
            let (module, number, _) = at;
            match item {
                Item::Fn(item) => functions.push(FnDef {
                    at,
                    name: item.sig.ident.to_string(),
                    owner: Owner::Nobody,
                    signature: item.sig.clone(),
                    public: is_public(&item.vis),
                    outer: Generics::default(),
                    self_type: None,
                }),
                Item::Trait(item) => {
                    let owner = self.traits.iter().position(|it| it.at == at);
                    let owner = Owner::Trait(owner.unwrap_or_else(|| panic!("trait {}", item.ident)));
                    for (part, method) in item.items.iter().enumerate() {
                        let TraitItem::Fn(method) = method else { continue };
                        functions.push(FnDef {
                            at: (module, number, Some(part)),
                            name: method.sig.ident.to_string(),
                            owner: owner.clone(),
                            signature: method.sig.clone(),
                            public: true,
                            outer: item.generics.clone(),
                            self_type: None,
                        });
                    }
                }
                Item::Impl(item) => {
                    let of = self.type_of(&item.self_ty, module);
                    let owner = match &item.trait_ {
                        None => Owner::Type(
                            of.unwrap_or_else(|| panic!("a type that is not defined in its module's tree")),
                        ),
                        Some((_, path, _)) => match self.find_trait(module, &path_names(path)) {
                            Some(ours) => Owner::Impl(ours, of),
                            None => Owner::Foreign(path_names(path).join("::"), of),
                        },
                    };
                    for (part, method) in item.items.iter().enumerate() {
                        let ImplItem::Fn(method) = method else { continue };
                        functions.push(FnDef {
                            at: (module, number, Some(part)),
                            name: method.sig.ident.to_string(),
                            owner: owner.clone(),
                            signature: method.sig.clone(),
                            public: is_public(&method.vis),
                            outer: item.generics.clone(),
                            self_type: Some((*item.self_ty).clone()),
                        });
                    }
                }
                _ => {}
            }
        }
        self.by_place = functions.iter().enumerate().map(|(id, it)| (it.at, id)).collect();
        self.functions = functions;
    }

    /// The type that an impl is of, if it is defined here.
    pub(crate) fn type_of(&self, of: &Type, module: usize) -> Option<usize> {
        match of {
            Type::Path(path) => self.find_type(module, &path_names(&path.path)),
            _ => None,
        }
    }

    fn note_use(
        &self,
        module: usize,
        tree: &UseTree,
        mut before: Vec<String>,
        into: &mut BTreeMap<String, Vec<String>>,
    ) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.note_use(module, &path.tree, before, into);
            }
            UseTree::Name(name) if name.ident == "self" => {
                if let Some(last) = before.last().cloned() {
                    into.insert(last, self.absolute(module, &before));
                }
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                before.push(name.clone());
                into.insert(name, self.absolute(module, &before));
            }
            UseTree::Rename(rename) => {
                before.push(rename.ident.to_string());
                into.insert(rename.rename.to_string(), self.absolute(module, &before));
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.note_use(module, tree, before.clone(), into);
                }
            }
            UseTree::Glob(_) => {
                panic!("module `{}` uses everything of another", self.modules[module].path.join("::"))
            }
        }
    }

    /// A path as it stands in a module, from the crate's root; what is another crate's begins with `::`.
    fn absolute(&self, module: usize, path: &[String]) -> Vec<String> {
        let here = &self.modules[module].path;
        let Some(first) = path.first() else { return Vec::new() };
        let rest = path.get(1..).unwrap_or_default();
        let below = |name: &String| {
            let below: Vec<String> = here.iter().cloned().chain([name.clone()]).collect();
            self.modules.iter().any(|it| it.path == below)
        };
        let from: Vec<String> = match first.as_str() {
            "crate" => Vec::new(),
            "self" => here.clone(),
            "super" => here.split_last().map(|(_, parent)| parent.to_vec()).unwrap_or_default(),
            _ if below(first) => here.iter().chain([first]).cloned().collect(),
            _ => match self.uses.get(module).and_then(|uses| uses.get(first)) {
                Some(known) => known.clone(),
                None => vec!["::".to_string(), first.clone()],
            },
        };
        from.iter().chain(rest).cloned().collect()
    }

    /// What a path in a module names, of the things defined at `at` under `name`.
    fn find<'d>(
        &self,
        module: usize,
        path: &[String],
        mut defined: impl Iterator<Item = (usize, At, &'d str)> + Clone,
    ) -> Option<usize> {
        let name = path.last()?;
        if path.len() == 1
            && let Some((id, ..)) = defined.clone().find(|(_, at, found)| at.0 == module && found == name)
        {
            return Some(id);
        }
        let full = match path {
            [one] => self.uses.get(module)?.get(one)?.clone(),
            _ => self.absolute(module, path),
        };
        let (name, from) = full.split_last()?;
        // It may be shown further up than it is defined.
        defined
            .find(|(_, at, found)| *found == name && self.modules[at.0].path.starts_with(from))
            .map(|(id, ..)| id)
    }

    pub(crate) fn find_type(&self, module: usize, path: &[String]) -> Option<usize> {
        self.find(module, path, self.types.iter().enumerate().map(|(id, it)| (id, it.at, it.name.as_str())))
    }

    pub(crate) fn find_trait(&self, module: usize, path: &[String]) -> Option<usize> {
        self.find(module, path, self.traits.iter().enumerate().map(|(id, it)| (id, it.at, it.name.as_str())))
    }

    fn find_alias(&self, module: usize, path: &[String]) -> Option<usize> {
        self.find(module, path, self.aliases.iter().enumerate().map(|(id, it)| (id, it.at, it.name.as_str())))
    }

    pub(crate) fn find_free(&self, module: usize, path: &[String]) -> Option<usize> {
        let free = self.functions.iter().enumerate().filter(|(_, it)| it.owner == Owner::Nobody);
        self.find(module, path, free.map(|(id, it)| (id, it.at, it.name.as_str())))
    }

    /// What names mean in a function; `outer` is what is known of the impl's parameters from where it is called.
    pub(crate) fn context(&self, function: usize, receiver: Option<&Ty>) -> Context {
        let it = &self.functions[function];
        let mut context = Context { module: it.at.0, self_type: Ty::Unknown, params: HashMap::new() };
        self.take_generics(&it.outer, &mut context);
        context.self_type = match (&it.owner, &it.self_type) {
            (Owner::Trait(id), _) => Ty::Bound(vec![Bound::Trait(*id)]),
            (_, Some(of)) => self.ty(of, &context),
            _ => Ty::Unknown,
        };
        if let (Some(Ty::Of(_, known)), Ty::Of(id, declared)) = (receiver, context.self_type.clone()) {
            // `impl<D: …> Io<D>`, called on an `Io<X>`: D is X.
            if let Some(Type::Path(path)) = &it.self_type {
                for (name, known) in type_arguments(&path.path).zip(known) {
                    if let (Type::Path(name), false) = (name, *known == Ty::Unknown) {
                        context.params.insert(path_names(&name.path).join("::"), known.clone());
                    }
                }
            }
            let merged = declared.iter().enumerate().map(|(at, declared)| match known.get(at) {
                Some(known) if *known != Ty::Unknown => known.clone(),
                _ => declared.clone(),
            });
            context.self_type = Ty::Of(id, merged.collect());
        }
        self.take_generics(&it.signature.generics, &mut context);
        context
    }

    fn take_generics(&self, generics: &Generics, context: &mut Context) {
        for param in &generics.params {
            if let GenericParam::Type(param) = param {
                let bounds = self.bounds(param.bounds.iter(), context.module);
                context.params.insert(param.ident.to_string(), bounds);
            }
        }
        for predicate in generics.where_clause.iter().flat_map(|it| &it.predicates) {
            if let WherePredicate::Type(predicate) = predicate
                && let Type::Path(path) = &predicate.bounded_ty
                && let Some(name) = path.path.get_ident()
            {
                let bounds = self.bounds(predicate.bounds.iter(), context.module);
                context.params.insert(name.to_string(), bounds);
            }
        }
    }

    fn bounds<'b>(&self, bounds: impl Iterator<Item = &'b TypeParamBound>, module: usize) -> Ty {
        let mut known = Vec::new();
        for bound in bounds {
            let TypeParamBound::Trait(bound) = bound else { continue };
            let names = path_names(&bound.path);
            if let Some(ours) = self.find_trait(module, &names) {
                known.push(Bound::Trait(ours));
            } else if let [first, second] = self.full(module, &names).as_slice()
                && first == "embedded_io"
            {
                known.push(Bound::Io(second.clone()));
            }
        }
        if known.is_empty() { Ty::Foreign } else { Ty::Bound(known) }
    }

    /// A path of another crate in full.
    fn full(&self, module: usize, path: &[String]) -> Vec<String> {
        let full = match path {
            [one] => self.uses[module].get(one).cloned().unwrap_or_else(|| path.to_vec()),
            _ => path.to_vec(),
        };
        full.into_iter().filter(|name| name != "::").collect()
    }

    pub(crate) fn ty(&self, of: &Type, context: &Context) -> Ty {
        match of {
            Type::Reference(of) => self.ty(&of.elem, context),
            Type::Paren(of) => self.ty(&of.elem, context),
            Type::Group(of) => self.ty(&of.elem, context),
            Type::Tuple(of) => Ty::Tuple(of.elems.iter().map(|it| self.ty(it, context)).collect()),
            Type::ImplTrait(of) => self.bounds(of.bounds.iter(), context.module),
            Type::Path(of) if of.qself.is_none() => {
                let names = path_names(&of.path);
                let arguments = || type_arguments(&of.path).map(|it| self.ty(it, context));
                if let [name] = names.as_slice() {
                    if name == "Self" {
                        return context.self_type.clone();
                    }
                    if let Some(known) = context.params.get(name) {
                        return known.clone();
                    }
                    if name == "Option" || name == "Result" {
                        return Ty::Wrap(Box::new(arguments().next().unwrap_or(Ty::Unknown)));
                    }
                }
                if let Some(id) = self.find_type(context.module, &names) {
                    return Ty::Of(id, arguments().collect());
                }
                if let Some(id) = self.find_alias(context.module, &names) {
                    let alias = &self.aliases[id];
                    let params = alias.params.iter().cloned().zip(arguments()).collect();
                    let context = Context { module: alias.at.0, self_type: Ty::Unknown, params };
                    return self.ty(&alias.to, &context);
                }
                Ty::Foreign
            }
            _ => Ty::Foreign,
        }
    }

    /// What a function returns when it is called on `receiver`.
    pub(crate) fn returns(&self, function: usize, receiver: Option<&Ty>) -> Ty {
        match &self.functions[function].signature.output {
            ReturnType::Default => Ty::Foreign,
            ReturnType::Type(_, of) => self.ty(of, &self.context(function, receiver)),
        }
    }

    /// The type of a field.
    pub(crate) fn field(&self, of: &Ty, name: &str) -> Ty {
        match of {
            Ty::Of(id, arguments) => {
                let it = &self.types[*id];
                let params = it.params.iter().cloned().zip(arguments.iter().cloned());
                let context = Context {
                    module: it.at.0,
                    self_type: of.clone(),
                    params: it.params.iter().map(|name| (name.clone(), Ty::Unknown)).chain(params).collect(),
                };
                it.fields.get(name).map_or(Ty::Unknown, |field| self.ty(field, &context))
            }
            Ty::Tuple(parts) => {
                name.parse().ok().and_then(|at: usize| parts.get(at)).cloned().unwrap_or(Ty::Unknown)
            }
            Ty::Foreign => Ty::Foreign,
            _ => Ty::Unknown,
        }
    }

    /// A method by its name, as Rust looks for it: of the type, else of a trait.
    pub(crate) fn method(&self, receiver: &Ty, name: &str) -> Option<usize> {
        let mut named = self.functions.iter().enumerate().filter(|(_, it)| it.name == name);
        match receiver {
            Ty::Of(id, _) => named
                .clone()
                .find(|(_, it)| it.owner == Owner::Type(*id))
                .or_else(|| named.find(|(_, it)| matches!(it.owner, Owner::Impl(_, of) | Owner::Foreign(_, of) if of == Some(*id))))
                .map(|(id, _)| id),
            Ty::Bound(bounds) => {
                let mut traits: Vec<usize> = bounds
                    .iter()
                    .filter_map(|bound| match bound {
                        Bound::Trait(id) => Some(*id),
                        Bound::Io(_) => None,
                    })
                    .collect();
                let mut at = 0;
                while let Some(&id) = traits.get(at) {
                    let above = self.traits[id].above.iter();
                    traits.extend(above.filter_map(|name| self.find_trait(self.traits[id].at.0, std::slice::from_ref(name))));
                    at += 1;
                }
                named.find(|(_, it)| traits.iter().any(|id| it.owner == Owner::Trait(*id))).map(|(id, _)| id)
            }
            _ => None,
        }
    }

    /// The types of the arguments that a function calls its parameter `at` with, if that is a function itself.
    pub(crate) fn called_with(&self, function: usize, at: usize, receiver: Option<&Ty>) -> Option<Vec<Ty>> {
        let context = self.context(function, receiver);
        let of = self.parameter(function, at)?;
        let bounds: Vec<&TypeParamBound> = match of {
            Type::ImplTrait(of) => of.bounds.iter().collect(),
            Type::Path(path) => {
                let name = path.path.get_ident()?;
                let generics = &self.functions[function].signature.generics;
                generics.type_params().find(|param| param.ident == *name)?.bounds.iter().collect()
            }
            _ => return None,
        };
        bounds.into_iter().find_map(|bound| {
            let TypeParamBound::Trait(bound) = bound else { return None };
            let last = bound.path.segments.last()?;
            let syn::PathArguments::Parenthesized(with) = &last.arguments else { return None };
            Some(with.inputs.iter().map(|it| self.ty(it, &context)).collect())
        })
    }

    /// The type of parameter `at`, besides the receiver.
    pub(crate) fn parameter(&self, function: usize, at: usize) -> Option<&Type> {
        let typed = self.functions[function].signature.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(input) => Some(&*input.ty),
            FnArg::Receiver(_) => None,
        });
        typed.into_iter().nth(at)
    }

    /// A function's name for people.
    pub(crate) fn name_of(&self, function: usize) -> String {
        let it = &self.functions[function];
        let module = self.modules[it.at.0].path.join("::");
        match &it.owner {
            Owner::Nobody => format!("{module}::{}", it.name),
            Owner::Type(id) => format!("{module}: {}::{}", self.types[*id].name, it.name),
            Owner::Trait(id) => format!("{module}: {}::{}", self.traits[*id].name, it.name),
            Owner::Impl(id, of) => {
                let of = of.map_or("…", |of| self.types[of].name.as_str());
                format!("{module}: <{of} as {}>::{}", self.traits[*id].name, it.name)
            }
            Owner::Foreign(name, of) => {
                let of = of.map_or("…", |of| self.types[of].name.as_str());
                format!("{module}: <{of} as {name}>::{}", it.name)
            }
        }
    }
}

fn bound_name(bound: &TypeParamBound) -> Option<String> {
    match bound {
        TypeParamBound::Trait(bound) => Some(path_names(&bound.path).join("::")),
        _ => None,
    }
}

pub(crate) fn path_names(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|it| it.ident.to_string()).collect()
}

fn type_arguments(path: &syn::Path) -> impl Iterator<Item = &Type> {
    let last = path.segments.last();
    let arguments = last.and_then(|last| match &last.arguments {
        syn::PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
        _ => None,
    });
    arguments.into_iter().flatten().filter_map(|argument| match argument {
        syn::GenericArgument::Type(of) => Some(of),
        _ => None,
    })
}

fn params_of(generics: &Generics) -> Vec<String> {
    generics.type_params().map(|param| param.ident.to_string()).collect()
}

fn fields_of(fields: &Fields) -> HashMap<String, Type> {
    let named = |(at, field): (usize, &syn::Field)| {
        let name = field.ident.as_ref().map_or_else(|| at.to_string(), ToString::to_string);
        (name, field.ty.clone())
    };
    fields.iter().enumerate().map(named).collect()
}
