//! Environment variables that override the file: `CHAINCAST__SECTION__KEY`, and the conventional `DATABASE_URL` and
//! `PORT`.

use toml::{Table, Value};

use super::{Config, ConfigError};

const PREFIX: &str = "CHAINCAST__";

/// Sets the overriding variables in the table of the file. Fails for a variable that names no place in it; what its value
/// is worth is checked with the rest.
pub(super) fn apply(
    table: &mut Table,
    environment: &[(String, String)],
) -> Result<(), ConfigError> {
    for (variable, path, value) in variables(environment) {
        let key = path.join(".");
        let mut trials = Vec::new();
        for candidate in candidates(&value) {
            let mut trial = table.clone();
            set(&mut trial, &path, candidate).map_err(|reason| ConfigError::Variable {
                variable: variable.clone(),
                reason,
            })?;
            let is_usable = !Config::from_table(trial.clone()).1.is_unreadable(&key);
            trials.push(trial);
            if is_usable {
                // The last one is used.
                trials.drain(..trials.len() - 1);
                break;
            }
        }
        // If none can be used, the first candidate is the most likely one, so its error is the most useful.
        if let Some(trial) = trials.into_iter().next() {
            *table = trial;
        }
    }
    Ok(())
}

/// The overriding variables, each with its dotted key; later ones win.
pub(super) fn overrides(environment: &[(String, String)]) -> Vec<(String, String)> {
    let ours = variables(environment).into_iter();
    ours.map(|(variable, path, _)| (variable, path.join(".")))
        .collect()
}

/// (variable, path of keys, value). The conventional variables come first so that `CHAINCAST__` variables win; those
/// are sorted by name.
fn variables(environment: &[(String, String)]) -> Vec<(String, Vec<String>, String)> {
    let mut conventional = Vec::new();
    let mut ours = Vec::new();
    for (name, value) in environment {
        let path: Vec<String> = match name.as_str() {
            "DATABASE_URL" => vec!["database".into(), "url".into()],
            "PORT" => vec!["server".into(), "port".into()],
            _ => {
                if let Some(rest) = name.strip_prefix(PREFIX) {
                    let path = rest.split("__").map(str::to_ascii_lowercase).collect();
                    ours.push((name.clone(), path, value.clone()));
                }
                continue;
            }
        };
        conventional.push((name.clone(), path, value.clone()));
    }
    conventional.sort();
    ours.sort();
    conventional.extend(ours);
    conventional
}

/// The value as TOML if it parses (a number, a boolean, a list), and as plain text.
fn candidates(value: &str) -> Vec<Value> {
    let plain = Value::String(value.to_owned());
    match toml::from_str::<Table>(&format!("value = {value}"))
        .map(|mut table| table.remove("value"))
    {
        Ok(Some(parsed)) => vec![parsed, plain],
        _ => vec![plain],
    }
}

/// Sets `path` in `table` and creates missing sections. A number in the path selects a list element, or appends the
/// next one.
fn set(table: &mut Table, path: &[String], value: Value) -> Result<(), String> {
    if path.is_empty() || path.iter().any(String::is_empty) {
        return Err("has an empty part; use CHAINCAST__SECTION__KEY".to_owned());
    }
    let mut root = Value::Table(std::mem::take(table));
    let mut at = &mut root;
    for (depth, part) in path.iter().enumerate() {
        let below_is_list = path
            .get(depth + 1)
            .is_some_and(|next| next.parse::<usize>().is_ok());
        let empty = || {
            if below_is_list {
                Value::Array(vec![])
            } else {
                Value::Table(Table::new())
            }
        };
        at = match at {
            Value::Table(table) => table.entry(part.clone()).or_insert_with(empty),
            Value::Array(items) => {
                let index = part
                    .parse::<usize>()
                    .map_err(|_| format!("{part:?} is not a position in a list"))?;
                if index == items.len() {
                    items.push(empty());
                }
                let count = items.len();
                items.get_mut(index).ok_or(format!(
                    "position {index} is beyond the end of the list ({count} elements)"
                ))?
            }
            other => {
                return Err(format!(
                    "{part:?} is inside a {}, not a section",
                    other.type_str()
                ));
            }
        };
    }
    *at = value;
    if let Value::Table(filled) = root {
        *table = filled;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlaid(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let environment: Vec<_> = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let mut table = toml::from_str(text).unwrap();
        apply(&mut table, &environment)?;
        let (config, problems) = Config::from_table(table);
        match problems.into_unreadable() {
            none if none.is_empty() => Ok(config),
            problems => Err(ConfigError::Invalid(problems).overridden(&overrides(&environment))),
        }
    }

    #[test]
    fn prefixed_variable_wins_over_port_and_file() {
        let config = overlaid(
            "[server]\nport = 1",
            &[("PORT", "2"), ("CHAINCAST__SERVER__PORT", "3")],
        );
        assert_eq!(config.unwrap().server.port, 3);
    }

    #[test]
    fn secret_of_digits_stays_a_string() {
        let config = overlaid("", &[("CHAINCAST__GATEWAY__AUTH__SECRET", "12345")]).unwrap();
        assert_eq!(config.gateway.auth.secret.expose(), "12345");
    }

    #[test]
    fn position_selects_list_element() {
        let text = "[[chains]]\nchain_id = 1\nrpc_url = \"http://a\"";
        let environment = [
            ("CHAINCAST__CHAINS__0__RPC_URL", "http://b"),
            (
                "CHAINCAST__GATEWAY__ALLOWED_ORIGINS",
                "[\"https://a.example\"]",
            ),
        ];
        let config = overlaid(text, &environment).unwrap();
        assert_eq!(config.chains[0].rpc_url.expose(), "http://b");
        assert_eq!(config.gateway.allowed_origins, ["https://a.example"]);
    }

    #[test]
    fn override_error_names_its_variable() {
        for (name, value) in [
            ("CHAINCAST__SERVER__PROT", "1"),
            ("CHAINCAST__SERVER__PORT", "many"),
            ("CHAINCAST__SERVER__PORT__X", "1"),
            ("CHAINCAST__CHAINS__7__RPC_URL", "http://b"),
            ("CHAINCAST__", "1"),
        ] {
            let error = overlaid("[server]\nport = 1", &[(name, value)]).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
