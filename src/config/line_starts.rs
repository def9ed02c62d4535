//! Lines and columns of byte offsets in a text.

/// The offsets at which the lines of a text begin.
pub(super) struct LineStarts<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> LineStarts<'a> {
    /// Reads the text once.
    pub(super) fn new(text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after_breaks).collect(),
        }
    }

    /// Line and column in characters, both from 1.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let before = self.text.get(self.starts[line - 1]..offset);
        (line, before.map_or(1, |text| text.chars().count() + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_line_and_column_of_offset() {
        let text = "a\n\nµ = 1";
        let lines = LineStarts::new(text);
        for (offset, position) in [
            (0, (1, 1)),
            (1, (1, 2)),
            (2, (2, 1)),
            (3, (3, 1)),
            (5, (3, 2)),
            (text.len(), (3, 6)),
            (text.len() + 9, (3, 1)),
        ] {
            assert_eq!(lines.position(offset), position, "{offset}");
        }
    }
}
