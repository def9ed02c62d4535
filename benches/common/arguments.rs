//! The arguments of a suite: `[--quick] [--rounds N] [SCENARIO…]`. All suites get the same arguments, and each uses
//! those that name its scenarios.

use super::report;

const ROUNDS: usize = 3;

pub struct Arguments {
    pub quick: bool,
    pub rounds: usize,
    /// Names of this suite's scenarios, in the order of the report.
    wanted: Vec<&'static str>,
}

impl Arguments {
    /// Parses the arguments of the suite with the scenarios `own`. The error is the message for the user.
    pub fn parse(arguments: &[String], own: &[&'static str]) -> Result<Self, String> {
        let (mut quick, mut rounds, mut named) = (false, None, Vec::new());
        let known: Vec<&str> = report::PARTS
            .iter()
            .flat_map(|part| part.scenarios)
            .copied()
            .collect();
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
                // cargo passes it to every bench.
                "--bench" => {}
                name if known.contains(&name) => named.push(name.to_owned()),
                other => {
                    return Err(format!(
                        "{other:?}: choose from --quick, --rounds N, {}",
                        known.join(", ")
                    ));
                }
            }
        }
        let wanted = |name: &&&str| named.is_empty() || named.iter().any(|known| known == **name);
        Ok(Self {
            quick,
            rounds: rounds.unwrap_or(if quick { 1 } else { ROUNDS }),
            wanted: own.iter().filter(wanted).copied().collect(),
        })
    }

    pub fn scenarios(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.wanted.iter().copied()
    }
}
