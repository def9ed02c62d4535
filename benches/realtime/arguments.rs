//! What of the suite is run: `[--quick] [--rounds N] [SCENARIO…]`.

use crate::scenario::{self, Scenario};

const ROUNDS: usize = 3;

pub struct Arguments {
    pub quick: bool,
    pub rounds: usize,
    /// Names of scenarios; all of them when empty.
    wanted: Vec<String>,
}

impl Arguments {
    /// Fails with what to say to whoever typed them.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let (mut quick, mut rounds, mut wanted) = (false, None, Vec::new());
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--quick" => quick = true,
                "--rounds" => {
                    let number = rest.next().and_then(|number| number.parse().ok());
                    rounds = Some(
                        number
                            .filter(|number| *number > 0)
                            .ok_or("--rounds takes a number above 0")?,
                    );
                }
                // cargo says it to every bench.
                "--bench" => {}
                name if scenario::ALL.iter().any(|(known, _)| *known == name) => {
                    wanted.push(name.to_owned())
                }
                other => {
                    let known: Vec<&str> = scenario::ALL.iter().map(|(name, _)| *name).collect();
                    return Err(format!(
                        "{other:?}: choose from --quick, --rounds N, {}",
                        known.join(", ")
                    ));
                }
            }
        }
        let rounds = rounds.unwrap_or(if quick { 1 } else { ROUNDS });
        Ok(Self {
            quick,
            rounds,
            wanted,
        })
    }

    pub fn scenarios(&self) -> impl Iterator<Item = &'static Scenario> + '_ {
        let wanted =
            |name: &str| self.wanted.is_empty() || self.wanted.iter().any(|known| known == name);
        scenario::ALL.iter().filter(move |(name, _)| wanted(name))
    }
}
