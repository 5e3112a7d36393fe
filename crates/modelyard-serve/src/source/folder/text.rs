//! Protocol Buffers' text format as a tree of fields that know their lines, so that a field which is not
//! supported is refused by name and place. A schema-driven parser would drop the lines before anything here
//! could look at the fields.
//!
//! Source: <https://protobuf.dev/reference/protobuf/textformat-spec/>, without extensions and `Any`.

use std::iter::Peekable;
use std::str::CharIndices;

/// Messages in messages.
const DEPTH_MAX: usize = 16;

/// One field of a message; lists are as many fields of one name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    /// Its name.
    pub(super) name: String,
    /// The line that it begins on, from 1.
    pub(super) line: usize,
    /// What it holds.
    pub(super) value: Value,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A quoted text.
    Text(String),
    /// A number, or a name such as `true` or `KIND_CPU`, as it is written.
    Word(String),
    /// What JSON puts in quotes: a text, a name or a number.
    Quoted(String),
    /// More fields.
    Message(Vec<Field>),
}

/// What is wrong, and on which line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Malformed {
    /// From 1.
    pub(super) line: usize,
    /// In a sentence.
    pub(super) what: String,
}

/// Parses a whole file. Safe on any text: what it makes is in proportion to it, and nesting is bounded.
///
/// # Errors
/// The first place that is not text format.
pub(super) fn parse(text: &str) -> Result<Vec<Field>, Malformed> {
    let mut parser = Parser { text, chars: text.char_indices().peekable(), line: 1 };
    let fields = parser.fields(None, 0)?;
    Ok(fields)
}

struct Parser<'t> {
    text: &'t str,
    chars: Peekable<CharIndices<'t>>,
    line: usize,
}

