//! No module of this crate imports a module that imports it, directly or by way of others. The same holds for the folders.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// A module by the segments of its path within the crate.
type Module = Vec<String>;

type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// The sources of the crate, without its tests.
struct Sources {
    files: BTreeMap<Module, String>,
    /// What a module reexports: the item's name and the module that it comes from.
    reexports: BTreeMap<(Module, String), Module>,
}

#[test]
fn modules_import_without_circles() {
    let sources = Sources::read();
    let graph = sources.graph();
    let edges: usize = graph.values().map(BTreeSet::len).sum();
    assert!(edges > 100, "only {edges} imports were found");
    if let Some(circle) = find_circle(&graph) {
        panic!("modules import in a circle: {}", show(&circle));
    }
}

#[test]
fn folders_import_without_circles() {
    let mut folders = Graph::new();
    for (from, targets) in Sources::read().graph() {
        let folder = |module: &Module| module.iter().take(1).cloned().collect::<Module>();
        let others = targets.iter().map(folder).filter(|to| *to != folder(&from));
        folders.entry(folder(&from)).or_default().extend(others);
    }
    assert!(folders.len() > 10, "only {} folders", folders.len());
    if let Some(circle) = find_circle(&folders) {
        panic!("folders import in a circle: {}", show(&circle));
    }
}

impl Sources {
    fn read() -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut paths = Vec::new();
        list(&src, &mut paths);
        let mut files = BTreeMap::new();
        for path in paths {
            let relative = path.strip_prefix(&src).unwrap().with_extension("");
            let mut module: Module = relative
                .components()
                .map(|part| part.as_os_str().to_str().unwrap().to_owned())
                .collect();
            let last = module.last().unwrap();
            let is_test = module[0] == "tests" || last.ends_with("tests");
            if is_test {
                continue;
            }
            module.pop_if(|last| last == "mod" || last == "lib");
            let text = std::fs::read_to_string(&path).unwrap();
            files.insert(module, without_tests(&text));
        }
        let mut sources = Self {
            files,
            reexports: BTreeMap::new(),
        };
        sources.reexports = sources.find_reexports();
        sources
    }

    fn find_reexports(&self) -> BTreeMap<(Module, String), Module> {
        let mut found = BTreeMap::new();
        for (module, text) in &self.files {
            for (visibility, path) in uses(text) {
                if let (Use::Reexport, Some(path)) = (visibility, self.absolute(module, &path)) {
                    let (from, item) = self.split(&path);
                    if let Some(item) = item {
                        found.insert((module.clone(), item), from);
                    }
                }
            }
        }
        found
    }

    /// Which modules each module imports.
    fn graph(&self) -> Graph {
        let mut graph = Graph::new();
        for (module, text) in &self.files {
            // What a module only reexports it does not use itself.
            let code = split_uses(text).1;
            let is_used = |path: &[String]| path.last().is_some_and(|item| contains(&code, item));
            let imported = uses(text)
                .into_iter()
                .filter(|(visibility, path)| *visibility == Use::Import || is_used(path));
            let paths = imported.map(|(_, path)| path).chain(inline_paths(text));
            let targets = paths
                .filter_map(|path| self.absolute(module, &path))
                .map(|path| self.defining(&path))
                .filter(|target| target != module && !target.is_empty());
            graph.entry(module.clone()).or_default().extend(targets);
        }
        graph
    }

    /// A path from the crate's root; `None` for another crate's.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Module> {
        let child = [module.as_slice(), &path[..1]].concat();
        let mut absolute = match path[0].as_str() {
            "crate" => Module::new(),
            "self" | "super" => module.clone(),
            _ if self.files.contains_key(&child) => module.clone(),
            _ => return None,
        };
        for segment in path {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => drop(absolute.pop()),
                name => absolute.push(name.to_owned()),
            }
        }
        Some(absolute)
    }

    /// The module of a path, and the item in it.
    fn split(&self, path: &[String]) -> (Module, Option<String>) {
        let length = (0..=path.len())
            .rev()
            .find(|length| self.files.contains_key(&path[..*length]));
        let length = length.unwrap_or(0);
        (path[..length].to_vec(), path.get(length).cloned())
    }

    /// The module that defines what a path names.
    fn defining(&self, path: &[String]) -> Module {
        let (module, item) = self.split(path);
        let reexported = item.and_then(|item| {
            let from = self.reexports.get(&(module.clone(), item.clone()))?;
            Some(self.defining(&[from.as_slice(), &[item]].concat()))
        });
        reexported.unwrap_or(module)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Import,
    Reexport,
}

