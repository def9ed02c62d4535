//! The texts that an expression of the sources can have.
//!
//! A text is built from literals, constants, local variables, parameters, branches, loops over arrays, calls of
//! functions that return texts, `format!`, `concat!` and `join`. What is known only at run time is filled with an
//! example from [`super::examples`].

use std::{cell::RefCell, collections::BTreeMap, collections::BTreeSet, rc::Rc};

use proc_macro2::LineColumn;
use syn::{Expr, Lit, Token, punctuated::Punctuated, spanned::Spanned};

use super::{
    examples::EXAMPLES,
    sources::{ChoiceId, Sources},
};

/// Which of its expressions each place took: one place takes the same within one text.
pub(super) type Choices = BTreeMap<ChoiceId, usize>;

/// An expression with its file, and the arguments of the function that it is in, if they are known.
#[derive(Clone)]
pub struct Node {
    pub file: usize,
    pub expr: Expr,
    pub(super) frame: Option<Rc<Frame>>,
}

pub(super) struct Frame {
    pub(super) function: usize,
    pub(super) args: Vec<Node>,
}

/// Parameters may be passed on this many times: more is recursion.
pub(super) const MAX_DEPTH: usize = 40;

pub struct Texts<'s> {
    pub(super) sources: &'s Sources,
    /// Which examples were used.
    pub used: RefCell<BTreeSet<usize>>,
}

pub(super) type Found<T> = Result<Vec<(Choices, T)>, String>;

impl Node {
    pub fn new(file: usize, expr: Expr) -> Self {
        Self {
            file,
            expr,
            frame: None,
        }
    }

    pub(super) fn with(&self, expr: &Expr) -> Self {
        Self {
            expr: expr.clone(),
            ..self.clone()
        }
    }

    pub(super) fn at(&self) -> LineColumn {
        self.expr.span().start()
    }

    fn source(&self) -> String {
        self.expr.span().source_text().unwrap_or_default()
    }
}

/// `None` if they took different expressions at one place.
pub(super) fn merge(a: &Choices, b: &Choices) -> Option<Choices> {
    let mut all = a.clone();
    for (place, taken) in b {
        if *all.entry(*place).or_insert(*taken) != *taken {
            return None;
        }
    }
    Some(all)
}

impl<'s> Texts<'s> {
    pub fn new(sources: &'s Sources) -> Self {
        Self {
            sources,
            used: RefCell::default(),
        }
    }

    /// Every text that the expression can have, once.
    pub fn of(&self, node: &Node) -> Result<BTreeSet<String>, String> {
        let texts = self.texts(node, 0)?;
        Ok(texts.into_iter().map(|(_, text)| text).collect())
    }

    pub(super) fn unknown<T>(&self, node: &Node) -> Result<T, String> {
        Err(format!(
            "cannot resolve `{}` at {}",
            node.source(),
            self.sources.place(node.file, node.at())
        ))
    }

