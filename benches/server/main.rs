//! Measures the whole server on this machine, beside redis and beside bare loops, in one run.
//!
//!     cargo bench --bench server                            every row, five rounds; updates RESULTS.md
//!     cargo bench --bench server -- --quick                 two short rounds, printed only
//!     cargo bench --bench server -- --only gets,puts        these rows
//!     cargo bench --bench server -- --growth [--large]      cost against size
//!
//! Compared servers are measured in turns, so that other work on this machine affects all alike. On loopback the load
//! generator needs more CPU time than a lean server: the rate shows that nothing stalls, and the server's CPU time per
//! operation is the figure to compare.
//!
//! - [`rows`]: the measurements, a row each; [`targets`]: the targets
//! - [`contender`], [`bare`], [`bare_epoll`]: the servers
//! - [`burst`], [`dialogue`], [`crowd`], [`http`], [`hostile`]: the clients, over [`socket`], [`poll`] and [`language`]
//! - [`figures`], [`usage`], [`rounds`]: the results; [`report`], [`results`], [`machine`]: how they are reported
//! - [`growth`]: how cost grows with size

mod bare;
mod bare_epoll;
mod burst;
mod contender;
mod crowd;
mod dialogue;
mod figures;
mod growth;
#[path = "../../tests/load/starvation/hostile.rs"]
mod hostile;
mod http;
mod language;
mod machine;
mod poll;
mod report;
mod results;
mod rounds;
mod rows;
mod socket;
mod targets;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use results::Results;
use rounds::Scale;

/// Measures the whole server, beside redis and bare loops.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Two short rounds, and RESULTS.md stays as it is
    #[arg(long)]
    quick: bool,
    /// Only these rows (or these tables of --growth), with commas between
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    only: Vec<String>,
    /// Cost against size, instead of the rows
    #[arg(long)]
    growth: bool,
    /// With --growth: ten million keys as well
    #[arg(long)]
    large: bool,
    /// How many rounds, instead of five
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// RESULTS.md stays as it is
    #[arg(long)]
    print_only: bool,
    /// What cargo calls every benchmark with
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// One of the servers to compare with
    #[command(hide = true)]
    Bare { kind: bare::Kind },
    /// Another program, which ends with the benchmark however that ends
    #[command(hide = true)]
    Tied {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        program: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.role {
        Some(Role::Bare { kind }) => bare::run(*kind),
        Some(Role::Tied { program }) => contender::become_tied(program),
        None => measure(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<()> {
    raise_open_files()?;
    socket::shuffle();
    let scale = Scale::new(arguments.quick, arguments.rounds, arguments.large);
    let mut results = Results::open(!arguments.quick && !arguments.print_only)?;
    println!("{}\n", machine::describe());
    let failed = if arguments.growth {
        growth::measure(&scale, &arguments.only, &mut results)?
    } else {
        rows::measure(&scale, &arguments.only, &mut results)?
    };
    results.close();
    if !failed.is_empty() {
        bail!("not measured: {}", failed.join(", "));
    }
    Ok(())
}

/// Connections are file descriptors, on the clients' side too.
fn raise_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}
