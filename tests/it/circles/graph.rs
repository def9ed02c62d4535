//! Which modules of a crate use which, and the circles among them.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::once,
};

use super::source::{Module, Names};

/// Whom each module uses, with one of the paths.
pub type Uses = BTreeMap<usize, BTreeMap<usize, String>>;

/// Finds the module that owns what each path names. A module that re-exports its own modules does not use them.
pub fn uses(modules: &[Module]) -> Uses {
    let mut uses = Uses::new();
    for (at, module) in modules.iter().enumerate() {
        let owned = |path: &Names| owner(modules, at, path, &mut BTreeSet::new());
        // The items of an imported module are named by other paths.
        let imports = module.imports.iter().filter(|import| {
            let is_reexport = import.is_public
                && owned(&import.path).is_some_and(|(owner, _)| is_within(modules, owner, at));
            !is_reexport && !owned(&import.path).is_some_and(|(_, is_module)| is_module)
        });
        let paths = imports.map(|import| &import.path).chain(&module.paths);
        for path in paths {
            if let Some((owner, _)) = owned(path).filter(|(owner, _)| *owner != at) {
                let found = uses.entry(at).or_default();
                found.entry(owner).or_insert_with(|| path.join("::"));
            }
        }
    }
    uses
}

fn is_within(modules: &[Module], mut module: usize, parent: usize) -> bool {
    while let Some(above) = modules[module].parent {
        if above == parent {
            return true;
        }
        module = above;
    }
    false
}

/// The module that owns what a path names in a module, and whether that is a module itself; `None` for other crates.
fn owner(
    modules: &[Module],
    from: usize,
    path: &[String],
    seen: &mut BTreeSet<(usize, Names)>,
) -> Option<(usize, bool)> {
    if !seen.insert((from, path.to_vec())) {
        return None;
    }
    let (mut at, mut rest, mut is_bare) = (from, path, true);
    while let Some((name, below)) = rest.split_first() {
        match name.as_str() {
            "crate" => at = 0,
            "self" => {}
            "super" => at = modules[at].parent?,
            name => {
                let Some(child) = modules[at].children.get(name) else {
                    break;
                };
                at = *child;
            }
        }
        (rest, is_bare) = (below, false);
    }
    let Some((name, below)) = rest.split_first() else {
        return Some((at, true));
    };
    match modules[at].imports.iter().find(|one| one.name == *name) {
        // The name of another crate.
        Some(import) if import.path[0] == *name => None,
        Some(import) => {
            let path: Names = import.path.iter().chain(below).cloned().collect();
            owner(modules, at, &path, seen)
        }
        // A bare name that is not imported is of this module or of another crate.
        None => from_glob(modules, at, rest, seen).or((!is_bare).then_some((at, false))),
    }
}

/// The owner of a path's first name, if a glob imports it into this module.
fn from_glob(
    modules: &[Module],
    at: usize,
    path: &[String],
    seen: &mut BTreeSet<(usize, Names)>,
) -> Option<(usize, bool)> {
    if modules[at].items.contains(&path[0]) {
        return None;
    }
    let mut globs = modules[at].imports.iter().filter(|one| one.name == "*");
    globs.find_map(|glob| {
        let (module, true) = owner(modules, at, &glob.path, seen)? else {
            return None;
        };
        let path: Names = once("self".to_owned())
            .chain(path.iter().cloned())
            .collect();
        let found = owner(modules, module, &path, seen)?;
        modules[found.0].items.contains(&path[1]).then_some(found)
    })
}

/// The groups of modules that use each other in a circle.
pub fn circles(uses: &Uses) -> Vec<BTreeSet<usize>> {
    let reached: BTreeMap<usize, BTreeSet<usize>> = uses
        .keys()
        .map(|from| (*from, reachable(uses, *from)))
        .collect();
    let mut found: Vec<BTreeSet<usize>> = Vec::new();
    for (from, targets) in &reached {
        if !targets.contains(from) || found.iter().any(|circle| circle.contains(from)) {
            continue;
        }
        let is_mutual = |to: &usize| reached.get(to).is_some_and(|back| back.contains(from));
        found.push(targets.iter().copied().filter(is_mutual).collect());
    }
    found
}

/// The modules that a module uses, directly or not.
fn reachable(uses: &Uses, from: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        for used in uses.get(&module).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(*used) {
                next.push(*used);
            }
        }
    }
    found
}
