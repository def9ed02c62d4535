//! The modules of a crate, with the paths that each of them names.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, Ident, Spacing, TokenStream, TokenTree};

/// The names of a path, such as `["super", "config", "Key"]`.
pub type Names = Vec<String>;

/// A module in a file of its own. Modules within a file belong to it; those of tests are left out.
pub struct Module {
    pub file: PathBuf,
    pub parent: Option<usize>,
    pub children: BTreeMap<String, usize>,
    pub imports: Vec<Import>,
    /// Names of what it declares, those of methods included.
    pub items: BTreeSet<String>,
    /// Paths of at least two names, outside of imports.
    pub paths: Vec<Names>,
}

/// Keywords before the name of an item.
const ITEMS: [&str; 7] = ["const", "enum", "fn", "static", "struct", "trait", "type"];

/// One name that a `use` brings into a module.
pub struct Import {
    pub path: Names,
    /// The name in this module; `*` for all of the path's names.
    pub name: String,
    pub is_public: bool,
}

/// The modules of a crate, its root first.
pub fn modules(root: &Path) -> Vec<Module> {
    let mut all = Vec::new();
    read(root, None, &mut all);
    all
}

fn read(file: &Path, parent: Option<usize>, all: &mut Vec<Module>) -> usize {
    let text = std::fs::read_to_string(file).unwrap();
    let tokens: TokenStream = text
        .parse()
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut found = Found::default();
    found.read(tokens);
    let index = all.len();
    all.push(Module {
        file: file.to_owned(),
        parent,
        children: BTreeMap::new(),
        imports: found.imports,
        items: found.items,
        paths: found.paths,
    });
    let name = file.file_stem().unwrap().to_str().unwrap();
    let folder = match name {
        "lib" | "main" | "mod" => file.with_file_name(""),
        _ => file.with_extension(""),
    };
    found.declared.extend(listed_in_macros(&text));
    for name in found.declared {
        let mut files = [
            folder.join(format!("{name}.rs")),
            folder.join(&name).join("mod.rs"),
        ]
        .into_iter();
        let file = files.find(|file| file.exists());
        if let Some(file) = file.filter(|_| !all[index].children.contains_key(&name)) {
            let child = read(&file, Some(index), all);
            all[index].children.insert(name, child);
        }
    }
    index
}

/// The words of the macros that a file defines: one may list modules that another declares.
fn listed_in_macros(text: &str) -> Vec<String> {
    let definitions = text.split("\nmacro_rules! ").skip(1);
    let bodies = definitions.filter_map(|definition| definition.split("\n}\n").next());
    bodies
        .flat_map(|body| body.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .filter(|word| !["", "lib", "main", "mod", "tests"].contains(word))
        .map(str::to_owned)
        .collect()
}

/// What the tokens of a file contain.
#[derive(Default)]
struct Found {
    declared: Vec<String>,
    imports: Vec<Import>,
    items: BTreeSet<String>,
    paths: Vec<Names>,
}

impl Found {
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let (mut at, mut is_public) = (0, false);
        while at < tokens.len() {
            let rest = &tokens[at..];
            at += match rest {
                [TokenTree::Punct(sign), TokenTree::Group(attribute), ..]
                    if sign.as_char() == '#' && is_test(attribute.stream()) =>
                {
                    2 + item_length(&rest[2..])
                }
                // The path of `pub(in super)` is no use of it.
                [TokenTree::Ident(word), TokenTree::Group(scope), ..]
                    if word == "pub" && scope.delimiter() == Delimiter::Parenthesis =>
                {
                    is_public = true;
                    2
                }
                [TokenTree::Ident(word), ..] if word == "pub" => {
                    is_public = true;
                    1
                }
                [TokenTree::Ident(word), ..] if word == "use" => {
                    let length = item_length(rest);
                    let tree = rest[1..length - 1].to_vec();
                    self.import(&tree, &Names::new(), is_public);
                    length
                }
                [
                    TokenTree::Ident(word),
                    TokenTree::Ident(name),
                    TokenTree::Punct(end),
                    ..,
                ] if word == "mod" && end.as_char() == ';' => {
                    self.declared.push(name.to_string());
                    3
                }
                [TokenTree::Group(group), ..] => {
                    self.read(group.stream());
                    1
                }
                [TokenTree::Ident(word), TokenTree::Ident(name), ..]
                    if is_item(word) && !is_item(name) =>
                {
                    self.items.insert(name.to_string());
                    1
                }
                [TokenTree::Ident(_), ..] => {
                    let (path, length) = path(rest);
                    if path.len() > 1 {
                        self.paths.push(path);
                    }
                    length
                }
                // What follows `$crate` belongs to the crate of a macro.
                [TokenTree::Punct(sign), TokenTree::Ident(_), ..] if sign.as_char() == '$' => {
                    1 + path(&rest[1..]).1
                }
                _ => 1,
            };
            let last = &tokens[at - 1];
            is_public &= matches!(last, TokenTree::Ident(word) if word == "pub")
                || matches!(last, TokenTree::Group(scope) if scope.delimiter() == Delimiter::Parenthesis);
        }
    }

    /// Reads one tree of a `use` below `prefix`.
    fn import(&mut self, tree: &[TokenTree], prefix: &Names, is_public: bool) {
        let (path, length) = path(tree);
        let path: Names = prefix.iter().cloned().chain(path).collect();
        match &tree[length..] {
            [TokenTree::Ident(word), TokenTree::Ident(name), ..] if word == "as" => {
                self.add(path, name.to_string(), is_public);
            }
            [.., TokenTree::Group(group)] => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ',');
                for tree in inner.split(is_comma).filter(|tree| !tree.is_empty()) {
                    self.import(tree, &path, is_public);
                }
            }
            [.., TokenTree::Punct(sign)] if sign.as_char() == '*' => {
                self.add(path, "*".to_owned(), is_public);
            }
            _ => {
                let name = path.last().cloned().unwrap_or_default();
                self.add(path, name, is_public);
            }
        }
    }

    fn add(&mut self, mut path: Names, mut name: String, is_public: bool) {
        // `a::{self}` imports `a`.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
            if name == "self" {
                name = path.last().cloned().unwrap_or_default();
            }
        }
        self.imports.push(Import {
            path,
            name,
            is_public,
        });
    }
}

