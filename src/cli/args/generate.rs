//! Arguments of `vhdmount man` and `vhdmount completions`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// `vhdmount man`
#[derive(Debug, Args)]
#[command(after_help = "\
For one user: vhdmount man ~/.local/share/man; for all users: sudo vhdmount man /usr/local/share/man. Then: man vhdmount.")]
pub(crate) struct Man {
    /// The pages go to DIRECTORY/man1 (and man8), which are made where they are missing
    pub(crate) directory: PathBuf,
}

/// `vhdmount completions`
#[derive(Debug, Args)]
#[command(after_help = "\
bash: vhdmount completions bash > ~/.local/share/bash-completion/completions/vhdmount

zsh: vhdmount completions zsh > DIRECTORY/_vhdmount, where DIRECTORY is one of $fpath

fish: vhdmount completions fish > ~/.config/fish/completions/vhdmount.fish

PowerShell: vhdmount completions powershell >> $PROFILE")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}
