//! `crossfade users unlock`: ending the wait of somebody whose password others guessed at.

use reqwest::Method;

use super::Who;
use crate::cli::{
    Exit,
    admin_client::{AdminArgs, AdminFailure},
    output::text,
};

/// Let somebody try again at once whose account waits because of wrong passwords
///
/// Crossfade forgets at all replicas what was tried from browsers that it does not know. One in which the person signed in
/// before has a count of its own and waits for that (`guessing.account`, 15 minutes unless told). A legacy side that counts
/// as well does not forget: look there first, or the next wrong password may lock the account there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crossfade users unlock ann@example.com")]
pub(super) struct Args {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(args: &Args) -> Result<Exit, AdminFailure> {
    let who = text(&args.who.words().into());
    args.admin.answer(
        |client| client.send(Method::POST, "people/unlock", &args.who.body()?),
        |_| {
            format!("{who} may try again at once; a browser that is known for them still waits for its own failures")
        },
    )
}
