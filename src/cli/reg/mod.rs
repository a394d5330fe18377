//! `vhdmount reg`

mod complete;
mod config;
mod diff;
mod export;
mod json;
mod query;
mod search;
mod source;
mod text;

pub(super) use self::config::Config;
use super::Failure;

pub(super) fn run(command: &Config) -> Result<(), Failure> {
    match command {
        Config::Query(query) => query::run(query),
        Config::Export(export) => export::run(export),
        Config::Diff(diff) => diff::run(diff),
        Config::Complete(complete) => complete::run(complete),
    }
}
