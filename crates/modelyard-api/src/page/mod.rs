//! The page for people on `/`: what is served, by which version and engine, and a form to try each model.
//!
//! Plain HTML, one style sheet and one script, all in the binary. The content security policy allows nothing
//! else, and every name that comes from a model is escaped.

mod form;

use std::fmt::Write;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use modelyard_serve::{ModelStatus, ServedVersion};
use modelyard_types::TensorSpec;

use crate::router::Service;
use crate::routes::{About, Content, Routes};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `/` and what it loads.
pub(crate) fn routes() -> Routes {
    let told = |summary, media| About {
        summary,
        takes: Content::Nothing,
        gives: Content::Text(media),
        refuses: &[],
    };
    let style = async || asset("text/css; charset=utf-8", STYLE);
    let script = async || asset("text/javascript; charset=utf-8", SCRIPT);
    Routes::new()
        .get("/", page, told("The page for people.", "text/html"))
        .get("/assets/page.css", style, told("The page's style.", "text/css"))
        .get("/assets/page.js", script, told("The page's script.", "text/javascript"))
}

fn asset(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers =
        [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, text)
}

async fn page(State(service): State<Service>) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, render(&service.server.models())).into_response()
}

/// The whole page.
fn render(models: &[ModelStatus]) -> String {
    let mut html = String::with_capacity(4096);
    html.push_str(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Modelyard</title>\n\
         <link rel=\"stylesheet\" href=\"/assets/page.css\">\n\
         <script src=\"/assets/page.js\" defer></script>\n</head>\n<body>\n\
         <header><h1>Modelyard</h1><nav aria-label=\"Status\"><a href=\"/v2/health/ready\">ready</a> \
         <a href=\"/metrics\">metrics</a></nav></header>\n<main>\n",
    );
    if models.is_empty() {
        html.push_str(
            "<p>No model is registered yet. Train one with <code>modelyard train</code> or bring one with \
             <code>modelyard import</code>; it appears here by itself.</p>\n",
        );
    }
    for status in models {
        write_model(&mut html, status);
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn write_model(html: &mut String, status: &ModelStatus) {
    let name = status.name.as_str();
    // Model names are ASCII letters, digits, '-', '_' and '.': safe as they are in text, ids and paths.
    put(html, format_args!("<article aria-labelledby=\"m-{name}\">\n<h2 id=\"m-{name}\">{name}</h2>\n"));
    if let Some(problem) = &status.problem {
        put(html, format_args!("<p class=\"problem\" role=\"status\">{}</p>\n", escape(problem)));
    }
    if let Some(version) = &status.live {
        write_facts(html, status, version);
        form::write(html, version);
    }
    html.push_str("</article>\n");
}

fn write_facts(html: &mut String, status: &ModelStatus, version: &ServedVersion) {
    let aliases: Vec<String> = status.aliases.iter().map(|(alias, to)| format!("{alias} → {to}")).collect();
    let tensors = |specs: &[TensorSpec]| {
        let one = |spec: &TensorSpec| {
            let sizes: Vec<String> = spec.shape.iter().map(ToString::to_string).collect();
            format!("{} {} [{}]", escape(&spec.name), spec.data_type, sizes.join(", "))
        };
        specs.iter().map(one).collect::<Vec<_>>().join("<br>")
    };
    let signature = version.signature();
    put(
        html,
        format_args!(
            "<dl>\n<dt>version</dt><dd>{} of {}</dd>\n<dt>aliases</dt><dd>{}</dd>\n<dt>engine</dt><dd>{}</dd>\n\
             <dt>takes</dt><dd>{}</dd>\n<dt>gives</dt><dd>{}</dd>\n</dl>\n",
            version.version(),
            status.versions.len(),
            if aliases.is_empty() { "none".to_owned() } else { aliases.join(", ") },
            version.runtime(),
            tensors(&signature.inputs),
            tensors(&signature.outputs),
        ),
    );
}

fn put(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text).expect("writing to a string cannot fail");
}

/// Text made safe for HTML, in attributes too.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_the_page() {
        assert_eq!(escape("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }

    #[test]
    fn an_empty_store_says_what_to_do() {
        let html = render(&[]);
        assert!(html.contains("modelyard import") && html.ends_with("</html>\n"), "{html}");
    }
}
