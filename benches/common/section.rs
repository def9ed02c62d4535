//! The result of one scenario: a table with its description, and every round's figures.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Section {
    /// Also the name of its file in `target/bench`.
    pub name: String,
    pub title: String,
    /// What is measured and what a row means, in Markdown.
    pub text: String,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// Sentences under the table.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The figures of each round.
    pub rounds: Value,
    /// Set when the result is saved.
    #[serde(default)]
    pub date: String,
    #[serde(default)]
    pub quick: bool,
}

impl Section {
    pub fn new(name: &str, title: &str, text: &str, columns: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            text: text.trim().to_owned(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            rows: Vec::new(),
            notes: Vec::new(),
            rounds: Value::Null,
            date: String::new(),
            quick: false,
        }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(
            N,
            self.columns.len(),
            "{}: a row has a cell for each column",
            self.name
        );
        self.rows.push(cells.into());
    }

    /// A Markdown table.
    pub fn table(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells
                .chain([self.columns[column].chars().count()])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &[String]| {
            let padded: Vec<String> = cells
                .iter()
                .zip(&widths)
                .map(|(cell, &width)| format!("{cell:width$}"))
                .collect();
            format!("| {} |\n", padded.join(" | "))
        };
        let mut text = line(&self.columns);
        let dashes: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        text.push_str(&line(&dashes));
        for row in &self.rows {
            text.push_str(&line(row));
        }
        for note in &self.notes {
            text.push_str(&format!("\n{note}\n"));
        }
        text
    }
}
