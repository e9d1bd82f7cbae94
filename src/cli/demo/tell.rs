//! What the demo says to the person who started it.

use super::{
    people::{ALL, NEW_EMAIL, PASSWORD},
    stage::Stage,
};
use crate::cli::output;

/// Where everything is and what to try.
pub(super) fn guide(stage: &Stage, cutover: &str) {
    let (Ok(public), Ok(scalekit), Ok(application)) = (stage.public(), stage.scalekit(), stage.application())
    else {
        return;
    };
    output::line(&format!(
        "Crossfade is in front of a sample application. Everything runs on this machine and is gone at the end.

  the application, through Crossfade   {public}
  the same without Crossfade           {application}
  Scalekit's users, as they really are {scalekit}__simulator/users
  Scalekit's mails, with the codes     {scalekit}__simulator/mails
  health and metrics                   http://{admin}/readyz  http://{admin}/metrics

Sign in as one of these people; everybody's password is \"{PASSWORD}\".
",
        admin = stage.admin(),
    ));
    for person in ALL {
        output::line(&format!("  {:<26} {}", person.email, person.about));
    }
    output::line(&format!(
        "
The new flow reaches {cutover} of the people. Try this:

  1. Sign in as ann@example.com: the password is checked once more, Scalekit gets a user, and its page asks for a
     code. The code is in Scalekit's mails. Then you are signed in, and the application sees who you are.
  2. Sign out and open the application again: this browser now goes straight to Scalekit.
     {public}login?crossfade=form brings the form back.
  3. Sign in as una@example.com or max@example.com: they stay where they were, and notice nothing.
  4. Begin at {public}.crossfade/initiate as {NEW_EMAIL}: somebody no legacy store knows.

Ctrl-C ends it."
    ));
}

/// Begins a scene.
pub(super) fn scene(number: usize, title: &str) {
    output::line(&format!("\n{number:>2}. {title}"));
}

/// Something that was to happen, and did.
pub(super) fn seen(what: &str) {
    output::line(&format!("    ✓ {what}"));
}
