//! Goes through a function's body: what each call calls, and where it has to wait.
//!
//! Types are followed as far as it takes to tell one `read` from another: parameters, fields, what functions of the
//! engine return, patterns. A call whose receiver stays unknown and that could be one to be waited for is an error.

use std::collections::{BTreeSet, HashMap};

use quote::ToTokens as _;
use syn::{Block, Expr, ExprClosure, FnArg, Member, Pat, Stmt};

use crate::world::{Bound, Owner, Ty, World, path_names};

/// Which functions have to be waited for, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) functions: BTreeSet<usize>,
    /// Parameters that are functions to be waited for: the function that has it, which one it is.
    pub(crate) params: BTreeSet<(usize, usize)>,
}

/// What a walk found.
#[derive(Default)]
pub(crate) struct Found {
    /// It waits for something.
    pub(crate) waits: bool,
    pub(crate) params: BTreeSet<(usize, usize)>,
    /// Functions of the engine that it calls.
    pub(crate) calls: BTreeSet<usize>,
    pub(crate) problems: Vec<String>,
}

type Scope = HashMap<String, Ty>;

pub(crate) struct Walker<'w> {
    world: &'w World,
    waiting: &'w Waiting,
    function: usize,
    found: Found,
    /// Of the function and the closures around the place at hand: whether they wait.
    frames: Vec<bool>,
    scope: Scope,
}

/// Methods of `embedded-io` that wait in `embedded-io-async`.
pub(crate) const IO_METHODS: [&str; 9] = [
    "read",
    "read_exact",
    "write",
    "write_all",
    "flush",
    "seek",
    "rewind",
    "stream_position",
    "seek_relative",
];

/// Methods of Option and Result whose result wraps the same.
const SAME: [&str; 14] = [
    "map_err",
    "ok_or",
    "ok_or_else",
    "inspect_err",
    "filter",
    "take",
    "as_mut",
    "as_ref",
    "cloned",
    "copied",
    "or",
    "or_else",
    "ok",
    "inspect",
];

impl<'w> Walker<'w> {
    /// Walks through the body of a function, and puts `.await` where it waits.
    pub(crate) fn run(world: &'w World, waiting: &'w Waiting, function: usize, body: &mut Block) -> Found {
        let mut walker = Self {
            world,
            waiting,
            function,
            found: Found::default(),
            frames: vec![false],
            scope: Scope::new(),
        };
        let context = world.context(function, None);
        let mut at = 0;
        for input in &world.functions[function].signature.inputs {
            match input {
                FnArg::Receiver(_) => {
                    walker.scope.insert("self".to_string(), context.self_type.clone());
                }
                FnArg::Typed(input) => {
                    let ty = match world.called_with(function, at, None) {
                        Some(_) => Ty::Callable(at),
                        None => world.ty(&input.ty, &context),
                    };
                    walker.bind(&input.pat, &ty);
                    at += 1;
                }
            }
        }
        walker.block(body);
        walker.found.waits = walker.frames.pop().unwrap_or_default();
        walker.found
    }

    fn problem(&mut self, what: &str) {
        let name = self.world.name_of(self.function);
        self.found.problems.push(format!("{name}: {what}"));
    }

    /// Takes the names of a pattern into the scope.
    fn bind(&mut self, pattern: &Pat, ty: &Ty) {
        match pattern {
            Pat::Ident(it) => {
                self.scope.insert(it.ident.to_string(), ty.clone());
                if let Some((_, below)) = &it.subpat {
                    self.bind(below, ty);
                }
            }
            Pat::Type(it) => {
                let context = self.world.context(self.function, None);
                let declared = self.world.ty(&it.ty, &context);
                self.bind(&it.pat, &declared);
            }
            Pat::Reference(it) => self.bind(&it.pat, ty),
            Pat::Paren(it) => self.bind(&it.pat, ty),
            Pat::Tuple(it) => {
                for (at, part) in it.elems.iter().enumerate() {
                    let ty = match ty {
                        Ty::Tuple(parts) if !matches!(part, Pat::Rest(_)) => parts.get(at).cloned(),
                        Ty::Foreign => Some(Ty::Foreign),
                        _ => None,
                    };
                    self.bind(part, &ty.unwrap_or(Ty::Unknown));
                }
            }
            Pat::TupleStruct(it) => {
                let name = path_names(&it.path).pop().unwrap_or_default();
                let ty = match ty {
                    Ty::Wrap(inner) if name == "Some" || name == "Ok" => (**inner).clone(),
                    Ty::Foreign => Ty::Foreign,
                    _ => Ty::Unknown,
                };
                it.elems.iter().for_each(|part| self.bind(part, &ty));
            }
            Pat::Struct(it) => {
                for field in &it.fields {
                    let known = match &field.member {
                        Member::Named(name) => self.world.field(ty, &name.to_string()),
                        Member::Unnamed(_) => Ty::Unknown,
                    };
                    self.bind(&field.pat, &known);
                }
            }
            Pat::Slice(it) => it.elems.iter().for_each(|part| self.bind(part, &Ty::Unknown)),
            Pat::Or(it) => it.cases.iter().for_each(|case| self.bind(case, ty)),
            _ => {}
        }
    }