    fn texts(&self, node: &Node, depth: usize) -> Found<String> {
        if depth > MAX_DEPTH {
            return self.unknown(node);
        }
        if let Some(examples) = self.examples(node, &node.source()) {
            return Ok(examples);
        }
        let mut texts = Vec::new();
        for (choices, head) in self.heads(node, depth)? {
            if let Some(examples) = self.examples(&head, &head.source()) {
                extend(&mut texts, &choices, examples);
                continue;
            }
            let found = match &head.expr {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(text) => vec![(Choices::new(), text.value())],
                    Lit::Int(number) => vec![(Choices::new(), number.base10_digits().to_owned())],
                    _ => return self.unknown(&head),
                },
                Expr::Macro(one) if one.mac.path.is_ident("format") => {
                    self.format(&head, &one.mac, depth)?
                }
                Expr::Macro(one) if one.mac.path.is_ident("concat") => {
                    let parts = arguments(&one.mac).ok_or("concat! without literals")?;
                    let parts: Vec<_> = parts.iter().map(|part| head.with(part)).collect();
                    self.join(&parts, "", depth)?
                }
                Expr::MethodCall(call) if call.method == "join" => {
                    self.joined(&head, call, depth)?
                }
                _ => return self.unknown(&head),
            };
            extend(&mut texts, &choices, found);
        }
        Ok(texts)
    }

    /// The examples of an expression, by its text in the sources.
    fn examples(&self, node: &Node, text: &str) -> Option<Vec<(Choices, String)>> {
        let file = &self.sources.files[node.file].path;
        let (place, example) = EXAMPLES
            .iter()
            .enumerate()
            .find(|(_, one)| file.as_os_str() == one.file && text == one.expression)?;
        self.used.borrow_mut().insert(place);
        let id = (node.file, node.at());
        let values = example.values.iter().enumerate();
        Some(
            values
                .map(|(taken, value)| (Choices::from([(id, taken)]), (*value).to_owned()))
                .collect(),
        )
    }

    fn joined(&self, head: &Node, call: &syn::ExprMethodCall, depth: usize) -> Found<String> {
        let separator = match call.args.first() {
            Some(Expr::Lit(literal)) => match &literal.lit {
                Lit::Str(text) => text.value(),
                _ => return self.unknown(head),
            },
            _ => return self.unknown(head),
        };
        let mut texts = Vec::new();
        for (choices, list) in self.heads(&head.with(&call.receiver), depth + 1)? {
            let Expr::Array(array) = &list.expr else {
                return self.unknown(head);
            };
            let parts: Vec<_> = array.elems.iter().map(|part| list.with(part)).collect();
            extend(&mut texts, &choices, self.join(&parts, &separator, depth)?);
        }
        Ok(texts)
    }

    fn join(&self, parts: &[Node], separator: &str, depth: usize) -> Found<String> {
        let mut texts = vec![(Choices::new(), String::new())];
        for (place, part) in parts.iter().enumerate() {
            let separator = if place == 0 { "" } else { separator };
            texts = product(&texts, separator, &self.texts(part, depth + 1)?);
        }
        Ok(texts)
    }

    fn format(&self, head: &Node, mac: &syn::Macro, depth: usize) -> Found<String> {
        let Some(arguments) = arguments(mac) else {
            return self.unknown(head);
        };
        let Some(Expr::Lit(syn::ExprLit {
            lit: Lit::Str(pattern),
            ..
        })) = arguments.first()
        else {
            return self.unknown(head);
        };
        let (mut named, mut positional) = (BTreeMap::new(), Vec::new());
        for argument in &arguments[1..] {
            match argument {
                Expr::Assign(assign) => {
                    let name = assign.left.span().source_text().unwrap_or_default();
                    named.insert(name, head.with(&assign.right));
                }
                other => positional.push(head.with(other)),
            }
        }
        let value = pattern.value();
        let mut texts = vec![(Choices::new(), String::new())];
        let (mut rest, mut next) = (value.as_str(), 0);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            for (_, text) in &mut texts {
                text.push_str(before);
            }
            if from.starts_with("{{") || from.starts_with("}}") {
                for (_, text) in &mut texts {
                    text.push_str(&from[..1]);
                }
                rest = &from[2..];
                continue;
            }
            let Some((name, after)) = from[1..].split_once('}') else {
                return self.unknown(head);
            };
            let part = if name.is_empty() {
                next += 1;
                positional.get(next - 1).cloned()
            } else if let Ok(index) = name.parse::<usize>() {
                positional.get(index).cloned()
            } else if let Some(node) = named.get(name) {
                Some(node.clone())
            } else {
                // A name within the text has the place of the text.
                let ident = syn::Ident::new(name, pattern.span());
                Some(head.with(&Expr::Path(syn::ExprPath {
                    attrs: Vec::new(),
                    qself: None,
                    path: ident.into(),
                })))
            };
            let Some(part) = part else {
                return self.unknown(head);
            };
            // The source of a name within a text is the whole text.
            let found = match self.examples(&part, name) {
                Some(examples) => examples,
                None => self.texts(&part, depth + 1)?,
            };
            texts = product(&texts, "", &found);
            rest = after;
        }
        for (_, text) in &mut texts {
            text.push_str(rest);
        }
        Ok(texts)
    }
}

fn arguments(mac: &syn::Macro) -> Option<Vec<Expr>> {
    let parser = Punctuated::<Expr, Token![,]>::parse_terminated;
    let parsed = mac.parse_body_with(parser).ok()?;
    Some(parsed.into_iter().collect())
}

/// Adds what was found where `choices` were taken.
pub(super) fn extend<T>(all: &mut Vec<(Choices, T)>, choices: &Choices, found: Vec<(Choices, T)>) {
    for (more, one) in found {
        if let Some(choices) = merge(choices, &more) {
            all.push((choices, one));
        }
    }
}

fn product(
    left: &[(Choices, String)],
    separator: &str,
    right: &[(Choices, String)],
) -> Vec<(Choices, String)> {
    let mut all = Vec::new();
    for (a, first) in left {
        for (b, second) in right {
            if let Some(choices) = merge(a, b) {
                all.push((choices, format!("{first}{separator}{second}")));
            }
        }
    }
    all
}
