//! The blocks that are compared, and those that were requested but cannot be.

/// The requested heights that the index and the node both have.
#[derive(Debug)]
pub(super) struct ComparedRange {
    pub(super) from: u64,
    pub(super) to: u64,
    /// The requested ranges outside of it.
    pub(super) uncompared: Vec<String>,
    /// The first and last indexed height.
    indexed: (u64, u64),
    node_head: u64,
    /// Whether the node lacks requested heights that are indexed.
    is_cut: bool,
}

impl ComparedRange {
    /// `indexed` are the first and last indexed height.
    pub(super) fn new(
        indexed: (u64, u64),
        node_head: u64,
        from: Option<u64>,
        to: Option<u64>,
    ) -> Self {
        let (start, head) = indexed;
        let mut uncompared = Vec::new();
        if let Some(requested) = from.filter(|requested| *requested < start) {
            let below = start - 1;
            uncompared.push(format!("blocks {requested} to {below} are not indexed"));
        }
        if let Some(requested) = to.filter(|requested| *requested > head) {
            let above = from.unwrap_or(0).max(head + 1);
            uncompared.push(format!("blocks {above} to {requested} are not indexed"));
        }
        if let Some(requested) = to.filter(|requested| node_head < (*requested).min(head)) {
            let (above, requested) = (node_head + 1, requested.min(head));
            uncompared.push(format!(
                "the node does not have blocks {above} to {requested} yet"
            ));
        }
        let last = to.unwrap_or(u64::MAX).min(head);
        Self {
            from: from.unwrap_or(0).max(start),
            to: last.min(node_head),
            is_cut: node_head < last,
            uncompared,
            indexed,
            node_head,
        }
    }

    /// For people, if the node does not have all requested heights of the index.
    pub(super) fn warning(&self) -> Option<String> {
        let (node_head, (_, head)) = (self.node_head, self.indexed);
        self.is_cut.then(|| {
            format!(
                "the node is at block {node_head}, behind the index at {head}: higher blocks are not compared"
            )
        })
    }

    /// Why there is nothing to compare, if there is not.
    pub(super) fn error(&self) -> Option<String> {
        let (from, node_head, (start, head)) = (self.from, self.node_head, self.indexed);
        (from > self.to).then(|| {
            format!(
                "no blocks to compare from {from} on: blocks {start} to {head} are indexed, the node is at {node_head}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_what_index_and_node_have() {
        let all = ComparedRange::new((5, 20), 30, None, None);
        assert_eq!((all.from, all.to), (5, 20));
        assert!(all.uncompared.is_empty() && all.warning().is_none() && all.error().is_none());
        let behind = ComparedRange::new((5, 20), 12, Some(3), Some(25));
        assert_eq!((behind.from, behind.to), (5, 12));
        assert_eq!(
            behind.uncompared,
            [
                "blocks 3 to 4 are not indexed",
                "blocks 21 to 25 are not indexed",
                "the node does not have blocks 13 to 20 yet",
            ]
        );
        let warning = behind.warning().unwrap();
        assert!(warning.contains("behind the index at 20"), "{warning}");
        let empty = ComparedRange::new((5, 20), 12, Some(13), None);
        let error = empty.error().unwrap();
        assert!(error.contains("blocks 5 to 20 are indexed"), "{error}");
    }
}
