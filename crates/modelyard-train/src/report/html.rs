//! HTML text: everything that comes from data or project goes through [`escape`].

use std::fmt::Write as _;

/// Text as HTML shows it, in elements and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A table; headings and cells are escaped.
pub(super) fn table(caption: &str, headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut html = format!("<table><caption class=\"quiet left\">{}</caption><thead><tr>", escape(caption));
    for heading in headings {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escape(heading));
    }
    html.push_str("</tr></thead><tbody>");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            let _ = write!(html, "<td>{}</td>", escape(&cell));
        }
        html.push_str("</tr>");
    }
    html + "</tbody></table>"
}

/// A chapter with its heading.
pub(super) fn section(heading: &str, body: &str) -> String {
    format!("<section><h2>{}</h2>{body}</section>\n", escape(heading))
}

/// Four digits that matter.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-3..1e6).contains(&size) => format!("{value:.3e}"),
        size if size < 10.0 => format!("{value:.4}"),
        size if size < 1000.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_the_data_becomes_markup() {
        let html = table("a<b", &["\"x\""], [vec!["<script>alert('1')</script>".to_owned()]]);
        assert!(!html.contains("<script") && html.contains("&lt;script&gt;alert(&#39;1&#39;)"), "{html}");
        assert!(html.contains("a&lt;b") && html.contains("&quot;x&quot;"), "{html}");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.12345, 12.345, 1234.5, 1e-7, -2.5e9].map(number);
        assert_eq!(shown, ["0", "0.1235", "12.35", "1234", "1.000e-7", "-2.500e9"]);
    }
}
