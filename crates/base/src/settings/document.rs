//! Writes `config/default.toml` from the declared keys.

use super::{Key, Kind, Shape, key::join};

/// Longest line of prose.
const WIDTH: usize = 116;

/// A TOML file with every listed key: its text, the numbers that it accepts, and its default. Keys without a default and
/// entries of lists are commented out; prose is behind two comment signs.
pub fn document(introduction: &str, root: &'static [Key]) -> String {
    let mut file = Document::default();
    file.prose(introduction);
    file.below(root, "", Form::Active);
    let text: Vec<&str> = file.text.lines().map(str::trim_end).collect();
    text.join("\n") + "\n"
}

/// How a key is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Active,
    /// Commented out.
    Example,
}

#[derive(Default)]
struct Document {
    text: String,
}

impl Document {
    /// The values of a section, then the sections in it. The keys of a list are examples.
    fn keys(&mut self, keys: &'static [Key], path: &str, form: Form) {
        for key in keys.iter().filter(|key| key.is_listed) {
            if matches!(key.shape, Shape::Value) {
                self.value(key, form);
            }
        }
        self.below(keys, path, form);
    }

    fn below(&mut self, keys: &'static [Key], path: &str, form: Form) {
        for key in keys {
            let path = join(path, key.name);
            let text = key.text.join(" ");
            match key.shape {
                Shape::Value => {}
                Shape::Section(own) => {
                    // A section whose keys have no defaults is only an example.
                    let form = match own.iter().all(|key| default(key).is_none()) {
                        true => Form::Example,
                        false => form,
                    };
                    self.header(&format!("[{path}]"), &text, form);
                    self.keys(own, &path, form);
                }
                Shape::List(Shape::Section(own)) => {
                    self.header(&format!("[[{path}]]"), &text, Form::Example);
                    self.keys(own, &path, Form::Example);
                }
                Shape::List(Shape::Kinds { common, kinds }) => {
                    self.kinds(&path, &text, common, &kinds());
                }
                Shape::List(_) | Shape::Kinds { .. } => {}
            }
        }
    }

    /// An entry of each kind: the first has the common keys too, the others their required ones.
    fn kinds(&mut self, path: &str, text: &str, common: &'static [Key], kinds: &[Kind]) {
        for (at, kind) in kinds.iter().enumerate() {
            let title = match at {
                0 => text,
                _ => "",
            };
            self.header(&format!("[[{path}]]"), title, Form::Example);
            self.prose(&format!("{:?}: {}.", kind.name, kind.text));
            self.line(&format!("# kind = {:?}", kind.name));
            for key in common.iter().filter(|key| key.name != "kind") {
                if at == 0 {
                    self.value(key, Form::Example);
                } else if key.is_required {
                    self.line(&format!("# {} = {}", key.name, shown(key)));
                }
            }
            let same = kinds[..at].iter().find(|of| are_same(of.keys, kind.keys));
            match same {
                Some(same) => self.prose(&format!("The keys are those of {:?}.", same.name)),
                None => self.keys(kind.keys, path, Form::Example),
            }
        }
    }

    fn header(&mut self, header: &str, text: &str, form: Form) {
        self.text.push('\n');
        self.prose(text);
        self.line(&match form {
            Form::Example => format!("# {header}"),
            Form::Active => header.to_owned(),
        });
    }

    fn value(&mut self, key: &Key, form: Form) {
        let mut text = key.text.join(" ");
        let range = key.range.map(|range| range.to_string());
        let accepted = match (range, key.unit_name()) {
            (Some(range), Some(unit)) => Some(format!("({range} {unit})")),
            (Some(range), None) => Some(format!("({range})")),
            (None, Some(unit)) => Some(format!("(in {unit})")),
            (None, None) => None,
        };
        if let Some(accepted) = accepted {
            // Not wrapped within.
            text = format!("{text} {}", accepted.replace(' ', "\u{a0}"));
        }
        if key.is_required {
            text += " (required)";
        }
        self.prose(text.trim());
        let line = format!("{} = {}", key.name, shown(key));
        self.line(&match form == Form::Example || default(key).is_none() {
            true => format!("# {line}"),
            false => line,
        });
    }

    /// Text behind two comment signs, wrapped.
    fn prose(&mut self, text: &str) {
        for paragraph in text.lines() {
            let mut line = String::from("##");
            for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
                if line.chars().count() + 1 + word.chars().count() > WIDTH {
                    self.line(&line);
                    line = String::from("##");
                }
                line = format!("{line} {}", word.replace('\u{a0}', " "));
            }
            self.line(&line);
        }
    }

    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }
}

/// Whether two kinds have the same keys.
fn are_same(one: &[Key], other: &[Key]) -> bool {
    let named = |keys: &[Key]| {
        keys.iter()
            .map(|key| (key.name, key.text))
            .collect::<Vec<_>>()
    };
    named(one) == named(other)
}

/// TOML of the default, if there is one to show.
fn default(key: &Key) -> Option<String> {
    let default = (key.default)();
    (key.example.is_none() && !default.is_empty()).then_some(default)
}

/// TOML of the default or of the example.
fn shown(key: &Key) -> String {
    default(key).unwrap_or_else(|| key.example.unwrap_or("…").to_owned())
}
