//! The edges of a flow graph, and what they weigh. There can be nearly as many as the call tree has
//! nodes, so they are small: memory that is new is slow, and so is what does not fit a cache.

use super::Ranked;

/// From one node to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    from: u32,
    to: u32,
    /// Its row of the [`EdgeWeights`].
    row: u32,
    /// Whether lines were skipped between the two, in some stack.
    pub(super) residual: bool,
}

impl Edge {
    pub(super) const fn new(from: u32, to: u32, row: u32, residual: bool) -> Self {
        Self {
            from,
            to,
            row,
            residual,
        }
    }

    pub(super) const fn from(&self) -> usize {
        self.from as usize
    }

    pub(super) const fn to(&self) -> usize {
        self.to as usize
    }

    /// The same edge where the nodes have other numbers; `None` if one of them has none.
    pub(super) fn renumbered(self, number: impl Fn(usize) -> Option<u32>) -> Option<Self> {
        let (from, to) = (number(self.from())?, number(self.to())?);
        Some(Self { from, to, ..self })
    }
}

/// A row for each edge, and in it a weight for each column.
#[derive(Debug, Clone)]
pub(super) struct EdgeWeights {
    columns: usize,
    rows: Vec<i64>,
    /// How many rows there are, fewer than a call tree has nodes.
    len: u32,
}

impl EdgeWeights {
    /// So many rows that weigh nothing yet.
    pub(super) fn zeros(columns: usize, len: u32) -> Self {
        Self {
            columns,
            rows: vec![0; columns * len as usize],
            len,
        }
    }

    /// A row more, and its number.
    pub(super) fn push(&mut self, weights: &[i64]) -> u32 {
        self.rows.extend_from_slice(weights);
        self.len += 1;
        self.len - 1
    }

    /// Adds to the weight that a row has in a column.
    #[inline]
    pub(super) fn add(&mut self, row: u32, column: usize, weight: i64) {
        if let Some(sum) = self.rows.get_mut(row as usize * self.columns + column) {
            *sum = sum.saturating_add(weight);
        }
    }

    fn row(&self, row: u32) -> &[i64] {
        let begin = row as usize * self.columns;
        self.rows
            .get(begin..begin + self.columns)
            .unwrap_or_default()
    }

    pub(super) fn of(&self, edge: &Edge) -> &[i64] {
        self.row(edge.row)
    }

    /// The weights of a row without their sign, those of all columns together.
    pub(super) fn size_of_row(&self, row: u32) -> u64 {
        self.row(row).iter().fold(0, |sum: u64, weight| {
            sum.saturating_add(weight.unsigned_abs())
        })
    }

    pub(super) fn size(&self, edge: &Edge) -> u64 {
        self.size_of_row(edge.row)
    }

    /// What puts the edges of one source in their order.
    pub(super) fn key(&self, edge: &Edge) -> Ranked {
        Ranked::new(self.size(edge), edge.to, 0)
    }

    /// Gives up the rows of all edges but these.
    pub(super) fn keep(&mut self, edges: &mut [Edge]) {
        if edges.len() == self.len as usize {
            return;
        }
        let mut kept = Self::zeros(self.columns, 0);
        for edge in edges {
            edge.row = kept.push(self.of(edge));
        }
        *self = kept;
    }
}