impl Parser<'_> {
    fn wrong<T>(&self, what: impl Into<String>) -> Result<T, Malformed> {
        Err(Malformed { line: self.line, what: what.into() })
    }

    fn next(&mut self) -> Option<char> {
        let (_, letter) = self.chars.next()?;
        self.line += usize::from(letter == '\n');
        Some(letter)
    }

    /// The next letter that means something; comments and spaces are passed over.
    fn peek(&mut self) -> Option<char> {
        loop {
            let (_, letter) = *self.chars.peek()?;
            match letter {
                '#' => while self.next().is_some_and(|letter| letter != '\n') {},
                _ if letter.is_whitespace() => drop(self.next()),
                _ => return Some(letter),
            }
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        let here = self.peek() == Some(wanted);
        if here {
            self.next();
        }
        here
    }

    /// Fields up to the closing bracket, or to the end of the file where there is none.
    fn fields(&mut self, close: Option<char>, depth: usize) -> Result<Vec<Field>, Malformed> {
        if depth > DEPTH_MAX {
            return self.wrong(format!("messages are nested more than {DEPTH_MAX} deep"));
        }
        let mut fields = Vec::new();
        loop {
            match self.peek() {
                None if close.is_none() => return Ok(fields),
                None => return self.wrong("the file ends inside a message"),
                letter if letter == close => {
                    self.next();
                    return Ok(fields);
                }
                Some(letter) if letter.is_ascii_alphabetic() || letter == '_' => {
                    self.field(&mut fields, depth)?;
                }
                Some(letter) => return self.wrong(format!("a field's name is wanted, not {letter:?}")),
            }
        }
    }

    fn field(&mut self, fields: &mut Vec<Field>, depth: usize) -> Result<(), Malformed> {
        let line = self.line;
        let name = self.word().to_owned();
        let colon = self.take(':');
        let mut add = |value| fields.push(Field { name: name.clone(), line, value });
        if self.take('[') {
            while !self.take(']') {
                add(self.value(true, depth)?);
                if !self.take(',') && self.peek() != Some(']') {
                    return self.wrong("a list's members are parted by commas");
                }
            }
        } else {
            add(self.value(colon, depth)?);
        }
        // Fields may be parted by a comma or a semicolon.
        let _ = self.take(',') || self.take(';');
        Ok(())
    }

    /// A value; without a colon before it, only a message may stand.
    fn value(&mut self, colon: bool, depth: usize) -> Result<Value, Malformed> {
        match self.peek() {
            Some('{') => {
                self.next();
                self.fields(Some('}'), depth + 1).map(Value::Message)
            }
            Some('<') => {
                self.next();
                self.fields(Some('>'), depth + 1).map(Value::Message)
            }
            _ if !colon => self.wrong("':' or '{' is wanted behind a field's name"),
            Some(quote @ ('"' | '\'')) => self.texts(quote),
            Some(letter) if letter.is_ascii_alphanumeric() || "-+._".contains(letter) => {
                Ok(Value::Word(self.word().to_owned()))
            }
            Some(letter) => self.wrong(format!("a value is wanted, not {letter:?}")),
            None => self.wrong("the file ends where a value is wanted"),
        }
    }

    fn word(&mut self) -> &str {
        let start = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        let belongs = |letter: char| letter.is_ascii_alphanumeric() || "-+._".contains(letter);
        while self.chars.peek().is_some_and(|(_, letter)| belongs(*letter)) {
            self.chars.next();
        }
        let end = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        &self.text[start..end]
    }

    /// One text, or several that stand side by side and are one.
    fn texts(&mut self, first: char) -> Result<Value, Malformed> {
        let mut text = String::new();
        let mut quote = first;
        loop {
            self.next();
            self.text(quote, &mut text)?;
            match self.peek() {
                Some(another @ ('"' | '\'')) => quote = another,
                _ => return Ok(Value::Text(text)),
            }
        }
    }

    fn text(&mut self, quote: char, text: &mut String) -> Result<(), Malformed> {
        loop {
            match self.next() {
                None | Some('\n') => return self.wrong("a text does not end on its line"),
                Some(letter) if letter == quote => return Ok(()),
                Some('\\') => text.push(match self.next() {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some(letter @ ('\\' | '\'' | '"')) => letter,
                    _ => return self.wrong("this escape in a text is not supported"),
                }),
                Some(letter) => text.push(letter),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_field_is_read() {
        let text = "name: \"a\" 'b' # told twice\nmax_batch_size: -8;\ninput [\n  { dims: [1, -1] },\n  <dims: 2>\n]\nempty: []\nnested { flag: true }";
        let fields = parse(text).expect("text format");
        let word = |word: &str| Value::Word(word.to_owned());
        let field = |name: &str, line, value| Field { name: name.to_owned(), line, value };
        let dims = |line, sizes: &[&str]| {
            Value::Message(sizes.iter().map(|size| field("dims", line, word(size))).collect())
        };
        let want = [
            field("name", 1, Value::Text("ab".to_owned())),
            field("max_batch_size", 2, word("-8")),
            field("input", 3, dims(4, &["1", "-1"])),
            field("input", 3, dims(5, &["2"])),
            field("nested", 8, Value::Message(vec![field("flag", 8, word("true"))])),
        ];
        assert_eq!(fields, want);
    }

    #[test]
    fn what_is_no_text_format_is_told_with_its_line() {
        for (text, line, what) in [
            ("name \"a\"", 1, "':' or '{' is wanted"),
            ("a: 1\nb: \"open\n", 3, "does not end on its line"),
            ("a {\n b: 1\n", 3, "ends inside a message"),
            ("a: [1 2]", 1, "parted by commas"),
            ("\n\n}", 3, "a field's name is wanted"),
            ("a:", 1, "ends where a value"),
            ("a: ?", 1, "a value is wanted"),
            ("a: \"\\q\"", 1, "escape"),
            ("[a.b]: 1", 1, "a field's name is wanted"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.line, line, "{text:?}: {error:?}");
            assert!(error.what.contains(what), "{text:?}: {error:?}");
        }
        let deep = "a{".repeat(100_000);
        assert!(parse(&deep).expect_err("too deep").what.contains("nested"));
    }
}
