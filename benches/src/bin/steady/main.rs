//! How steady the server is: the real binary under loads and callers that wear servers out, one trial after
//! the other, each with what was measured beside its limit.
//!
//! `steady [--binary PATH] [--only soak,swaps,…] [--minutes N] [--swaps N] [--overload-seconds N]
//! [--hang-ups N] [--slow N] [--quick]`. Ends with an error where a limit was passed.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock and the command line")]
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod bodies;
mod floods;
mod hang_ups;
mod options;
mod overload;
mod slow;
mod soak;
mod stop;
mod swaps;
mod trial;

use anyhow::{Result, ensure};

use crate::options::Options;
use crate::trial::{Ground, Trial};

/// Every trial, in the order in which they are run.
const TRIALS: [Trial; 8] = [
    Trial { name: "soak", run: soak::run },
    Trial { name: "swaps", run: swaps::run },
    Trial { name: "overload", run: overload::run },
    Trial { name: "hang-ups", run: hang_ups::run },
    Trial { name: "slow", run: slow::run },
    Trial { name: "bodies", run: bodies::run },
    Trial { name: "floods", run: floods::run },
    Trial { name: "stop", run: stop::run },
];

fn main() -> Result<()> {
    let options = Options::read(std::env::args().skip(1), &TRIALS.map(|trial| trial.name))?;
    let ground = Ground::prepare(options)?;
    println!("| trial | what | measured | limit | held |\n| --- | --- | --- | --- | --- |");
    let mut passed = 0;
    let mut failed = 0;
    for trial in TRIALS.iter().filter(|trial| ground.options.wants(trial.name)) {
        for line in (trial.run)(&ground)? {
            let held = if line.held { "yes" } else { "NO" };
            println!("| {} | {} | {} | {} | {held} |", trial.name, line.what, line.measured, line.limit);
            if line.held {
                passed += 1;
            } else {
                failed += 1;
            }
        }
    }
    ensure!(failed == 0, "{failed} limits were passed, {passed} held");
    Ok(())
}
