//! What an expression of the sources stands for: behind names, branches, loops and calls.

use std::rc::Rc;

use syn::{Expr, Member, Token, punctuated::Punctuated, spanned::Spanned};

use super::{
    sources::{Bound, Call, Function},
    text::{Choices, Found, Frame, MAX_DEPTH, Node, Texts, extend, merge},
};

impl Texts<'_> {
    /// What the expression stands for, behind names, branches and calls.
    pub(super) fn heads(&self, node: &Node, depth: usize) -> Found<Node> {
        if depth > MAX_DEPTH {
            return self.unknown(node);
        }
        let inner = |expr: &Expr| self.heads(&node.with(expr), depth + 1);
        match &node.expr {
            Expr::Paren(one) => inner(&one.expr),
            Expr::Group(one) => inner(&one.expr),
            Expr::Reference(one) => inner(&one.expr),
            Expr::Unary(one) if matches!(one.op, syn::UnOp::Deref(_)) => inner(&one.expr),
            Expr::Block(one) => match one.block.stmts.last() {
                Some(syn::Stmt::Expr(expr, None)) => inner(expr),
                Some(syn::Stmt::Macro(one)) if one.semi_token.is_none() => {
                    inner(&Expr::Macro(syn::ExprMacro {
                        attrs: Vec::new(),
                        mac: one.mac.clone(),
                    }))
                }
                _ => self.unknown(node),
            },
            Expr::If(one) => {
                let Some((_, other)) = &one.else_branch else {
                    return self.unknown(node);
                };
                let then = Expr::Block(syn::ExprBlock {
                    attrs: Vec::new(),
                    label: None,
                    block: one.then_branch.clone(),
                });
                self.either(node, [&then, &**other], depth)
            }
            Expr::Match(one) => self.either(node, one.arms.iter().map(|arm| &*arm.body), depth),
            Expr::MethodCall(call) if is_view(call) => inner(&call.receiver),
            Expr::MethodCall(call) => {
                let name = call.method.to_string();
                match self.function(node.file, &[name], call.args.len()) {
                    Some(function) => self.call(node, function, &call.args, depth),
                    None => Ok(vec![(Choices::new(), node.clone())]),
                }
            }
            Expr::Field(one) => self.field(node, one, depth),
            Expr::Call(call) => {
                let Expr::Path(path) = &*call.func else {
                    return self.unknown(node);
                };
                let path = segments(&path.path);
                if path == ["String", "new"] {
                    return Ok(vec![(Choices::new(), node.with(&syn::parse_quote!("")))]);
                }
                match self.function(node.file, &path, call.args.len()) {
                    Some(function) => self.call(node, function, &call.args, depth),
                    None => self.unknown(node),
                }
            }
            Expr::Path(path) => self.named(node, &path.path, depth),
            _ => Ok(vec![(Choices::new(), node.clone())]),
        }
    }

    fn either<'e>(
        &self,
        node: &Node,
        branches: impl IntoIterator<Item = &'e Expr>,
        depth: usize,
    ) -> Found<Node> {
        let mut heads = Vec::new();
        for (taken, branch) in branches.into_iter().enumerate() {
            let choices = Choices::from([((node.file, node.at()), taken)]);
            extend(
                &mut heads,
                &choices,
                self.heads(&node.with(branch), depth + 1)?,
            );
        }
        Ok(heads)
    }

    fn field(&self, node: &Node, field: &syn::ExprField, depth: usize) -> Found<Node> {
        let mut heads = Vec::new();
        for (choices, base) in self.heads(&node.with(&field.base), depth + 1)? {
            let found = match (&base.expr, &field.member) {
                (Expr::Struct(one), member) => {
                    let fields = &mut one.fields.iter();
                    fields
                        .find(|field| field.member == *member)
                        .map(|one| &one.expr)
                }
                (Expr::Tuple(one), Member::Unnamed(index)) => one.elems.get(index.index as usize),
                _ => None,
            };
            let Some(found) = found else {
                return self.unknown(node);
            };
            extend(
                &mut heads,
                &choices,
                self.heads(&base.with(found), depth + 1)?,
            );
        }
        Ok(heads)
    }

    /// The function with this path and number of parameters, of the same file or of a module.
    fn function(&self, file: usize, path: &[String], inputs: usize) -> Option<usize> {
        let (name, modules) = path.split_last().unwrap();
        let fits = |number: usize| match modules.last().map(String::as_str) {
            None | Some("Self" | "self") => number == file,
            Some(module) => self.is_module(number, module),
        };
        self.sources
            .functions
            .iter()
            .position(|one| one.name == *name && one.inputs == inputs && fits(one.file))
    }

    fn is_module(&self, file: usize, module: &str) -> bool {
        let path = &self.sources.files[file].path;
        path.file_stem().is_some_and(|stem| stem == module)
            || (path.ends_with("mod.rs") && path.parent().is_some_and(|dir| dir.ends_with(module)))
    }

    fn call(
        &self,
        node: &Node,
        function: usize,
        args: &Punctuated<Expr, Token![,]>,
        depth: usize,
    ) -> Found<Node> {
        let body = Node {
            file: self.sources.functions[function].file,
            expr: self.sources.functions[function].body.clone(),
            frame: Some(Rc::new(Frame {
                function,
                args: args.iter().map(|arg| node.with(arg)).collect(),
            })),
        };
        let mut heads = self.heads(&body, depth + 1)?;
        // Another call of it chooses anew.
        let (from, to) = (body.expr.span().start(), body.expr.span().end());
        for (choices, _) in &mut heads {
            choices.retain(|(file, at), _| *file != body.file || *at < from || *at > to);
        }
        Ok(heads)
    }

    fn named(&self, node: &Node, path: &syn::Path, depth: usize) -> Found<Node> {
        let segments = segments(path);
        let name = segments.last().unwrap();
        let is_local = segments.len() == 1 || segments[0] == "Self";
        let Some(binding) = is_local
            .then(|| self.sources.local(node.file, name, node.at()))
            .flatten()
        else {
            return self.elsewhere(node, &segments, depth);
        };
        match &binding.value {
            Bound::Unknown => self.unknown(node),
            Bound::Value(expr, place) => self.element(&node.with(expr), place, depth),
            Bound::Each(at, list, place) => {
                let mut heads = Vec::new();
                for (choices, list) in self.heads(&node.with(list), depth + 1)? {
                    let Expr::Array(array) = &list.expr else {
                        return self.unknown(node);
                    };
                    for (taken, one) in array.elems.iter().enumerate() {
                        let choice = Choices::from([((node.file, *at), taken)]);
                        let Some(choices) = merge(&choices, &choice) else {
                            continue;
                        };
                        let found = self.element(&list.with(one), place, depth)?;
                        extend(&mut heads, &choices, found);
                    }
                }
                Ok(heads)
            }
            Bound::Parameter { function, index } => match &node.frame {
                Some(frame) if frame.function == *function => {
                    self.heads(&frame.args[*index], depth + 1)
                }
                _ => self.arguments_of_callers(node, *function, *index, depth),
            },
        }
    }

    /// The element of nested tuples at a place.
    fn element(&self, node: &Node, place: &[usize], depth: usize) -> Found<Node> {
        let mut heads = self.heads(node, depth + 1)?;
        for index in place {
            let mut next = Vec::new();
            for (choices, head) in heads {
                let Expr::Tuple(tuple) = &head.expr else {
                    return self.unknown(node);
                };
                let found = self.heads(&head.with(&tuple.elems[*index]), depth + 1)?;
                extend(&mut next, &choices, found);
            }
            heads = next;
        }
        Ok(heads)
    }

    /// A constant of another module.
    fn elsewhere(&self, node: &Node, segments: &[String], depth: usize) -> Found<Node> {
        let (name, modules) = segments.split_last().unwrap();
        let mut found = Vec::new();
        for (number, file) in self.sources.files.iter().enumerate() {
            let fits = match modules.last().map(String::as_str) {
                None | Some("super" | "self" | "crate") => true,
                Some(module) => self.is_module(number, module),
            };
            for binding in &file.bindings {
                if fits && binding.name == *name && binding.scope.0.line == 0 {
                    found.push((number, binding));
                }
            }
        }
        match &found[..] {
            [(file, binding)] => match &binding.value {
                Bound::Value(expr, _) => self.heads(&Node::new(*file, expr.clone()), depth + 1),
                _ => self.unknown(node),
            },
            _ => self.unknown(node),
        }
    }

    /// The argument of every call of the function.
    fn arguments_of_callers(
        &self,
        node: &Node,
        function: usize,
        index: usize,
        depth: usize,
    ) -> Found<Node> {
        let called = &self.sources.functions[function];
        let mut heads = Vec::new();
        let calls = self.sources.calls.get(&called.name).into_iter().flatten();
        for (taken, call) in calls.filter(|call| self.may_call(call, called)).enumerate() {
            let choices = Choices::from([((called.file, called.at), taken)]);
            let argument = Node::new(call.file, call.args[index].clone());
            extend(&mut heads, &choices, self.heads(&argument, depth + 1)?);
        }
        if heads.is_empty() {
            return self.unknown(node);
        }
        Ok(heads)
    }

    fn may_call(&self, call: &Call, called: &Function) -> bool {
        let file = |number: usize| &self.sources.files[number].path;
        let module = match file(called.file).ends_with("mod.rs") {
            true => file(called.file).parent().unwrap().to_owned(),
            false => file(called.file).with_extension(""),
        };
        let sees =
            !called.is_private || call.file == called.file || file(call.file).starts_with(module);
        sees && call.args.len() == called.inputs
    }
}

/// A method that leaves the text as it is.
fn is_view(call: &syn::ExprMethodCall) -> bool {
    const VIEWS: [&str; 8] = [
        "as_ref",
        "as_str",
        "clone",
        "into",
        "into_iter",
        "iter",
        "to_owned",
        "to_string",
    ];
    call.args.is_empty() && VIEWS.iter().any(|view| call.method == view)
}

fn segments(path: &syn::Path) -> Vec<String> {
    let segments = path.segments.iter();
    segments.map(|one| one.ident.to_string()).collect()
}
