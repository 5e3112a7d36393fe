//! `modelyard completions`: tab completion for the usual shells.

use clap::Args;
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output::Output;

const HELP: &str = "\
Examples:
  modelyard completions bash > ~/.local/share/bash-completion/completions/modelyard
  modelyard completions zsh > ~/.zfunc/_modelyard
  modelyard completions fish > ~/.config/fish/completions/modelyard.fish";

/// Print a script that teaches your shell to complete modelyard's commands.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// None so far; the signature is that of every command.
pub(crate) fn run(args: &CompletionsArgs, output: &mut Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::definition(), "modelyard", &mut script);
    output.bytes(&script);
    Ok(())
}
