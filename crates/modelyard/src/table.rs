//! Small text tables: columns padded to their widest cell.

/// How a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells under a heading.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            columns: columns.iter().map(|(_, align)| *align).collect(),
            rows: vec![columns.iter().map(|(name, _)| (*name).to_owned()).collect()],
        }
    }

    /// Adds a row; it must have a cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    /// The table as text, each line indented by `indent` spaces, without a line end after the last.
    pub(crate) fn render(&self, indent: usize) -> String {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let lines: Vec<String> = self.rows.iter().map(|row| self.line(row, &widths, indent)).collect();
        lines.join("\n")
    }

    fn line(&self, row: &[String], widths: &[usize], indent: usize) -> String {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .zip(&self.columns)
            .map(|((cell, &width), align)| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect();
        format!("{}{}", " ".repeat(indent), cells.join("  ").trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_padded_to_the_widest() {
        let mut table = Table::new(&[("metric", Align::Left), ("test", Align::Right)]);
        table.row(["accuracy".to_owned(), "0.98".to_owned()]);
        table.row(["größe".to_owned(), "1".to_owned()]);
        assert_eq!(table.render(2), "  metric    test\n  accuracy  0.98\n  größe        1");
    }
}
