//! A complaint about one place in the project file, shown the way compilers do: file, line, column, the
//! line itself with a caret, what was expected, the nearest valid name and a way out.

use std::fmt;
use std::ops::Range;

/// One complaint about the project file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as the user named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The text of that line.
    pub source_line: String,
    /// How many characters the complaint is about.
    pub width: usize,
    /// What is wrong.
    pub message: String,
    /// What would have been right, where that is not in the message.
    pub expected: Option<String>,
    /// The way out, where one is known.
    pub hint: Option<String>,
}

/// The longest stretch of a line that is shown.
const LINE_CHARS_MAX: usize = 160;

impl Diagnostic {
    /// A complaint about the bytes `span` of `text`.
    pub(crate) fn at(file: &str, text: &str, span: Range<usize>, problem: Problem) -> Self {
        let start = floor_boundary(text, span.start);
        let end = floor_boundary(text, span.end.max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        let line = text[line_start..line_end].trim_end_matches('\r');
        Self {
            file: file.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            source_line: line.chars().take(LINE_CHARS_MAX).collect(),
            width: text[start..end.clamp(start, line_end)].trim_end().chars().count().max(1),
            message: problem.message,
            expected: problem.expected,
            hint: problem.hint,
        }
    }
}

fn floor_boundary(text: &str, mut index: usize) -> usize {
    index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if self.column <= LINE_CHARS_MAX && !self.source_line.trim().is_empty() {
            let number = self.line.to_string();
            let gutter = " ".repeat(number.len());
            // Tabs are kept in the caret's line, so that it stands under the text in any terminal.
            let indent: String = self
                .source_line
                .chars()
                .take(self.column - 1)
                .map(|c| if c == '\t' { c } else { ' ' })
                .collect();
            let carets = "^".repeat(self.width.min(LINE_CHARS_MAX));
            write!(f, "\n  {number} | {}\n  {gutter} | {indent}{carets}", self.source_line)?;
        }
        if let Some(expected) = &self.expected {
            write!(f, "\n  expected: {expected}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// What is wrong, before its place is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) expected: Option<String>,
    pub(crate) hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds "did you mean …?" where one of the names is close to what was written.
    pub(crate) fn nearest<'a>(self, written: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(written, names) {
            Some(name) => self.hint(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

/// The name most like `written`, where one is like it at all.
pub(crate) fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_word() {
        let text = "[training]\n\tepoch = 3\n";
        let start = text.find("epoch").expect("is there");
        let problem = Problem::new("unknown key `epoch`").nearest("epoch", ["epochs", "seed"]);
        let shown = Diagnostic::at("modelyard.toml", text, start..start + 5, problem).to_string();
        assert_eq!(
            shown,
            "modelyard.toml:2:2: unknown key `epoch`\n  2 | \tepoch = 3\n    | \t^^^^^\n  hint: did you mean `epochs`?"
        );
    }

    #[test]
    fn a_place_outside_the_text_or_inside_a_character_is_shown_near_it() {
        for (text, span) in [("", 5..9), ("é", 1..2), ("a\nb", 900..1000)] {
            let diagnostic = Diagnostic::at("f", text, span, Problem::new("m"));
            assert!(diagnostic.line >= 1 && diagnostic.column >= 1);
            assert!(diagnostic.to_string().starts_with("f:"));
        }
    }

    #[test]
    fn names_that_are_nothing_alike_are_not_offered() {
        assert_eq!(nearest("dens", ["dense", "conv2d"]), Some("dense"));
        assert_eq!(nearest("Dense", ["dense", "conv2d"]), Some("dense"));
        assert_eq!(nearest("zzz", ["dense", "conv2d"]), None);
    }
}