/// The `use` declarations of a text, and the rest of it.
fn split_uses(text: &str) -> (Vec<(Use, String)>, String) {
    let (mut declarations, mut code) = (Vec::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let (visibility, tree) = match trimmed.strip_prefix("pub ") {
            Some(rest) => (Use::Reexport, rest.strip_prefix("use ")),
            None => (Use::Import, trimmed.strip_prefix("use ")),
        };
        let Some(tree) = tree else {
            if !trimmed.starts_with("//") {
                code.push_str(line);
                code.push('\n');
            }
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            tree.push_str(lines.next().expect("the declaration ends"));
        }
        declarations.push((visibility, tree.trim_end_matches(';').to_owned()));
    }
    (declarations, code)
}

/// The paths of all `use` declarations.
fn uses(text: &str) -> Vec<(Use, Vec<String>)> {
    let mut found = Vec::new();
    for (visibility, tree) in split_uses(text).0 {
        expand(&[], &tree, &mut |path| found.push((visibility, path)));
    }
    found
}

/// Calls `found` with each path of a `use` tree.
fn expand(prefix: &[String], tree: &str, found: &mut impl FnMut(Vec<String>)) {
    let tree = tree.trim();
    if tree.is_empty() {
        return;
    }
    let (head, group) = match tree.split_once('{') {
        Some((head, group)) => (head, group.trim_end().strip_suffix('}')),
        None => (tree, None),
    };
    let head = head.split(" as ").next().unwrap_or_default();
    let segments = head.split("::").map(str::trim);
    let segments = segments.filter(|segment| !segment.is_empty() && *segment != "*");
    let mut path = prefix.to_vec();
    path.extend(segments.map(str::to_owned));
    let Some(group) = group else {
        path.pop_if(|last| last == "self" && prefix.len() > 1);
        return found(path);
    };
    let (mut depth, mut start) = (0, 0);
    for (at, character) in group.char_indices().chain([(group.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&path, &group[start..at], found);
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Paths within code, such as `super::uring::Uring`.
fn inline_paths(text: &str) -> Vec<Vec<String>> {
    let is_path = |character: char| character.is_alphanumeric() || "_:".contains(character);
    let (_, code) = split_uses(text);
    code.split(|character| !is_path(character))
        .filter(|word| word.contains("::") && !word.starts_with("::"))
        .map(|word| word.split("::").map(str::to_owned).collect())
        .collect()
}

/// Whether a word occurs in code.
fn contains(code: &str, word: &str) -> bool {
    code.split(|character: char| !character.is_alphanumeric() && character != '_')
        .any(|other| other == word)
}

fn without_tests(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {");
    text[..end.unwrap_or(text.len())].to_owned()
}

fn list(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// A circle of imports, if there is one: a path whose first module is imported by its last.
fn find_circle(graph: &Graph) -> Option<Vec<Module>> {
    let mut done = BTreeSet::new();
    graph
        .keys()
        .find_map(|module| visit(graph, module, &mut Vec::new(), &mut done))
}

fn visit(
    graph: &Graph,
    module: &Module,
    path: &mut Vec<Module>,
    done: &mut BTreeSet<Module>,
) -> Option<Vec<Module>> {
    if let Some(at) = path.iter().position(|known| known == module) {
        return Some(path[at..].to_vec());
    }
    if done.contains(module) {
        return None;
    }
    path.push(module.clone());
    for target in graph.get(module).into_iter().flatten() {
        let circle = visit(graph, target, path, done);
        if circle.is_some() {
            return circle;
        }
    }
    path.pop();
    done.insert(module.clone());
    None
}

fn show(circle: &[Module]) -> String {
    let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
    format!("{} → {}", names.join(" → "), names[0])
}

#[test]
fn finds_imports_reexports_and_circles() {
    let sources = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(name, text)| {
            let module = name.split('/').map(str::to_owned).collect();
            (module, (*text).to_owned())
        });
        let mut sources = Sources {
            files: files.collect(),
            reexports: BTreeMap::new(),
        };
        sources.reexports = sources.find_reexports();
        find_circle(&sources.graph()).map(|circle| show(&circle))
    };
    let facade = "mod b;\nmod c;\npub use b::B;\npub use c::C;\n";
    let child = "use super::B;\nstruct C;\n";
    assert_eq!(sources(&[("a", facade), ("a/b", ""), ("a/c", child)]), None);
    let grouped = "use crate::{\n    x::Y,\n    a::{self, C},\n};\n";
    assert_eq!(
        sources(&[("a", facade), ("a/b", grouped), ("a/c", child)]).as_deref(),
        Some("a::b → a::c → a::b")
    );
    let inline = "fn f() {\n    crate::b::g();\n}\n";
    assert_eq!(
        sources(&[("a", inline), ("b", "use crate::a::f;\n")]).as_deref(),
        Some("a → b → a")
    );
}
