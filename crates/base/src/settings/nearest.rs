//! Names that were probably meant.

/// The most similar word, if the difference can be a typo.
pub(super) fn closest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let tolerated = (word.chars().count() / 3).max(1);
    let best = among
        .map(|one| (distance(word, one), one))
        .min_by_key(|(apart, _)| *apart);
    let (apart, one) = best?;
    let begins = word.len() >= 3 && (one.starts_with(word) || word.starts_with(one));
    (apart <= tolerated || begins).then_some(one)
}

/// `chains.0.rpc_url` is declared as `chains.rpc_url`.
pub(super) fn without_positions(path: &str) -> String {
    let named = path
        .split('.')
        .filter(|part| part.parse::<usize>().is_err());
    named.collect::<Vec<_>>().join(".")
}

/// Edit distance: letters to insert, delete, replace, or swap with their neighbour.
pub(super) fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before_last = vec![0; other.len() + 1];
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for row in 0..one.len() {
        let mut this = vec![row + 1];
        for column in 0..other.len() {
            let replaced = last[column] + usize::from(one[row] != other[column]);
            let mut least = replaced.min(last[column + 1] + 1).min(this[column] + 1);
            let swapped = row > 0
                && column > 0
                && one[row] == other[column - 1]
                && one[row - 1] == other[column];
            if swapped {
                least = least.min(before_last[column - 1] + 1);
            }
            this.push(least);
        }
        before_last = std::mem::replace(&mut last, this);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_swap_as_one() {
        for (one, other, apart) in [
            ("port", "prot", 1),
            ("port", "port", 0),
            ("", "abc", 3),
            ("host", "hosts", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), apart, "{one} {other}");
            assert_eq!(distance(other, one), apart, "{other} {one}");
        }
    }
}
