//! Every place in the sources that runs a statement.

use proc_macro2::LineColumn;
use syn::{
    Expr, Item,
    spanned::Spanned,
    visit::{self, Visit},
};

use super::{
    sources::{Bound, Sources, is_test, item_attributes},
    text::Node,
};

/// Functions of sqlx whose first argument is a statement.
const FUNCTIONS: [&str; 9] = [
    "query",
    "query_as",
    "query_as_with",
    "query_scalar",
    "query_scalar_with",
    "query_with",
    "raw_sql",
    "query_builder",
    "QueryBuilder",
];
/// Methods of a connection, whose argument is a statement. Those of a query take a connection instead.
const METHODS: [&str; 9] = [
    "begin_with",
    "copy_in_raw",
    "copy_out_raw",
    "execute",
    "execute_many",
    "fetch_all",
    "fetch_many",
    "fetch_one",
    "fetch_optional",
];

/// A call that runs a statement.
pub struct Statement {
    pub node: Node,
    pub at: LineColumn,
    /// Number of its parameters that are bound; `None` where the query is completed elsewhere.
    pub binds: Option<usize>,
}

/// All calls that run statements, and the places where the collector cannot see whether there is one.
pub fn collect(sources: &Sources) -> (Vec<Statement>, Vec<String>) {
    let mut collector = Collector {
        sources,
        file: 0,
        statements: Vec::new(),
        unseen: Vec::new(),
    };
    for (number, file) in sources.files.iter().enumerate() {
        collector.file = number;
        collector.visit_file(&file.syntax);
    }
    (collector.statements, collector.unseen)
}

struct Collector<'s> {
    sources: &'s Sources,
    file: usize,
    statements: Vec<Statement>,
    unseen: Vec<String>,
}

/// Whether a path is a function of sqlx: `sqlx::query`, or `query` alone.
fn is_function(path: &syn::Path) -> bool {
    let segments: Vec<_> = path
        .segments
        .iter()
        .map(|one| one.ident.to_string())
        .collect();
    let (function, modules) = segments.split_last().unwrap();
    let of_sqlx = modules.first().is_none_or(|module| module == "sqlx");
    of_sqlx && FUNCTIONS.contains(&function.as_str())
}

impl Collector<'_> {
    fn unseen(&mut self, what: &str, at: LineColumn) {
        let place = self.sources.place(self.file, at);
        self.unseen.push(format!("{place}: {what}"));
    }

    /// Whether a value is a query: built here, or in the local variable that it names.
    fn is_query(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Call(call) => {
                matches!(&*call.func, Expr::Path(path) if is_function(&path.path))
            }
            Expr::MethodCall(call) => self.is_query(&call.receiver),
            Expr::Match(one) => one.arms.iter().any(|arm| self.is_query(&arm.body)),
            Expr::Path(path) => path.path.get_ident().is_some_and(|name| {
                let at = path.span().start();
                let binding = self.sources.local(self.file, &name.to_string(), at);
                matches!(binding.map(|one| &one.value), Some(Bound::Value(value, _)) if self.is_query(value))
            }),
            _ => false,
        }
    }

    fn add(&mut self, statement: &Expr, at: LineColumn, binds: Option<usize>) {
        self.statements.push(Statement {
            node: Node::new(self.file, statement.clone()),
            at,
            binds,
        });
    }
}

/// The call of `sqlx::query` at the start of a chain of methods, and the number of `.bind(` after it.
fn start(expr: &Expr) -> Option<(&syn::ExprCall, usize)> {
    match expr {
        Expr::MethodCall(call) => {
            let (start, binds) = start(&call.receiver)?;
            Some((start, binds + usize::from(call.method == "bind")))
        }
        Expr::Call(call) => match &*call.func {
            Expr::Path(path) if is_function(&path.path) => Some((call, 0)),
            _ => None,
        },
        _ => None,
    }
}

impl<'a> Visit<'a> for Collector<'_> {
    fn visit_item(&mut self, item: &'a Item) {
        if !is_test(item_attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        let runs = METHODS.iter().any(|method| call.method == method);
        if runs && let Some((query, binds)) = start(&call.receiver) {
            let at = query.span().start();
            match query.args.first() {
                Some(statement) => self.add(statement, at, Some(binds)),
                None => self.unseen("a query without a statement", at),
            }
            for arg in call.args.iter().chain(query.args.iter()) {
                self.visit_expr(arg);
            }
            // The arguments of `.bind(`.
            let mut between = &*call.receiver;
            while let Expr::MethodCall(inner) = between {
                inner.args.iter().for_each(|arg| self.visit_expr(arg));
                between = &inner.receiver;
            }
            return;
        }
        if runs && call.args.len() == 1 && !self.is_query(&call.receiver) {
            self.add(&call.args[0], call.method.span().start(), None);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'a syn::ExprCall) {
        if let Expr::Path(path) = &*call.func
            && is_function(&path.path)
        {
            let at = call.span().start();
            match call.args.first() {
                Some(statement) => self.add(statement, at, None),
                None => self.unseen("a query without a statement", at),
            }
            call.args.iter().for_each(|arg| self.visit_expr(arg));
            return;
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_path(&mut self, path: &'a syn::ExprPath) {
        let first = path.path.segments.first().unwrap();
        if first.ident == "sqlx" && is_function(&path.path) {
            self.unseen(
                "a function that runs statements is passed on",
                path.span().start(),
            );
        }
        visit::visit_expr_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'a syn::Macro) {
        let text = mac.tokens.to_string();
        let names = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        let of_sqlx = mac
            .path
            .segments
            .first()
            .is_some_and(|one| one.ident == "sqlx");
        let is_migration = mac.path.segments.last().unwrap().ident == "migrate";
        let inside = text.contains("sqlx :: query")
            || names
                .into_iter()
                .any(|name| name == "raw_sql" || name == "fetch_one" || name == "fetch_all");
        if inside || (of_sqlx && !is_migration) {
            self.unseen(
                "a statement within a macro cannot be checked: move it out of the macro",
                mac.path.span().start(),
            );
        }
    }
}
