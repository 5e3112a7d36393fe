//! The page and the metrics as their real readers see them: Chromium fills in the form, promtool reads the
//! numbers. Both come from Debian; where one is missing its test skips and says so.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Running, http, run, trained};

/// Resolves once the form's answer is on the page. The callback is WebDriver's last argument.
const ASK: &str = r#"
const done = arguments[arguments.length - 1];
const form = document.querySelector("form[data-model]");
const set = (name, value) => { form.querySelector(`[data-name="${name}"]`).value = value; };
set("width", "9"); set("height", "1"); set("colour", "red");
const output = form.nextElementSibling;
new MutationObserver(() => done(output.textContent)).observe(output, { childList: true });
form.querySelector("button").click();
"#;

fn is_here(program: &str) -> bool {
    let here = Path::new("/usr/bin").join(program).exists();
    if !here {
        eprintln!("SKIPPED: {program} is not here (Debian packages chromium, chromium-driver, prometheus)");
    }
    here
}

fn serve() -> (Running, SocketAddr, tempfile::TempDir) {
    let folder = trained();
    let mut server = Running::start(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let address = server.wait_for_address();
    (server, address, folder)
}

/// Chromium under WebDriver (W3C, <https://www.w3.org/TR/webdriver2/>), ended when dropped.
struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
}

impl Browser {
    fn start(profile: &Path) -> Self {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut command = Command::new("/usr/bin/chromedriver");
        command.arg(format!("--port={port}")).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().expect("chromedriver starts");
        let told = std::io::BufReader::new(driver.stdout.take().expect("it is piped"));
        let ready =
            std::io::BufRead::lines(told).map_while(Result::ok).any(|line| line.contains("successfully"));
        assert!(ready, "chromedriver says that it has started");
        let mut browser = Self { driver, address: ([127, 0, 0, 1], port).into(), session: String::new() };
        let profile = format!("--user-data-dir={}", profile.display());
        let quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
        let offline = ["--disable-background-networking", "--disable-component-update", "--disable-sync"];
        let arguments: Vec<&str> = quiet.into_iter().chain(offline).chain([profile.as_str()]).collect();
        let wanted = json!({ "goog:chromeOptions": { "args": arguments }, "timeouts": { "script": 20_000 } });
        let told = browser.say("", json!({ "capabilities": { "alwaysMatch": wanted } }));
        browser.session = told["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    fn say(&self, what: &str, body: Value) -> Value {
        let path = if self.session.is_empty() { String::new() } else { format!("/{}/{what}", self.session) };
        let (status, answer) = http(self.address, &format!("POST /session{path}"), &body.to_string());
        assert_eq!(status, 200, "{what}: {answer}");
        let mut answer: Value = serde_json::from_str(&answer).expect("WebDriver speaks JSON");
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = http(self.address, &format!("DELETE /session/{}", self.session), "");
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[test]
fn the_page_asks_its_model_in_a_real_browser() {
    if !is_here("chromium") || !is_here("chromedriver") {
        return;
    }
    let (server, address, _folder) = serve();
    let profile = tempfile::tempdir().expect("a temporary folder");
    let browser = Browser::start(profile.path());
    browser.say("url", json!({ "url": format!("http://{address}/") }));
    let shown = browser.say("execute/async", json!({ "script": ASK, "args": [] }));
    let shown = shown.as_str().expect("text");
    assert!(shown.starts_with("kind: wide"), "{shown:?}");
    let heading = browser.say(
        "execute/sync",
        json!({ "script": "return document.querySelector('h2').textContent", "args": [] }),
    );
    assert_eq!(heading, "shapes");
    drop(browser);
    server.interrupt().expect(0);
}

/// What a run's report shows: its charts' sizes, its chapters, and whatever it would fetch or run.
const LOOK: &str = r#"
const charts = [...document.querySelectorAll("svg[role=img]")];
return {
  drawn: charts.map(svg => svg.getBBox().width > 100 && svg.getAttribute("aria-label").length > 20),
  chapters: [...document.querySelectorAll("h2")].map(h => h.textContent),
  foreign: performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith("data:")),
  scripts: document.scripts.length + document.querySelectorAll("link, iframe, object").length,
  confusion: document.querySelectorAll("table.confusion td").length,
  wide: document.documentElement.scrollWidth > window.innerWidth,
};
"#;

#[test]
fn a_report_is_one_page_that_needs_nothing_else() {
    let folder = trained();
    run(folder.path(), &["runs", "report", "1", "--out", "report.html"]).expect(0).prints("report.html");
    let piped = run(folder.path(), &["runs", "report", "1"]).expect(0);
    let page = std::fs::read_to_string(folder.path().join("report.html")).expect("written");
    assert_eq!(piped.stdout, page);
    assert!(
        page.contains("Gate passed: test accuracy") && page.contains("Expected calibration error"),
        "{page}"
    );
    if !is_here("chromium") || !is_here("chromedriver") {
        return;
    }
    let profile = tempfile::tempdir().expect("a temporary folder");
    let browser = Browser::start(profile.path());
    browser.say("url", json!({ "url": format!("file://{}/report.html", folder.path().display()) }));
    let seen = browser.say("execute/sync", json!({ "script": LOOK, "args": [] }));
    let drawn = seen["drawn"].as_array().expect("a list");
    assert!(drawn.len() >= 4 && drawn.iter().all(|drawn| *drawn == true), "{seen}");
    assert_eq!((&seen["foreign"], &seen["scripts"]), (&json!([]), &json!(0)), "{seen}");
    assert_eq!((&seen["confusion"], &seen["wide"]), (&json!(4), &json!(false)), "{seen}");
    let chapters = seen["chapters"].to_string();
    for chapter in ["What it reached", "How it learned", "taken for which", "most wrong", "made from"] {
        assert!(chapters.contains(chapter), "{chapters}");
    }
}

#[test]
fn prometheus_takes_the_metrics() {
    if !is_here("promtool") {
        return;
    }
    let (server, address, _folder) = serve();
    let (status, _) =
        http(address, "POST /predict", r#"{"input": {"width": 1, "height": 2, "colour": "red"}}"#);
    assert_eq!(status, 200);
    let (_, metrics) = http(address, "GET /metrics", "");
    let mut promtool = Command::new("/usr/bin/promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool starts");
    promtool.stdin.take().expect("it is piped").write_all(metrics.as_bytes()).expect("it reads");
    let said = promtool.wait_with_output().expect("it ends");
    assert!(said.status.success(), "{}\n{metrics}", String::from_utf8_lossy(&said.stderr));
    assert!(metrics.contains(r#"modelyard_requests_total{model="shapes",version="1"} 1"#), "{metrics}");
    server.interrupt().expect(0);
}
