//! Reads what each name of a file is bound to, and where, and the functions and calls of the file.

use std::collections::HashMap;

use proc_macro2::LineColumn;
use syn::{
    Block, Expr, FnArg, Item, Pat, Visibility,
    spanned::Spanned,
    visit::{self, Visit},
};

use super::sources::{Binding, Bound, Call, Function, Scope, is_test, item_attributes};

pub(super) struct Reader<'s> {
    file: usize,
    pub(super) bindings: Vec<Binding>,
    functions: &'s mut Vec<Function>,
    calls: &'s mut HashMap<String, Vec<Call>>,
    scopes: Vec<Scope>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(
        file: usize,
        functions: &'s mut Vec<Function>,
        calls: &'s mut HashMap<String, Vec<Call>>,
    ) -> Self {
        let whole = (
            LineColumn { line: 0, column: 0 },
            LineColumn {
                line: usize::MAX,
                column: 0,
            },
        );
        Self {
            file,
            bindings: Vec::new(),
            functions,
            calls,
            scopes: vec![whole],
        }
    }

    fn bind(&mut self, name: String, scope: Scope, value: Bound) {
        self.bindings.push(Binding { name, scope, value });
    }

    /// Binds the names of a pattern; `bound` gives the value of the name at a place in nested tuples.
    fn bind_pattern(
        &mut self,
        pattern: &Pat,
        scope: Scope,
        path: &mut Vec<usize>,
        bound: &dyn Fn(&[usize]) -> Bound,
    ) {
        match pattern {
            Pat::Ident(one) if one.subpat.is_none() => {
                self.bind(one.ident.to_string(), scope, bound(path));
            }
            Pat::Type(one) => self.bind_pattern(&one.pat, scope, path, bound),
            Pat::Paren(one) => self.bind_pattern(&one.pat, scope, path, bound),
            Pat::Tuple(one) => {
                for (index, element) in one.elems.iter().enumerate() {
                    path.push(index);
                    self.bind_pattern(element, scope, path, bound);
                    path.pop();
                }
            }
            other => {
                for name in names(other) {
                    self.bind(name, scope, Bound::Unknown);
                }
            }
        }
    }

    fn function(
        &mut self,
        name: String,
        at: LineColumn,
        inputs: Vec<Option<&Pat>>,
        is_private: bool,
        body: Expr,
    ) {
        let function = self.functions.len();
        let scope = range(&body);
        let inputs: Vec<_> = inputs.into_iter().flatten().collect();
        for (index, pattern) in inputs.iter().enumerate() {
            self.bind_pattern(
                pattern,
                scope,
                &mut Vec::new(),
                &|path| match path.is_empty() {
                    true => Bound::Parameter { function, index },
                    false => Bound::Unknown,
                },
            );
        }
        self.functions.push(Function {
            file: self.file,
            name,
            at,
            inputs: inputs.len(),
            is_private,
            body,
        });
    }
}

fn range(spanned: &impl Spanned) -> Scope {
    let span = spanned.span();
    (span.start(), span.end())
}

/// All names that a pattern binds.
fn names(pattern: &Pat) -> Vec<String> {
    struct Names(Vec<String>);
    impl<'a> Visit<'a> for Names {
        fn visit_pat_ident(&mut self, one: &'a syn::PatIdent) {
            self.0.push(one.ident.to_string());
            visit::visit_pat_ident(self, one);
        }
    }
    let mut names = Names(Vec::new());
    names.visit_pat(pattern);
    names.0
}

fn block(block: &Block) -> Expr {
    Expr::Block(syn::ExprBlock {
        attrs: Vec::new(),
        label: None,
        block: block.clone(),
    })
}