    fn block(&mut self, block: &mut Block) -> Ty {
        let outside = self.scope.clone();
        let mut last = Ty::Foreign;
        for statement in &mut block.stmts {
            last = Ty::Foreign;
            match statement {
                Stmt::Local(local) => {
                    let ty = match &mut local.init {
                        Some(init) => {
                            let ty = self.expr(&mut init.expr);
                            if let Some((_, diverge)) = &mut init.diverge {
                                self.expr(diverge);
                            }
                            ty
                        }
                        None => Ty::Unknown,
                    };
                    self.bind(&local.pat, &ty);
                }
                Stmt::Expr(expr, end) => {
                    let ty = self.expr(expr);
                    if end.is_none() {
                        last = ty;
                    }
                }
                Stmt::Macro(_) | Stmt::Item(_) => {}
            }
        }
        self.scope = outside;
        last
    }

    /// In a scope of its own, with what a condition binds.
    fn within<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        let outside = self.scope.clone();
        let result = work(self);
        self.scope = outside;
        result
    }

    fn expr(&mut self, expr: &mut Expr) -> Ty {
        match expr {
            Expr::Array(it) => {
                it.elems.iter_mut().for_each(|part| drop(self.expr(part)));
                Ty::Foreign
            }
            Expr::Assign(it) => {
                self.expr(&mut it.left);
                self.expr(&mut it.right);
                Ty::Foreign
            }
            Expr::Binary(it) => {
                self.expr(&mut it.left);
                self.expr(&mut it.right);
                Ty::Foreign
            }
            Expr::Block(it) => self.block(&mut it.block),
            Expr::Break(it) => it.expr.as_mut().map_or(Ty::Unknown, |value| self.expr(value)),
            Expr::Call(_) => self.call(expr),
            Expr::Cast(it) => {
                self.expr(&mut it.expr);
                Ty::Foreign
            }
            Expr::Closure(it) => {
                if self.closure(it, &[]) {
                    self.problem("a closure that waits and that no function of the engine is called with");
                }
                Ty::Unknown
            }
            Expr::Continue(_) | Expr::Lit(_) | Expr::Macro(_) => Ty::Foreign,
            Expr::Field(it) => {
                let base = self.expr(&mut it.base);
                let name = it.member.to_token_stream().to_string();
                self.world.field(&base, &name)
            }
            Expr::ForLoop(it) => {
                self.expr(&mut it.expr);
                self.within(|walker| {
                    walker.bind(&it.pat, &Ty::Unknown);
                    walker.block(&mut it.body);
                });
                Ty::Foreign
            }
            Expr::If(it) => self.within(|walker| {
                walker.expr(&mut it.cond);
                let then = walker.block(&mut it.then_branch);
                let other = it.else_branch.as_mut().map(|(_, other)| walker.expr(other));
                if then == Ty::Unknown { other.unwrap_or(then) } else { then }
            }),
            Expr::Index(it) => {
                self.expr(&mut it.expr);
                self.expr(&mut it.index);
                Ty::Unknown
            }
            Expr::Let(it) => {
                let ty = self.expr(&mut it.expr);
                self.bind(&it.pat, &ty);
                Ty::Foreign
            }
            Expr::Loop(it) => {
                self.block(&mut it.body);
                Ty::Unknown
            }
            Expr::Match(it) => {
                let of = self.expr(&mut it.expr);
                let mut result = Ty::Unknown;
                for arm in &mut it.arms {
                    let ty = self.within(|walker| {
                        walker.bind(&arm.pat, &of);
                        if let Some((_, guard)) = &mut arm.guard {
                            walker.expr(guard);
                        }
                        walker.expr(&mut arm.body)
                    });
                    if result == Ty::Unknown {
                        result = ty;
                    }
                }
                result
            }
            Expr::MethodCall(_) => self.method_call(expr),
            Expr::Paren(it) => self.expr(&mut it.expr),
            Expr::Group(it) => self.expr(&mut it.expr),
            Expr::Path(it) => match it.path.get_ident() {
                Some(name) => self.scope.get(&name.to_string()).cloned().unwrap_or(Ty::Unknown),
                None => Ty::Unknown,
            },
            Expr::Range(it) => {
                for end in it.start.iter_mut().chain(&mut it.end) {
                    self.expr(end);
                }
                Ty::Foreign
            }
            Expr::Reference(it) => self.expr(&mut it.expr),
            Expr::Repeat(it) => {
                self.expr(&mut it.expr);
                Ty::Foreign
            }
            Expr::Return(it) => {
                if let Some(value) = &mut it.expr {
                    self.expr(value);
                }
                Ty::Unknown
            }
            Expr::Struct(it) => {
                it.fields.iter_mut().for_each(|field| drop(self.expr(&mut field.expr)));
                if let Some(rest) = &mut it.rest {
                    self.expr(rest);
                }
                self.type_named(&path_names(&it.path))
            }
            Expr::Try(it) => self.unwrapped(&mut it.expr),
            Expr::Tuple(it) => Ty::Tuple(it.elems.iter_mut().map(|part| self.expr(part)).collect()),
            Expr::Unary(it) => self.expr(&mut it.expr),
            Expr::While(it) => self.within(|walker| {
                walker.expr(&mut it.cond);
                walker.block(&mut it.body);
                Ty::Foreign
            }),
            other => {
                let what =
                    format!("an expression of a kind that is not known here: {}", other.to_token_stream());
                self.problem(&what);
                Ty::Unknown
            }
        }
    }

    fn unwrapped(&mut self, expr: &mut Expr) -> Ty {
        match self.expr(expr) {
            Ty::Wrap(inner) => *inner,
            Ty::Foreign => Ty::Foreign,
            _ => Ty::Unknown,
        }
    }

    fn type_named(&self, path: &[String]) -> Ty {
        if path == ["Self"] {
            return self.world.context(self.function, None).self_type;
        }
        let context = self.world.context(self.function, None);
        if let [name] = path
            && let Some(known) = context.params.get(name)
        {
            return known.clone();
        }
        match self.world.find_type(context.module, path) {
            Some(id) => Ty::Of(id, Vec::new()),
            None => Ty::Foreign,
        }
    }

    /// Walks through a closure that is called with such arguments; whether it waits, and then it is asynchronous.
    fn closure(&mut self, closure: &mut ExprClosure, with: &[Ty]) -> bool {
        self.frames.push(false);
        let outside = self.scope.clone();
        for (at, input) in closure.inputs.iter().enumerate() {
            self.bind(input, with.get(at).unwrap_or(&Ty::Unknown));
        }
        self.expr(&mut closure.body);
        self.scope = outside;
        let waits = self.frames.pop().unwrap_or_default();
        if waits {
            closure.asyncness = Some(syn::token::Async::default());
        }
        waits
    }

    /// Notes a call of one of the engine's functions; makes the expression wait for it if it is to be waited for.
    fn note(&mut self, expr: &mut Expr, function: usize) {
        self.found.calls.insert(function);
        if self.waiting.functions.contains(&function) {
            self.wait(expr);
        }
    }

    fn wait(&mut self, expr: &mut Expr) {
        if let Some(frame) = self.frames.last_mut() {
            *frame = true;
        }
        let call = expr.clone();
        *expr = syn::parse_quote!(#call.await);
    }

    /// The arguments of a call, of a function of the engine (and from which parameter on), or of another.
    fn arguments<'a>(
        &mut self,
        arguments: impl Iterator<Item = &'a mut Expr>,
        function: Option<(usize, Option<&Ty>)>,
        hint: &Ty,
    ) -> Vec<Ty> {
        let mut types = Vec::new();
        for (at, argument) in arguments.enumerate() {
            let called_with = function.and_then(|(id, of)| self.world.called_with(id, at, of));
            let with = called_with.clone().unwrap_or_else(|| vec![hint.clone()]);
            let inner = match &mut *argument {
                Expr::Reference(reference) => &mut *reference.expr,
                other => other,
            };
            if let Expr::Closure(closure) = inner {
                let waits = self.closure(closure, &with);
                match function {
                    Some((id, _)) if waits && called_with.is_some() => {
                        self.found.params.insert((id, at));
                    }
                    _ if waits => {
                        let what =
                            "a closure that waits for the device and is handed to a function that does not";
                        self.problem(&format!("{what}: {}", closure.body.to_token_stream()));
                    }
                    Some((id, _)) if self.waiting.params.contains(&(id, at)) => {
                        closure.asyncness = Some(syn::token::Async::default());
                    }
                    _ => {}
                }
                types.push(Ty::Unknown);
                continue;
            }
            let ty = self.expr(argument);
            if let (Ty::Callable(own), Some((id, _))) = (&ty, function)
                && self.waiting.params.contains(&(id, at))
            {
                self.found.params.insert((self.function, *own));
            }
            types.push(ty);
        }
        types
    }

    fn call(&mut self, expr: &mut Expr) -> Ty {
        let Expr::Call(call) = &mut *expr else { return Ty::Unknown };
        let Expr::Path(path) = &*call.func else {
            self.expr(&mut call.func);
            self.arguments(call.args.iter_mut(), None, &Ty::Unknown);
            return Ty::Unknown;
        };
        let names = path_names(&path.path);
        let module = self.world.functions[self.function].at.0;
        if let [name] = names.as_slice() {
            if let Some(Ty::Callable(at)) = self.scope.get(name).cloned() {
                self.arguments(call.args.iter_mut(), None, &Ty::Unknown);
                if self.waiting.params.contains(&(self.function, at)) {
                    self.wait(expr);
                }
                return Ty::Unknown;
            }
            if name == "Some" || name == "Ok" {
                let inner = self.arguments(call.args.iter_mut(), None, &Ty::Unknown).pop();
                return Ty::Wrap(Box::new(inner.unwrap_or(Ty::Unknown)));
            }
        }
        if let Some(function) = self.world.find_free(module, &names) {
            self.arguments(call.args.iter_mut(), Some((function, None)), &Ty::Unknown);
            self.note(expr, function);
            return self.world.returns(function, None);
        }
        let of = names.split_last().map(|(name, of)| (name.clone(), of.to_vec()));
        if let Some((name, of)) = of.filter(|(_, of)| !of.is_empty()) {
            let receiver = match self.world.find_trait(module, &of) {
                Some(id) => Ty::Bound(vec![Bound::Trait(id)]),
                None => self.type_named(&of),
            };
            if let Some(function) = self.world.method(&receiver, &name) {
                // The receiver is an argument like the others here.
                let takes_self = self.world.functions[function].signature.receiver().is_some();
                let mut arguments = call.args.iter_mut();
                let mut receiver = receiver;
                if takes_self && let Some(first) = arguments.next() {
                    let known = self.expr(first);
                    if known != Ty::Unknown {
                        receiver = known;
                    }
                }
                self.arguments(arguments, Some((function, Some(&receiver))), &Ty::Unknown);
                self.note(expr, function);
                return self.world.returns(function, Some(&receiver));
            }
        }
        self.arguments(call.args.iter_mut(), None, &Ty::Unknown);
        Ty::Unknown
    }

    fn method_call(&mut self, expr: &mut Expr) -> Ty {
        let Expr::MethodCall(call) = &mut *expr else { return Ty::Unknown };
        let receiver = self.expr(&mut call.receiver);
        let name = call.method.to_string();
        if let Some(function) = self.world.method(&receiver, &name) {
            self.arguments(call.args.iter_mut(), Some((function, Some(&receiver))), &Ty::Unknown);
            self.note(expr, function);
            return self.world.returns(function, Some(&receiver));
        }
        let hint = match &receiver {
            Ty::Wrap(inner) => (**inner).clone(),
            _ => Ty::Unknown,
        };
        let given = call.args.len();
        self.arguments(call.args.iter_mut(), None, &hint);
        match &receiver {
            Ty::Bound(bounds) => {
                let io = bounds.iter().any(|bound| matches!(bound, Bound::Io(_)));
                if io && IO_METHODS.contains(&name.as_str()) {
                    self.wait(expr);
                }
                Ty::Foreign
            }
            Ty::Wrap(_) if SAME.contains(&name.as_str()) => receiver,
            Ty::Wrap(inner) if name.starts_with("unwrap") || name == "expect" => (**inner).clone(),
            Ty::Wrap(_) if name == "map" || name == "and_then" => Ty::Wrap(Box::new(Ty::Unknown)),
            Ty::Unknown => {
                if let Some(other) = self.mistakable(&name, given) {
                    let what = format!(
                        "what `{}` is called on is not known; it might be {other}: give its type in a `let`",
                        name
                    );
                    self.problem(&what);
                }
                Ty::Unknown
            }
            Ty::Foreign if matches!(name.as_str(), "clone" | "as_mut" | "as_ref") => Ty::Foreign,
            _ => Ty::Unknown,
        }
    }

    /// A function to be waited for that a call looks like.
    fn mistakable(&self, name: &str, given: usize) -> Option<String> {
        let alike = |id: &&usize| {
            let it = &self.world.functions[**id];
            let takes = it.signature.inputs.len();
            it.name == name
                && it.signature.receiver().is_some()
                && takes == given + 1
                && it.owner != Owner::Nobody
        };
        self.waiting.functions.iter().find(alike).map(|id| self.world.name_of(*id))
    }
}
