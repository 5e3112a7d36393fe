//! The `curl` line that a newcomer pastes: it asks a running server about one real row.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use crate::example::{Example, Input};

/// A command for a POSIX shell that asks the server at `address` about one row. Files are named relative to
/// the project's folder.
pub(crate) fn curl_line(address: SocketAddr, example: &Example, project: &Path) -> String {
    let server = url(address);
    match &example.input {
        Input::Row(row) => {
            let body = json!({ "input": row }).to_string();
            format!("curl -s {server}/predict -H 'content-type: application/json' -d {}", quoted(&body))
        }
        Input::File(file) => {
            let kind = match file.extension().and_then(|ending| ending.to_str()) {
                Some(ending) if ending.eq_ignore_ascii_case("png") => "image/png",
                _ => "image/jpeg",
            };
            let file = quoted(&format!("@{}", project.join(file).display()));
            format!("curl -s {server}/predict -H 'content-type: {kind}' --data-binary {file}")
        }
    }
}

/// The address to reach a server that listens on `address`: a server on all interfaces is reached on this
/// machine's own.
pub(crate) fn url(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("http://localhost:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

/// Text as one word for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    #[test]
    fn a_file_is_sent_as_it_is() {
        let example = Example { input: Input::File("pictures/a cat.PNG".into()), truth: Map::new() };
        let line = curl_line(([127, 0, 0, 1], 8080).into(), &example, Path::new("cats"));
        assert_eq!(
            line,
            "curl -s http://127.0.0.1:8080/predict -H 'content-type: image/png' --data-binary '@cats/pictures/a cat.PNG'"
        );
    }

    #[test]
    fn a_quote_in_the_data_stays_one_word() {
        let mut row = Map::new();
        row.insert("name".into(), json!("it's $HOME"));
        let example = Example { input: Input::Row(row), truth: Map::new() };
        let line = curl_line(([127, 0, 0, 1], 8080).into(), &example, Path::new("."));
        assert_eq!(
            line,
            r#"curl -s http://127.0.0.1:8080/predict -H 'content-type: application/json' -d '{"input":{"name":"it'\''s $HOME"}}'"#
        );
    }

    #[test]
    fn all_interfaces_are_reached_on_this_machine() {
        assert_eq!(url(([0, 0, 0, 0], 81).into()), "http://localhost:81");
        assert_eq!(url("[::1]:8080".parse().expect("an address")), "http://[::1]:8080");
    }
}