fn inputs(signature: &syn::Signature) -> Vec<Option<&Pat>> {
    let inputs = signature.inputs.iter();
    inputs
        .map(|input| match input {
            FnArg::Typed(typed) => Some(&*typed.pat),
            FnArg::Receiver(_) => None,
        })
        .collect()
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_item(&mut self, item: &'a Item) {
        if !is_test(item_attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        let scope = *self.scopes.last().unwrap();
        let value = Bound::Value((*item.expr).clone(), Vec::new());
        self.bind(item.ident.to_string(), scope, value);
        visit::visit_item_const(self, item);
    }

    fn visit_impl_item_const(&mut self, item: &'a syn::ImplItemConst) {
        let scope = *self.scopes.last().unwrap();
        let value = Bound::Value(item.expr.clone(), Vec::new());
        self.bind(item.ident.to_string(), scope, value);
        visit::visit_impl_item_const(self, item);
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        let name = item.sig.ident.to_string();
        let private = matches!(item.vis, Visibility::Inherited);
        let at = item.sig.ident.span().start();
        self.function(name, at, inputs(&item.sig), private, block(&item.block));
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        if is_test(&item.attrs) {
            return;
        }
        let name = item.sig.ident.to_string();
        let private = matches!(item.vis, Visibility::Inherited);
        let at = item.sig.ident.span().start();
        self.function(name, at, inputs(&item.sig), private, block(&item.block));
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_block(&mut self, block: &'a Block) {
        self.scopes.push(range(block));
        visit::visit_block(self, block);
        self.scopes.pop();
    }

    fn visit_local(&mut self, local: &'a syn::Local) {
        let scope = (local.span().end(), self.scopes.last().unwrap().1);
        match &local.init {
            Some(init) => {
                if let (Expr::Closure(closure), Some(name)) =
                    (&*init.expr, names(&local.pat).into_iter().next())
                {
                    let inputs = closure.inputs.iter().map(Some).collect();
                    let at = closure.span().start();
                    self.function(name, at, inputs, true, (*closure.body).clone());
                }
                let expr = &*init.expr;
                self.bind_pattern(&local.pat, scope, &mut Vec::new(), &|path| {
                    Bound::Value(expr.clone(), path.to_vec())
                });
            }
            None => {
                for name in names(&local.pat) {
                    self.bind(name, scope, Bound::Unknown);
                }
            }
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_for_loop(&mut self, one: &'a syn::ExprForLoop) {
        let at = one.span().start();
        self.bind_pattern(&one.pat, range(&one.body), &mut Vec::new(), &|path| {
            Bound::Each(at, (*one.expr).clone(), path.to_vec())
        });
        visit::visit_expr_for_loop(self, one);
    }

    fn visit_expr_closure(&mut self, one: &'a syn::ExprClosure) {
        let known = self
            .functions
            .last()
            .is_some_and(|function| function.at == one.span().start());
        if !known {
            for name in one.inputs.iter().flat_map(names) {
                self.bind(name, range(&one.body), Bound::Unknown);
            }
        }
        visit::visit_expr_closure(self, one);
    }

    fn visit_arm(&mut self, arm: &'a syn::Arm) {
        for name in names(&arm.pat) {
            // A constant in a pattern is not a binding.
            if name.chars().any(char::is_lowercase) {
                self.bind(name, range(&arm.body), Bound::Unknown);
            }
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_if(&mut self, one: &'a syn::ExprIf) {
        struct Lets(Vec<String>);
        impl<'a> Visit<'a> for Lets {
            fn visit_expr_let(&mut self, one: &'a syn::ExprLet) {
                self.0.extend(names(&one.pat));
            }
        }
        let mut lets = Lets(Vec::new());
        lets.visit_expr(&one.cond);
        for name in lets.0 {
            self.bind(name, range(&one.then_branch), Bound::Unknown);
        }
        visit::visit_expr_if(self, one);
    }

    fn visit_expr_call(&mut self, call: &'a syn::ExprCall) {
        if let Expr::Path(path) = &*call.func {
            let name = path.path.segments.last().unwrap().ident.to_string();
            self.calls.entry(name).or_default().push(Call {
                file: self.file,
                args: call.args.iter().cloned().collect(),
            });
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        let name = call.method.to_string();
        self.calls.entry(name).or_default().push(Call {
            file: self.file,
            args: call.args.iter().cloned().collect(),
        });
        visit::visit_expr_method_call(self, call);
    }
}
