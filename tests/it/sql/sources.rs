//! The sources of the product as syntax trees, and what each name in them is bound to.
//!
//! Test code is left out: it runs its own statements.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use proc_macro2::LineColumn;
use syn::{Attribute, Expr, Item, visit::Visit as _};

use super::bindings::Reader;
use crate::support::product_files;

/// Where a name is valid in its file, from the first place to the second.
pub type Scope = (LineColumn, LineColumn);
/// Identifies a place in the sources where one of several expressions is taken.
pub type ChoiceId = (usize, LineColumn);

#[derive(Clone)]
pub struct Binding {
    pub name: String,
    pub scope: Scope,
    pub value: Bound,
}

#[derive(Clone)]
pub enum Bound {
    /// A constant or local variable: an element of this expression, by its place in nested tuples.
    Value(Expr, Vec<usize>),
    /// The same for each element of an array.
    Each(LineColumn, Expr, Vec<usize>),
    Parameter {
        function: usize,
        index: usize,
    },
    /// Known only at run time.
    Unknown,
}

/// A function, or a closure in a local variable.
#[derive(Clone)]
pub struct Function {
    pub file: usize,
    pub name: String,
    pub at: LineColumn,
    /// Number of parameters without the receiver.
    pub inputs: usize,
    pub is_private: bool,
    pub body: Expr,
}

#[derive(Clone)]
pub struct Call {
    pub file: usize,
    /// Without the receiver.
    pub args: Vec<Expr>,
}

pub struct File {
    /// Relative to the root of the repository.
    pub path: PathBuf,
    pub syntax: syn::File,
    pub bindings: Vec<Binding>,
}

pub struct Sources {
    pub files: Vec<File>,
    pub functions: Vec<Function>,
    pub calls: HashMap<String, Vec<Call>>,
}

impl Sources {
    /// Reads the files of every crate below `root`, except those of tests.
    pub fn read(root: &Path) -> Self {
        let mut sources = Self {
            files: Vec::new(),
            functions: Vec::new(),
            calls: HashMap::new(),
        };
        for (number, path) in product_files(root).into_iter().enumerate() {
            let text = std::fs::read_to_string(&path).unwrap();
            let syntax = syn::parse_file(&text)
                .unwrap_or_else(|error| panic!("cannot parse {}: {error}", path.display()));
            let mut reader = Reader::new(number, &mut sources.functions, &mut sources.calls);
            reader.visit_file(&syntax);
            let bindings = reader.bindings;
            sources.files.push(File {
                path: path.strip_prefix(root).unwrap().to_owned(),
                syntax,
                bindings,
            });
        }
        sources
    }

    /// The innermost binding of a name at a place.
    pub fn local(&self, file: usize, name: &str, at: LineColumn) -> Option<&Binding> {
        let holds = |(from, to): Scope| from <= at && at <= to;
        let bindings = self.files[file].bindings.iter();
        bindings
            .filter(|one| one.name == name && holds(one.scope))
            .max_by_key(|one| one.scope.0)
    }

    /// `file.rs:12`, for messages.
    pub fn place(&self, file: usize, at: LineColumn) -> String {
        format!("{}:{}", self.files[file].path.display(), at.line)
    }
}

/// Whether an item has `#[cfg(test)]`.
pub fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|one| {
        one.path().is_ident("cfg")
            && one
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

pub fn item_attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