fn is_test(attribute: TokenStream) -> bool {
    attribute.to_string().replace(' ', "") == "cfg(test)"
}

/// The number of tokens up to the end of an item: its semicolon, or its body in braces.
fn item_length(tokens: &[TokenTree]) -> usize {
    let is_use = matches!(tokens, [TokenTree::Ident(word), ..] if word == "use");
    let is_end = |token: &TokenTree| match token {
        TokenTree::Punct(sign) => sign.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !is_use,
        _ => false,
    };
    let end = tokens.iter().position(is_end);
    end.map_or(tokens.len(), |end| end + 1)
}

fn is_item(word: &Ident) -> bool {
    ITEMS.iter().any(|keyword| word == keyword)
}

/// The path at the start of these tokens, and the number of its tokens.
fn path(tokens: &[TokenTree]) -> (Names, usize) {
    let mut names = Names::new();
    let mut at = 0;
    while let Some(TokenTree::Ident(name)) = tokens.get(at) {
        names.push(name.to_string());
        at += 1;
        match &tokens[at..] {
            [TokenTree::Punct(first), TokenTree::Punct(second), ..]
                if first.as_char() == ':'
                    && first.spacing() == Spacing::Joint
                    && second.as_char() == ':' =>
            {
                at += 2;
            }
            _ => break,
        }
    }
    (names, at.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Found {
        let mut found = Found::default();
        found.read(text.parse().unwrap());
        found
    }

    #[test]
    fn reads_imports_and_paths() {
        let found = found(
            "mod a;\npub use self::a::{B, c::{self, D as E}, f::*};\nuse super::super::G;\n\
             pub(in super::super) fn x(y: a::Y) -> Vec<u8> { $crate::z::w(\"q::r\"); Vec::<u8>::new(); h!(i::J) }\n\
             #[cfg(test)]\nmod tests { use k::L; }\n#[cfg(test)]\n#[path = \"n.rs\"]\nmod o;\n// p::Q\n",
        );
        let imports: Vec<String> = found
            .imports
            .iter()
            .map(|one| format!("{} {} {}", one.path.join("::"), one.name, one.is_public))
            .collect();
        assert_eq!(
            imports,
            [
                "self::a::B B true",
                "self::a::c c true",
                "self::a::c::D E true",
                "self::a::f * true",
                "super::super::G G false"
            ]
        );
        let paths: Vec<String> = found.paths.iter().map(|path| path.join("::")).collect();
        assert_eq!(paths, ["a::Y", "i::J"]);
        assert_eq!(found.declared, ["a"]);
    }

    #[test]
    fn reads_names_of_items() {
        let found = found(
            "pub struct A(B);\npub const fn c(d: *const e::F) {}\nmacro_rules! g { () => { enum H {} } }\n",
        );
        assert_eq!(Vec::from_iter(found.items), ["A", "H", "c", "e"]);
        assert_eq!(found.paths, [["e", "F"]]);
    }
}
